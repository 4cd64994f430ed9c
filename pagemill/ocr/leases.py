"""Who reads which pages: work in leases that many processes take from one table, each done exactly once."""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

LEASE_PAGES = 32
RESERVE_LEASES = 3  # of full size, that a rank holds at a time, so that its queue never runs dry
STALE_SECONDS = 60.0

_INTERVALS_A_STALENESS = 20  # between two beats, and between two looks at the table
_LONGEST_INTERVAL_SECONDS = 1.0
_KEYS_AT_ONCE = 1024
_NEXT_KEY = "next"
_HELD, _FREE, _DONE = "held", "free", "done"


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """Pages of one book that one rank reads; `index` is its place in the plan."""

    index: int
    pdf_sha256: str
    pages: tuple[int, ...]  # from 1, ascending


def plan_leases(
    missing: Sequence[tuple[str, Sequence[int]]], lease_pages: int = LEASE_PAGES, ranks: int = 1
) -> tuple[Lease, ...]:
    """Cut what is to be read into leases, the longest book first; every rank makes the same plan.

    A lease never crosses a line of the grid of `lease_pages` pages, so that another run cuts alike. Towards the end
    of the plan the grid is halved again and again, whenever what is left would not go round: guided self-scheduling
    (Polychronopoulos and Kuck, 1987) with sizes of which each divides the one before. So ranks finish together.

    Args:
        missing: Each book with the pages that are to be read, counted from 1.
        lease_pages: Pages of a lease, at most.
        ranks: Processes that will take from the plan.
    """
    books = sorted(((pdf, sorted(set(pages))) for pdf, pages in missing), key=lambda book: (-len(book[1]), book[0]))
    left = sum(len(pages) for _, pages in books)
    leases: list[Lease] = []
    for pdf, pages in books:
        for cell in _cells(pages, lease_pages):
            for part in _cells(cell, _size(left, lease_pages, ranks)):
                leases.append(Lease(len(leases), pdf, tuple(part)))
            left -= len(cell)
    return tuple(leases)


def _size(left: int, lease_pages: int, ranks: int) -> int:
    """Return the pages of a lease when so many pages are left for so many ranks."""
    size = lease_pages
    while ranks > 1 and size % 2 == 0 and RESERVE_LEASES * size * ranks > left:
        size //= 2
    return size


def _cells(pages: Sequence[int], size: int) -> Iterator[list[int]]:
    """Cut ascending pages at the lines of a grid of `size` pages."""
    cells: dict[int, list[int]] = {}
    for page in pages:
        cells.setdefault((page - 1) // size, []).append(page)
    yield from cells.values()


class Table(Protocol):
    """What is needed of a `torch.distributed.Store`; a key that is not there must not be asked for its value."""

    def add(self, key: str, amount: int, /) -> int:
        """Raise a counter, which begins at 0, and return where it stands."""

    def check(self, keys: list[str], /) -> bool:
        """Say whether all the keys are there."""

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        """Return the values of keys that are there (a store waits for those that are not)."""

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        """Set a value where it is `expected` ("": not there) and return `desired`; otherwise return what is there."""

    def set(self, key: str, value: str, /) -> None:
        """Set a value."""


class LocalTable:
    """The table of a single process: a dictionary with a lock."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def add(self, key: str, amount: int, /) -> int:
        """Raise a counter and return where it stands."""
        with self.lock:
            count = int(self.values.get(key, b"0")) + amount
            self.values[key] = b"%d" % count
        return count

    def check(self, keys: list[str], /) -> bool:
        """Say whether all the keys are there."""
        with self.lock:
            return all(key in self.values for key in keys)

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        """Return the values of keys; raises KeyError for one that is not there."""
        with self.lock:
            return [self.values[key] for key in keys]

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        """Set a value where it is `expected`, and return what is there afterwards; as torch's stores do it."""
        with self.lock:
            current = self.values.get(key)
            if current is None and expected:
                return expected.encode()  # so says torch, though nothing is there
            if current is None or current == expected.encode():
                current = self.values[key] = desired.encode()
            return current

    def set(self, key: str, value: str, /) -> None:
        """Set a value."""
        with self.lock:
            self.values[key] = value.encode()


class Leases:
    """One rank's hands on the table of leases.

    A lease's value in the table is "<epoch> <rank> <state>": held, free (given back) or done. Whoever takes it raises
    the epoch, so that what its former holder says counts no more. No value is ever written that another rank may
    write too, for a store answers with the value that is there, not with who set it.

    Methods are for one thread. Whatever the table raises comes through: a rank that has lost it cannot go on.
    """

    def __init__(
        self,
        table: Table,
        plan: Sequence[Lease],
        rank: int,
        stale_seconds: float = STALE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Stand ready to take from the plan.

        Args:
            table: Shared by the ranks, and new: its keys belong to this plan alone.
            plan: The same on every rank.
            rank: Of this process.
            stale_seconds: A rank that does not beat for so long loses its leases.
            clock: This rank's own, in seconds; no clock is compared with another's.
        """
        self.table, self.plan, self.rank = table, plan, rank
        self.stale_seconds, self.clock = stale_seconds, clock
        self._interval_seconds = min(_LONGEST_INTERVAL_SECONDS, stale_seconds / _INTERVALS_A_STALENESS)
        self._open = dict.fromkeys(range(len(plan)))  # indexes not known to be done, in order
        self._held: dict[int, _Holding] = {}
        self._fresh = True  # some leases have perhaps never been taken
        self._offers: collections.deque[tuple[int, _Holding | None]] = collections.deque()  # to be had at the last look
        self._watched: dict[str, tuple[bytes, float]] = {}  # a key's value, and since when it has stood
        self._beaten = self._looked = float("-inf")
        self.beat()

    @property
    def finished(self) -> bool:
        """Whether every lease is done, as far as this rank knows: it learns of it in `grant` and `done`."""
        return not self._open

    @property
    def held(self) -> tuple[Lease, ...]:
        """The leases in this rank's hands, unless it was fenced off meanwhile."""
        return tuple(self.plan[index] for index in self._held)

    def beat(self) -> None:
        """Tell the others that this rank lives; to be called as often as one likes."""
        now = self.clock()
        if now - self._beaten >= self._interval_seconds:
            self.table.add(_beat_key(self.rank), 1)
            self._beaten = now

    def grant(self) -> Lease | None:
        """Take a lease: one that nobody had yet, else one given back, or of a rank that beats no more.

        None when there is none to be had now: ask again later, until `finished`. To be called as often as one likes.
        """
        self.beat()
        while self._fresh:
            index = self.table.add(_NEXT_KEY, 1) - 1
            self._fresh = index < len(self.plan)
            if self._fresh and self._take(index, None):
                return self.plan[index]
        self._look()
        while self._offers:
            index, former = self._offers.popleft()
            if self._take(index, former):
                return self.plan[index]
        return None

    def done(self, lease: Lease) -> bool:
        """Say that a lease's result is safe; False when it is not ours any more, and the result does not count."""
        holding = self._held.pop(lease.index, None)
        if holding is None or not self._change(lease.index, holding, holding.now(_DONE)):
            return False
        del self._open[lease.index]
        return True

    def release(self, lease: Lease) -> None:
        """Give a lease back, for others to take at once; nothing happens when it is not ours any more."""
        holding = self._held.pop(lease.index, None)
        if holding is not None:
            self._change(lease.index, holding, holding.now(_FREE))

    def _take(self, index: int, former: "_Holding | None") -> bool:
        mine = _Holding(former.epoch + 1 if former else 1, self.rank, _HELD)
        if not self._change(index, former, mine):
            return False
        self._held[index] = mine
        return True

    def _change(self, index: int, expected: "_Holding | None", desired: "_Holding") -> bool:
        return self.table.compare_set(_lease_key(index), str(expected or ""), str(desired)) == str(desired).encode()

    def _look(self) -> None:
        """Learn which leases are done and which are to be had; seldom, for it asks for all that are open."""
        now = self.clock()
        if now - self._looked < self._interval_seconds:
            return
        self._looked = now
        self._offers.clear()
        holdings = dict(self._holdings([index for index in self._open if index not in self._held]))
        silent = self._silent_ranks({holding.rank for holding in holdings.values() if holding})
        for index, holding in holdings.items():
            if holding is None:  # counted out to a rank that did not come to write its name, or is just about to
                to_be_had = self._stands(_lease_key(index), b"")
            elif holding.state == _DONE:
                del self._open[index]
                continue
            else:
                to_be_had = holding.state == _FREE or holding.rank in silent
            if to_be_had:
                self._offers.append((index, holding))
        self._offers.rotate(-self.rank)  # so that not all ranks reach for the same one

    def _holdings(self, indexes: Sequence[int]) -> "Iterator[tuple[int, _Holding | None]]":
        """Yield what the table says of leases; None of one whose key is not there."""
        for start in range(0, len(indexes), _KEYS_AT_ONCE):
            yield from self._holdings_at_once(indexes[start : start + _KEYS_AT_ONCE])

    def _holdings_at_once(self, indexes: Sequence[int]) -> "Iterator[tuple[int, _Holding | None]]":
        keys = [_lease_key(index) for index in indexes]
        if self.table.check(keys):
            yield from zip(indexes, map(_Holding.parse, self.table.multi_get(keys)), strict=True)
        elif len(indexes) == 1:
            yield indexes[0], None
        else:  # the few that are not there are found by halving
            half = len(indexes) // 2
            yield from self._holdings_at_once(indexes[:half])
            yield from self._holdings_at_once(indexes[half:])

    def _silent_ranks(self, ranks: Collection[int]) -> set[int]:
        """Return which of the ranks beat no more. This one itself counts as silent: what it does not know it holds."""
        others = sorted(set(ranks) - {self.rank})
        beats = self.table.multi_get([_beat_key(rank) for rank in others])
        return {rank for rank, beat in zip(others, beats, strict=True) if self._stands(_beat_key(rank), beat)} | {
            self.rank
        }

    def _stands(self, key: str, value: bytes) -> bool:
        """Say whether a value has stood for `stale_seconds` by this rank's clock since it was first seen."""
        known, since = self._watched.get(key, (None, 0.0))
        if known != value:
            since = self._looked
            self._watched[key] = value, since
        return self._looked - since >= self.stale_seconds


@dataclasses.dataclass(frozen=True, slots=True)
class _Holding:
    """What the table says of a lease."""

    epoch: int  # how often it was taken
    rank: int  # that took it last
    state: str

    def now(self, state: str) -> "_Holding":
        return dataclasses.replace(self, state=state)

    def __str__(self) -> str:
        return f"{self.epoch} {self.rank} {self.state}"

    @classmethod
    def parse(cls, value: bytes) -> "_Holding":
        epoch, rank, state = value.decode().split()
        return cls(int(epoch), int(rank), state)


def _lease_key(index: int) -> str:
    return f"lease/{index}"


def _beat_key(rank: int) -> str:
    return f"beat/{rank}"
