"""Signatures: of any text a few hundred numbers, of which two texts share as large a part as of their shingles."""

import base64

import numpy as np
from numpy.typing import NDArray

SIGNATURE_VALUES = 256

Hashes = NDArray[np.uint64]
Signatures = NDArray[np.uint32]

_LIKELY_A_PLACE = 16  # of so many candidates for each place, one is without any in 3e-5 of all signatures
_THROWN_A_PLACE = 8
_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_PLACE_SHIFT, _ROUND_SHIFT = np.uint64(48), np.uint64(32)


def minhash(shingles: Hashes, values: int = SIGNATURE_VALUES) -> Signatures | None:
    """Return the signature of a set of shingles: the share that two have equal estimates their Jaccard similarity.

    Min-wise hashing (Broder 1997, "On the resemblance and containment of documents") in the form of Dahlgaard, Knudsen
    and Thorup 2017, "Fast similarity sketching": each shingle is thrown to one of the places, where the least number
    stays; and all again, as long as a place is empty. The estimate is unbiased, with a standard error of at most about
    sqrt(J * (1 - J) / values), for small sets too. Of a long text every shingle is hashed about once, however many
    `values` there are.

    The result follows from the numbers alone, on any machine and with any version of anything, so it can be kept.

    Args:
        shingles: Numbers of any order, as `shingles_of` gives them; repeated ones make no difference.
        values: Length of the signature.

    Returns:
        Array of shape (values,), or None where there are no shingles.
    """
    if not len(shingles):
        return None
    if len(shingles) >= 2 * _LIKELY_A_PLACE * values:
        thrown = _throw(shingles, 0, 1, values)
        limit = (_LIKELY_A_PLACE * values << 32) // len(shingles)
        least = _least_of_each_place(thrown[thrown & _LOW_HALF < np.uint64(limit)])
        if len(least) == values:
            return _numbers(least)
    shingles = np.unique(shingles)
    rounds = min(values, max(1, _THROWN_A_PLACE * values // len(shingles)))
    least, first = np.empty(0, np.uint64), 0
    while len(least) < values:
        thrown = _throw(shingles, first, min(first + rounds, 2 * values), values)
        least = _least_of_each_place(np.concatenate([least, thrown]))
        first += rounds
    return _numbers(least)


def estimate(first: Signatures, second: Signatures) -> float:
    """Return the estimated Jaccard similarity of the texts of two signatures, 0 to 1."""
    return float(np.mean(first == second))


def encode(signature: Signatures | None) -> str:
    """Return a signature as `records.Signature` holds it: base64 of little-endian uint32, "" for None."""
    return "" if signature is None else base64.b64encode(signature.astype("<u4").tobytes()).decode()


def decode(text: str, values: int = SIGNATURE_VALUES) -> Signatures | None:
    """Return the signature that `encode` gave; raises ValueError where it is not one of `values` numbers."""
    if not text:
        return None
    content = base64.b64decode(text, validate=True)
    if len(content) != 4 * values:
        raise ValueError(f"a signature of {len(content)} bytes, not of {values} numbers of 4 bytes")
    return np.frombuffer(content, "<u4").astype(np.uint32)


def mix(numbers: Hashes) -> Hashes:
    """Return 64-bit numbers mixed so that each bit depends on all: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed: Hashes = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _throw(shingles: Hashes, first: int, last: int, values: int) -> Hashes:
    """Return for each shingle and round its place, the round and a number, in one: they sort in that order.

    In round i the place is a random one, and from round `values` on it is i - `values` for all.
    """
    rounds = np.arange(first, last, dtype=np.uint64)[:, None]
    mixed = mix(shingles + (rounds + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    places = np.where(rounds < values, (mixed >> _HALF) * np.uint64(values) >> _HALF, rounds - np.uint64(values))
    thrown: Hashes = places << _PLACE_SHIFT | rounds << _ROUND_SHIFT | mixed & _LOW_HALF
    return thrown.ravel()


def _least_of_each_place(thrown: Hashes) -> Hashes:
    thrown = np.sort(thrown)
    places = thrown >> _PLACE_SHIFT
    least: Hashes = thrown[np.append(True, places[1:] != places[:-1])[: len(thrown)]]
    return least


def _numbers(least: Hashes) -> Signatures:
    return (least & _LOW_HALF).astype(np.uint32)
