"""Finds the signatures that are alike among millions, without comparing each with each."""

import dataclasses
from array import array
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pagemill.errors import UserError
from pagemill.text.dedup.minhash import Hashes, Signatures, mix

MIN_SIMILARITY = 0.6
SURE_SHARE = 0.95  # of the pairs that are just as similar as asked for, so many meet in a band at least

_ROWS_AT_ONCE = 4096
_COMPARED_AT_ONCE = 1024
_BANDS_AT_ONCE = 16  # whose keys are in memory: 4 bytes a signature and band
_PAIRS_AT_ONCE = 1 << 20
_CROWDS = (16, 32, 64, 128, 256)  # in a larger group each is compared with so many of the best only, round by round
_WORTH_A_ROUND = 0.01  # if no larger share of a crowd was dropped in one round, there is no other
_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

Indexes = NDArray[np.int64]


class Rows(Protocol):
    """Signatures as an array of shape (signatures, values), or what can be read like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many signatures, of how many values each."""

    def __getitem__(self, rows: slice | Indexes, /) -> Signatures:
        """Return some of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Banding:
    """How signatures are cut into bands: two that agree in a whole band are compared."""

    bands: int
    rows: int

    def chance(self, similarity: float) -> float:
        """Return the chance that two texts of a similarity agree in a band, the S-curve: 1 - (1 - s^rows)^bands."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


def choose_banding(values: int, min_similarity: float) -> Banding:
    """Return the longest bands in which `SURE_SHARE` of the pairs of that similarity meet, and so the fewest others.

    Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4. What meets by chance is found out by comparing the
    whole signatures; what never meets is not found, so the curve is chosen for few misses.
    """
    bandings = (Banding(values // rows, rows) for rows in range(values, 0, -1))
    return next((each for each in bandings if each.chance(min_similarity) >= SURE_SHARE), Banding(values, 1))


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """For each signature the index of the one that is kept for it, its own if it is kept, and how similar they are."""

    kept: Indexes
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.kept)


def near_duplicates(signatures: Rows, min_similarity: float = MIN_SIMILARITY, order: Indexes | None = None) -> Kept:
    """Choose of signatures that are alike the best, so that each other one is like one that is kept.

    Signatures are gone through from the best to the worst: one is kept unless it is like one that has been kept. So
    nothing is lost through a chain of texts, each a little like the next, and the result does not depend on the order
    in which they lie. Two are like one another if the estimate of their similarity is at least `min_similarity`;
    only those are compared that agree in a band.

    Where more than 16 agree in a band, each is compared with the best 16 of them only, and what is kept of such a crowd
    is searched again, four times at most, with twice as many each time. So the time stays about linear however many
    are alike, or agree in a band without being alike; a few that are kept may then be alike.

    Memory: about 140 bytes a signature, beside the signatures, of which a few thousand are read at a time.

    Args:
        signatures: Array, memory map or `SignatureFile` of shape (signatures, values), uint32; fewer than 2**32.
        min_similarity: Above 0, to 1. The lower, the more pairs are compared; below 0.4 this may take long.
        order: The indexes of all signatures, the best first; by default the earlier is the better.

    Raises:
        UserError: `min_similarity` is out of range.
    """
    check_similarity(min_similarity)
    count, values = signatures.shape
    best_first = np.arange(count) if order is None else np.asarray(order, np.int64)
    leaders = _leaders_of_equals(signatures, best_first)
    members = best_first[leaders[best_first] == best_first]
    result = Kept(np.arange(count), np.ones(count, np.float32))
    for crowd in _CROWDS if count else ():
        search = _Search(signatures, members, min_similarity, crowd)
        search.run(choose_banding(values, min_similarity))
        search.choose(result)
        crowded = members[search.crowded]
        members = crowded[result.kept[crowded] == crowded]
        if len(crowded) - len(members) <= _WORTH_A_ROUND * len(crowded):
            break
    _settle(signatures, result, min_similarity)
    return Kept(result.kept[leaders], result.similarity[leaders])


def check_similarity(min_similarity: float) -> None:
    """Raise UserError when this is no similarity that can be asked for."""
    if not 0.0 < min_similarity <= 1.0:
        raise UserError(f"min_similarity {min_similarity}", "is no similarity", "give a number above 0, and 1 at most")


def _leaders_of_equals(signatures: Rows, best_first: Indexes) -> Indexes:
    """Return for each signature the best of those that equal it."""
    hashes = np.empty(len(best_first), np.uint64)
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        rows = signatures[start : start + _ROWS_AT_ONCE]
        hashes[start : start + len(rows)] = _hash_rows(rows)
    by_hash = best_first[np.argsort(hashes[best_first], kind="stable")]
    starts = _run_starts(hashes[by_hash])
    leaders = np.empty(len(hashes), np.int64)
    leaders[by_hash] = np.repeat(by_hash[starts], _run_sizes(starts, len(by_hash)))
    return leaders


class _Search:
    """One search for pairs that are alike among some signatures, which go by their rank: 0 is the best."""

    def __init__(self, signatures: Rows, members: Indexes, min_similarity: float, crowd: int) -> None:
        self.signatures, self.members, self.crowd = signatures, members, crowd
        self.values = signatures.shape[1]
        self.least_equal = _least_equal(self.values, min_similarity)
        self.crowded = np.zeros(len(members), np.bool_)  # met too many to be compared with all
        self.alike = np.zeros(len(members), np.uint16)  # how often each was found to be like a better one
        self.waiting: list[Hashes] = []  # pairs to compare, the better rank in the upper half
        self.waiting_count = 0
        self.pairs: list[Hashes] = [np.empty(0, np.uint64)]  # found alike
        self.equal: list[NDArray[np.uint16]] = [np.empty(0, np.uint16)]  # values of each

    def run(self, banding: Banding) -> None:
        """Go through the bands, some at a time."""
        for first in range(0, banding.bands, _BANDS_AT_ONCE):
            self._search_bands(first, min(first + _BANDS_AT_ONCE, banding.bands), banding.rows)

    def _search_bands(self, first: int, last: int, rows: int) -> None:
        for keys in self._band_keys(first, last, rows):
            self._meet(keys)
        self._compare()

    def _band_keys(self, first: int, last: int, rows: int) -> NDArray[np.uint32]:
        """Return a key for each of the bands and ranks, equal where the band is equal."""
        keys = np.empty((last - first, len(self.members)), np.uint32)
        ranks = np.argsort(self.members)  # so that the signatures are read from the first to the last
        for start in range(0, len(ranks), _ROWS_AT_ONCE):
            some = ranks[start : start + _ROWS_AT_ONCE]
            block = self.signatures[self.members[some]][:, first * rows : last * rows]
            keys[:, some] = (_hash_rows(block.reshape(len(some), last - first, rows)) >> _HALF).T
        return keys

    def _meet(self, keys: NDArray[np.uint32]) -> None:
        """Note the pairs that agree in a band."""
        ordered = keys.astype(np.uint64)
        ordered <<= _HALF
        ordered |= np.arange(len(keys), dtype=np.uint64)
        ordered.sort()
        same = np.diff(ordered >> _HALF) == 0
        met = ordered[np.append(same, False) | np.insert(same, 0, False)]
        ranks = met & _LOW_HALF
        starts = _run_starts(met >> _HALF)
        sizes = _run_sizes(starts, len(met))
        group_starts = np.repeat(starts, sizes)
        places = np.arange(len(met)) - group_starts
        in_crowd = np.repeat(sizes > self.crowd, sizes)
        self.crowded[ranks[in_crowd]] = True
        searched = ~in_crowd | (self.alike[ranks] < self.crowd)
        for leader in range(min(self.crowd, int(sizes.max(initial=1)) - 1)):
            others = np.flatnonzero((places > leader) & searched)
            self._add(ranks[group_starts[others] + leader] << _HALF | ranks[others])

    def _add(self, pairs: Hashes) -> None:
        self.waiting.append(pairs)
        self.waiting_count += len(pairs)
        if self.waiting_count >= _PAIRS_AT_ONCE:
            self._compare()

    def _compare(self) -> None:
        """Compare the waiting pairs by their whole signatures."""
        waiting = np.unique(np.concatenate([*self.waiting, np.empty(0, np.uint64)]))
        self.waiting, self.waiting_count = [], 0
        for start in range(0, len(waiting), _COMPARED_AT_ONCE):
            pairs = waiting[start : start + _COMPARED_AT_ONCE]
            better, worse = _ranks(pairs)
            equal = _count_equal(self.signatures, self.members[better], self.members[worse])
            alike = equal >= self.least_equal
            self.pairs.append(pairs[alike])
            self.equal.append(equal[alike])
            np.add.at(self.alike, worse[alike], 1)

    def choose(self, result: Kept) -> None:
        """Keep each that is not like a better one that is kept."""
        pairs, first = np.unique(np.concatenate(self.pairs), return_index=True)
        equal = np.concatenate(self.equal)[first]
        better, worse = _ranks(pairs)
        by_worse = np.lexsort((better, worse))
        most_equal = array("H", bytes(2 * len(self.members)))  # values in common with the likest that is kept
        likest = array("q", bytes(8 * len(self.members)))
        for start in range(0, len(by_worse), _PAIRS_AT_ONCE):
            some = by_worse[start : start + _PAIRS_AT_ONCE]
            some_pairs = zip(better[some].tolist(), worse[some].tolist(), equal[some].tolist(), strict=True)
            for one, other, number in some_pairs:
                if not most_equal[one] and number > most_equal[other]:
                    most_equal[other], likest[other] = number, one
        found = np.frombuffer(most_equal, np.uint16)
        lost = np.flatnonzero(found)
        result.kept[self.members[lost]] = self.members[np.frombuffer(likest, np.int64)[lost]]
        result.similarity[self.members[lost]] = found[lost] / self.values


def _settle(signatures: Rows, result: Kept, min_similarity: float) -> None:
    """Where the one that was kept for another is itself not kept any more, compare with what is kept for that."""
    roots = result.kept
    while not np.array_equal(roots, further := result.kept[roots]):
        roots = further
    lost = np.flatnonzero(roots != result.kept)
    values = signatures.shape[1]
    for start in range(0, len(lost), _COMPARED_AT_ONCE):
        some = lost[start : start + _COMPARED_AT_ONCE]
        equal = _count_equal(signatures, roots[some], some)
        alike = equal >= _least_equal(values, min_similarity)
        result.kept[some] = np.where(alike, roots[some], some)
        result.similarity[some] = np.where(alike, equal / values, 1.0)


def _least_equal(values: int, min_similarity: float) -> int:
    """Return how many values two signatures must have in common."""
    return int(np.ceil(min_similarity * values - 1e-9))


def _count_equal(signatures: Rows, first: Indexes, second: Indexes) -> NDArray[np.uint16]:
    equal: NDArray[np.uint16] = (signatures[first] == signatures[second]).sum(axis=1, dtype=np.uint16)
    return equal


def _ranks(pairs: Hashes) -> tuple[Indexes, Indexes]:
    return (pairs >> _HALF).astype(np.int64), (pairs & _LOW_HALF).astype(np.int64)


def _hash_rows(rows: Signatures) -> Hashes:
    """Return a hash of the last axis: a sum with pseudo-random odd factors modulo 2**64, mixed."""
    factors = mix(np.arange(1, rows.shape[-1] + 1, dtype=np.uint64)) | np.uint64(1)
    return mix(rows.astype(np.uint64) @ factors)


def _run_starts(ordered: Hashes) -> Indexes:
    """Return where a run of equal numbers begins."""
    if not len(ordered):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))


def _run_sizes(starts: Indexes, end: int) -> Indexes:
    return np.diff(np.append(starts, end))
