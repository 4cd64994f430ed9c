"""Finds the pages of a book that say what an earlier page of it says, as where one was scanned twice."""

import dataclasses
import functools
import string
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pagemill.text.dedup.lsh import check_similarity
from pagemill.text.dedup.minhash import Hashes, mix
from pagemill.text.dedup.wording import shingles_of, words_of

MIN_PAGE_WORDS = 50  # a title, a part's name or a form's heading may well stand on several pages

_BATCH_BYTES = 1 << 20
_WINDOW_BYTES = 16  # two or three words, or five characters of Han
_SAMPLED_SHIFT = np.uint64(64 - 5)  # one window in 32: of a full page about a hundred
_MIN_SHARED = 1 / 3  # of the windows that pages just as similar as asked for have in common; samples vary
_MAX_HOLDERS = 4  # pages that a window leads to: one that is on every page leads nowhere new
_MAX_COMPARED = 3  # of the pages that have most windows in common
_CACHED_PAGES = 256

_DROPPED = string.punctuation.encode()
_FOLD = bytes.maketrans(string.ascii_uppercase.encode() + b"\t\n\r\v\f", string.ascii_lowercase.encode() + b" " * 5)
_FACTORS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


def repeated_pages(texts: Sequence[str], min_similarity: float) -> tuple[int, ...]:
    """Return for each page the index of the earlier page that it repeats, -1 for a page that repeats none.

    A page repeats another if the Jaccard similarity of their runs of three words, computed exactly, is at least
    `min_similarity`, and both have `MIN_PAGE_WORDS` words. Digits are words like others, so tables with the same head,
    and pages of an index, do not repeat one another. The page that is repeated is one that repeats none itself.

    Which pages are compared is found by windows of 16 bytes that both have, one in 32 chosen by its content: two
    pages that are alike have many of these in common, others hardly any. The time is linear in the length of the book.

    Args:
        texts: The pages in order.
        min_similarity: Above 0, to 1. Two readings of one page of which each has one word in fifty wrong come to about
            0.8, one word in twenty-five to 0.64; pages that say different things stay below 0.1.

    Raises:
        UserError: `min_similarity` is out of range.
    """
    check_similarity(min_similarity)
    sample = _take_sample(texts)
    search = _Search(texts, sample, min_similarity)
    return tuple(search.original_of(page) for page in range(len(texts)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    """What leads from a page to others like it."""

    contents: Sequence[int]  # of each page; equal for pages that differ in case and punctuation at most
    sizes: Sequence[int]  # how many windows were chosen of each page
    windows: Mapping[int, Sequence[int]]  # of a page those that other pages have too


class _Search:
    """Goes through the pages in order and remembers what leads to those that repeat none."""

    def __init__(self, texts: Sequence[str], sample: _Sample, min_similarity: float) -> None:
        self.texts, self.sample, self.min_similarity = texts, sample, min_similarity
        # of two pages of equal length and that similarity, so much of one is in the other
        self.least_shared = _MIN_SHARED * 2 * min_similarity / (1 + min_similarity)
        self.with_content: dict[int, int] = {}
        self.with_window: defaultdict[int, list[int]] = defaultdict(list)
        self.shingles = functools.lru_cache(_CACHED_PAGES)(self._shingles)

    def original_of(self, page: int) -> int:
        """Return the page that this one repeats, the most similar one, or -1."""
        found = [(self._similarity(other, page), -other) for other in self._candidates(page)]
        similarity, original = max(found, default=(0.0, 1))
        if similarity >= self.min_similarity:
            return -original
        self.with_content.setdefault(self.sample.contents[page], page)
        for window in self.sample.windows.get(page, ()):
            holders = self.with_window[window]
            if len(holders) < _MAX_HOLDERS:
                holders.append(page)
        return -1

    def _candidates(self, page: int) -> list[int]:
        equal = self.with_content.get(self.sample.contents[page])
        if equal is not None:
            return [equal]
        windows = self.sample.windows.get(page, ())
        shared = Counter(other for window in windows for other in self.with_window.get(window, ()))
        least = self.least_shared * self.sample.sizes[page]
        return [other for other, count in shared.most_common(_MAX_COMPARED) if count >= least]

    def _similarity(self, first: int, second: int) -> float:
        """Return the Jaccard similarity of two pages, 0.0 where one has too few words."""
        one, other = self.shingles(first), self.shingles(second)
        if not len(one) or not len(other):
            return 0.0
        common = len(np.intersect1d(one, other, assume_unique=True))
        return common / (len(one) + len(other) - common)

    def _shingles(self, page: int) -> Hashes:
        words = words_of(self.texts[page])
        return np.unique(shingles_of(words if len(words) >= MIN_PAGE_WORDS else ()))


def _take_sample(texts: Sequence[str]) -> _Sample:
    contents: list[int] = []
    windows_found, pages_found = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for batch in _folded_batches(texts):
        windows, pages = _choose_windows(batch)
        windows_found.append(windows)
        pages_found.append(pages + len(contents))
        contents += map(hash, batch)
    windows, pages = np.concatenate(windows_found), np.concatenate(pages_found)
    if not len(windows):
        return _Sample(contents, [0] * len(contents), {})
    order = np.lexsort((pages, windows))
    windows, pages = windows[order], pages[order]
    is_first = np.append(True, (windows[1:] != windows[:-1]) | (pages[1:] != pages[:-1]))
    windows, pages = windows[is_first], pages[is_first]
    sizes = np.bincount(pages, minlength=len(contents))
    return _Sample(contents, sizes.tolist(), _shared_by_page(windows, pages))


def _shared_by_page(windows: Hashes, pages: NDArray[np.int64]) -> dict[int, list[int]]:
    """Return of each page the windows that other pages have too; the windows come in order."""
    same = windows[1:] == windows[:-1]
    shared = np.append(same, False) | np.append(False, same)
    by_page: defaultdict[int, list[int]] = defaultdict(list)
    for window, page in zip(windows[shared].tolist(), pages[shared].tolist(), strict=True):
        by_page[page].append(window)
    return dict(by_page)


def _folded_batches(texts: Sequence[str]) -> Iterator[list[bytes]]:
    """Yield the pages in UTF-8, without case and punctuation, about a megabyte of them at a time."""
    batch: list[bytes] = []
    size_bytes = 0
    for text in texts:
        batch.append(text.encode("utf-8", "surrogatepass").translate(_FOLD, _DROPPED))
        size_bytes += len(batch[-1])
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    yield batch


def _choose_windows(pages: Sequence[bytes]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the windows of some pages that are chosen by their content, hashed, and the page of each."""
    content = b"".join(pages)
    half = _WINDOW_BYTES // 2
    count = len(content) - _WINDOW_BYTES + 1
    if count <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    halves = np.empty(count + half, np.uint64)
    for offset in range(half):
        halves[offset::half] = np.frombuffer(content, "<u8", len(halves[offset::half]), offset)
    starts = np.flatnonzero(halves[:count] * _FACTORS[0] >> _SAMPLED_SHIFT == 0)
    ends = np.cumsum([len(page) for page in pages])
    numbers = np.searchsorted(ends, starts, side="right")
    within = starts + _WINDOW_BYTES <= ends[numbers]
    starts, numbers = starts[within], numbers[within]
    return mix(halves[starts] * _FACTORS[0] ^ halves[starts + half] * _FACTORS[1]), numbers
