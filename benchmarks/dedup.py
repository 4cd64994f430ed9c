"""Near-duplicates found among books and pages, beside datasketch at the same threshold and length of signatures.

The books are made by chance: originals on one subject, that share its phrases and end with the same boilerplate, and
of each an edition of every kind. Going through them in order, a book has to go if its exact Jaccard similarity (of the
sets of runs of three words) with one that was kept is at least the threshold. Precision and recall are of books that
went; clear cases are those that are not within 0.05 of the threshold. datasketch is given the runs of words ready made,
as it has no words of its own. It is used as documented, so that a book goes if the index returns any for it, and then
again with what is returned checked by the estimate.
"""

import argparse
import dataclasses
import resource
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dedup_corpus import Book, make_books, make_pages

from pagemill.text.dedup import deduplicate, near_duplicates, repeated_pages
from pagemill.text.dedup.lsh import MIN_SIMILARITY, choose_banding
from pagemill.text.dedup.minhash import SIGNATURE_VALUES
from pagemill.text.dedup.signature_file import SignatureFile
from pagemill.text.dedup.wording import SHINGLE_WORDS, shingles_of, words_of

MEBIBYTE = 2**20
COLUMNS_AT_ONCE = 50_000


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What became of the books: for each the index of the one that is kept for it; and what that took."""

    name: str
    kept: list[int]
    seconds: float

    def went(self) -> set[int]:
        """Return the books that are not kept."""
        return {index for index, keeper in enumerate(self.kept) if keeper != index}


def by_pagemill(books: Sequence[Book], threshold: float) -> Found:
    started = time.process_time()
    kept = deduplicate((book.text for book in books), threshold)
    return Found("pagemill", kept, time.process_time() - started)


def by_datasketch(books: Sequence[Book], threshold: float) -> tuple[Found, Found]:
    """Return what datasketch finds, without a check by the estimate and with it."""
    from datasketch import MinHash

    runs = [_runs(book.text) for book in books]
    started = time.process_time()
    sketches = []
    for each in runs:
        sketches.append(MinHash(num_perm=SIGNATURE_VALUES))
        sketches[-1].update_batch(each)
    seconds = time.process_time() - started
    return (
        _index("datasketch", sketches, threshold, seconds, checked=False),
        _index("datasketch, checked", sketches, threshold, seconds, checked=True),
    )


def _index(name: str, sketches: Sequence, threshold: float, seconds: float, *, checked: bool) -> Found:
    from datasketch import MinHashLSH

    started = time.process_time()
    index = MinHashLSH(threshold=threshold, num_perm=SIGNATURE_VALUES)
    kept = []
    for number, sketch in enumerate(sketches):
        found = index.query(sketch)
        if checked:
            found = [other for other in found if sketch.jaccard(sketches[other]) >= threshold]
        kept.append(min(found, default=number))
        if kept[-1] == number:
            index.insert(number, sketch)
    return Found(name, kept, seconds + time.process_time() - started)


def _runs(text: str) -> list[bytes]:
    words = words_of(text)
    return [b" ".join(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1)]


def exact_similarities(texts: Sequence[str]) -> np.ndarray:
    """Return the Jaccard similarity of each two texts, shape (texts, texts), by counting what they have in common."""
    shingles = [np.unique(shingles_of(words_of(text))) for text in texts]
    everything, counts = np.unique(np.concatenate(shingles), return_counts=True)
    shared = everything[counts > 1]
    common = np.zeros((len(texts), len(texts)), np.float32)
    for start in range(0, len(shared), COLUMNS_AT_ONCE):
        columns = shared[start : start + COLUMNS_AT_ONCE]
        has = np.stack([np.isin(columns, each, assume_unique=True) for each in shingles]).astype(np.float32)
        common += has @ has.T
    sizes = np.array([len(each) for each in shingles])
    np.fill_diagonal(common, sizes)
    return common / (sizes[:, None] + sizes[None, :] - common)


def exact(similarities: np.ndarray, threshold: float) -> Found:
    kept: list[int] = []
    keepers: list[int] = []
    for index in range(len(similarities)):
        alike = [keeper for keeper in keepers if similarities[index, keeper] >= threshold]
        kept.append(min(alike, default=index))
        if not alike:
            keepers.append(index)
    return Found("exact", kept, 0.0)


def compare_books(originals: int, threshold: float, seed: int) -> None:
    """Print how well the books are found that have to go, and how fast."""
    books = make_books(originals, seed)
    similarities = exact_similarities([book.text for book in books])
    truth = exact(similarities, threshold)
    contenders = [by_pagemill(books, threshold), *by_datasketch(books, threshold)]
    megabytes = sum(len(book.text) for book in books) / 1e6
    unrelated = similarities[:originals, :originals][~np.eye(originals, dtype=bool)].max()
    print(f"{len(books)} books, {megabytes:.0f} MB; threshold {threshold}, signatures of {SIGNATURE_VALUES} values;")
    print(f"similarity of two originals: at most {unrelated:.3f}\n")
    _print_scores(truth, contenders, _clear_ones(similarities, truth, threshold), megabytes)
    _print_kinds(books, similarities, truth, contenders)


def _clear_ones(similarities: np.ndarray, truth: Found, threshold: float) -> set[int]:
    """Return the books of which the similarity with what was kept before them is not within 0.05 of the threshold."""
    kept_before = np.tril(similarities, -1)
    kept_before[:, sorted(truth.went())] = 0.0
    return set(np.flatnonzero(np.abs(kept_before.max(axis=1) - threshold) > 0.05).tolist())


def _print_scores(truth: Found, contenders: Sequence[Found], clear: set[int], megabytes: float) -> None:
    print("| | precision | recall | precision, clear cases | recall, clear cases | seconds | MB/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for found in contenders:
        scores = (*_scores(found.went(), truth.went()), *_scores(found.went() & clear, truth.went() & clear))
        cells = " | ".join(f"{score:.3f}" for score in scores)
        print(f"| {found.name} | {cells} | {found.seconds:.1f} | {megabytes / found.seconds:.2f} |")
    ours, theirs = contenders[0].seconds, contenders[1].seconds
    print(f"\ndatasketch takes {theirs / ours:.0f} times as long, without the making of its runs of words\n")


def _scores(found: set[int], true: set[int]) -> tuple[float, float]:
    right = len(found & true)
    return right / len(found) if found else 1.0, right / len(true) if true else 1.0


def _print_kinds(books: Sequence[Book], similarities: np.ndarray, truth: Found, contenders: Sequence[Found]) -> None:
    print(f"| edition | similarity with the original | have to go | {' | '.join(each.name for each in contenders)} |")
    print("| --- | --- | ---" + " | ---" * len(contenders) + " |")
    for kind in dict.fromkeys(book.kind for book in books):
        members = [index for index, book in enumerate(books) if book.kind == kind]
        if kind == "original":
            span = "-"
        else:
            values = similarities[members, [books[index].original for index in members]]
            span = f"{values.min():.2f} to {values.max():.2f}"
        went = " | ".join(str(len(found.went() & set(members))) for found in (truth, *contenders))
        print(f"| {kind} | {span} | {went} |")
    print()


def compare_pages(count: int, seed: int) -> None:
    """Print how well pages are found that come twice in a book."""
    texts, repeated = make_pages(count, count // 10, seed)
    megabytes = sum(map(len, texts)) / 1e6
    true = {(page, original) for page, original in enumerate(repeated) if original >= 0}
    print(f"{len(texts)} pages of a book, {megabytes:.1f} MB, {len(true)} of them once more\n")
    print("| threshold | precision | recall | seconds a MB |")
    print("| --- | --- | --- | --- |")
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        started = time.process_time()
        found = {(page, other) for page, other in enumerate(repeated_pages(texts, threshold)) if other >= 0}
        seconds = time.process_time() - started
        right = len(found & true)
        precision = right / len(found) if found else 1.0
        print(f"| {threshold} | {precision:.3f} | {right / len(true):.3f} | {seconds / megabytes:.3f} |")
    print()


def measure_join(items: int, threshold: float, seed: int) -> None:
    """Print time and memory of finding what is alike among signatures, of which one in five is like an earlier one."""
    generator = np.random.default_rng(seed)
    with SignatureFile() as signatures:
        pairs = _write_signatures(signatures, items, generator)
        before = _anonymous_bytes()
        watch = _Watch()
        started, started_cpu = time.monotonic(), time.process_time()
        found = near_duplicates(signatures, threshold)
        seconds, cpu = time.monotonic() - started, time.process_time() - started_cpu
        peak = watch.stop() - before
    alike = pairs[2] >= threshold
    recall = np.mean(found.kept[pairs[0][alike]] == pairs[1][alike])
    wrong = np.sum(found.kept != np.arange(items)) - np.sum(found.kept[pairs[0][alike]] == pairs[1][alike])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("| signatures | seconds | of the processor | memory | a signature | peak of the process | recall | wrong |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {items:,} | {seconds:.1f} | {cpu:.1f} | {peak / MEBIBYTE:.0f} MiB | {peak / items:.0f} bytes "
        f"| {most / MEBIBYTE:.0f} MiB | {recall:.4f} | {wrong} |"
    )


def _write_signatures(
    signatures: SignatureFile, items: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write random signatures; return which are like which earlier one, and how similar they are."""
    block = 10_000
    later, earlier, similarity = [], [], []
    for start in range(0, items, block):
        rows = generator.integers(0, 2**32, (min(block, items - start), SIGNATURE_VALUES), dtype=np.uint32)
        new = len(rows) * 4 // 5
        originals = generator.integers(0, new, len(rows) - new)
        shares = generator.uniform(0.4, 1.0, len(rows) - new)
        same = generator.random((len(rows) - new, SIGNATURE_VALUES)) < shares[:, None]
        rows[new:] = np.where(same, rows[originals], rows[new:])
        signatures.append(rows)
        later.append(np.arange(start + new, start + len(rows)))
        earlier.append(start + originals)
        similarity.append(same.mean(axis=1))
    return np.concatenate(later), np.concatenate(earlier), np.concatenate(similarity)


def _anonymous_bytes() -> int:
    """Return the process's memory that is not a file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class _Watch:
    """Looks at the process's memory fifty times a second."""

    def __init__(self) -> None:
        self.peak, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.done.wait(0.02):
            self.peak = max(self.peak, _anonymous_bytes())

    def stop(self) -> int:
        """Return the most memory that was seen, in bytes."""
        self.done.set()
        self.thread.join()
        return self.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=int, default=20)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--threshold", type=float, default=MIN_SIMILARITY)
    parser.add_argument("--items", type=int, default=0, help="measure the join of so many signatures instead")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.items:
        measure_join(options.items, options.threshold, options.seed)
        return
    banding = choose_banding(SIGNATURE_VALUES, options.threshold)
    print(f"{banding.bands} bands of {banding.rows}; python {sys.version.split()[0]}, numpy {np.__version__}\n")
    compare_books(options.originals, options.threshold, options.seed)
    compare_pages(options.pages, options.seed)


if __name__ == "__main__":
    main()
