"""What cleaning mends of damaged documents, and what it changes that was right."""

import bisect
import dataclasses
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from benchmarks.text.corpus import documents
from benchmarks.text.damage import Damage, Damaged, Harm, cut_only, damage

_TOKEN = re.compile(r"\n[ \t]*\n\s*|\S+")
PARAGRAPH_MARK = "\n\n"


@dataclasses.dataclass
class Mended:
    """What became of the damages of documents, by kind, and of what was right."""

    mended: Counter[Harm] = dataclasses.field(default_factory=Counter)
    damaged: Counter[Harm] = dataclasses.field(default_factory=Counter)
    wrong: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # what it was, what it became
    pages: int = 0

    def add(self, other: "Mended") -> None:
        """Add what became of other documents."""
        self.mended += other.mended
        self.damaged += other.damaged
        self.wrong += other.wrong
        self.pages += other.pages


class _Change(NamedTuple):
    """A range of the truth's words, empty for an insertion, and the words that stand in its place."""

    first: int
    last: int
    words: list[str]


class _Words:
    """A text as words and paragraph marks, and where each begins and ends."""

    def __init__(self, text: str) -> None:
        matches = list(_TOKEN.finditer(text))
        self.words = [PARAGRAPH_MARK if match[0].isspace() else match[0] for match in matches]
        self.starts = [match.start() for match in matches]
        self.ends = [match.end() for match in matches]


def compare(damaged: Damaged, text: str) -> Mended:
    """Tell what became of a damaged document.

    The text is aligned to the truth word by word. A damage is mended if no word at it differs, or, where words were
    inserted, if none of them is left. What differs more than two words away from all damages is wrong.

    Args:
        damaged: The document, and what was done to it.
        text: What cleaning made of its pages.
    """
    truth, found = _Words(damaged.document.text), _Words(text)
    changes = _changes(truth.words, found.words)
    lines = set(text.split("\n")) - {""}
    result = Mended(pages=len(damaged.pages))
    windows = [_window(place, truth) for place in damaged.damages]
    touching: dict[int, list[int]] = defaultdict(list)
    for index, at in _touches(windows, changes, margin=1):
        touching[index].append(at)
    blamed = {at for _, at in _touches(windows, changes, margin=2)}
    for index, place in enumerate(damaged.damages):
        if place.harm is not Harm.UNCLEAR:
            result.damaged[place.harm] += 1
            is_left = place.inserted in lines  # wherever it was aligned to
            result.mended[place.harm] += not is_left and _is_mended(place, [changes[at] for at in touching[index]])
    result.wrong = [
        (" ".join(truth.words[first:last]), " ".join(words))
        for at, (first, last, words) in enumerate(changes)
        if at not in blamed
    ]
    return result


def _changes(truth: Sequence[str], found: Sequence[str]) -> list[_Change]:
    """Return where two lists of words differ, at most once between words that are equal."""
    codes = Levenshtein.opcodes(truth, found)
    runs = (list(run) for is_equal, run in itertools.groupby(codes, lambda code: code.tag == "equal") if not is_equal)
    return [
        _Change(run[0].src_start, run[-1].src_end, list(found[run[0].dest_start : run[-1].dest_end])) for run in runs
    ]


def _window(place: Damage, truth: _Words) -> tuple[int, int]:
    """Return the words of the truth that a damage touches, as a range."""
    first = bisect.bisect_left(truth.ends, place.start)
    last = max(first, bisect.bisect_left(truth.starts, max(place.end, place.start + 1)))
    return first, last


def _touches(windows: Sequence[tuple[int, int]], changes: Sequence[_Change], margin: int) -> Iterator[tuple[int, int]]:
    """Yield which damages have which changes within so many words: of equal words, any may seem to be the new one."""
    by_word: dict[int, list[int]] = defaultdict(list)
    for at, (first, last, _) in enumerate(changes):
        for word in range(first, max(last, first + 1)):
            by_word[word].append(at)
    for index, (first, last) in enumerate(windows):
        for at in sorted({at for word in range(first - margin, last + margin) for at in by_word.get(word, ())}):
            yield index, at


def _is_mended(place: Damage, changes: Sequence[_Change]) -> bool:
    """Say whether the changes at a damage leave nothing of it."""
    if place.inserted:
        left = Counter(itertools.chain.from_iterable(words for _, _, words in changes))
        return not left & Counter(place.inserted.split())
    return not changes


def measure(seed: int, pages: int) -> dict[str, tuple[Mended, Mended]]:
    """Clean documents as they were read, and documents that only have page ends; compare before and after.

    Returns:
        For each of the two, by name, what is right before cleaning and after it.
    """
    from pagemill.text.cleaning.book import clean

    results = {name: (Mended(), Mended()) for name in ("damaged", "only cut into pages")}
    for document in documents(seed, pages):
        for name, given in (("damaged", damage(document, seed)), ("only cut into pages", cut_only(document))):
            before, after = results[name]
            before.add(compare(given, "\n\n".join(given.pages)))
            after.add(compare(given, clean(given.pages).text))
    return results


def print_table(results: dict[str, tuple[Mended, Mended]]) -> None:
    """Print the share of each damage that is mended, and how often what was right was changed."""
    for name, (before, after) in results.items():
        print(f"\n### Cleaning: documents {name}, {after.pages:,} pages\n")
        print("| damage | places | right before | mended |\n| --- | --- | --- | --- |")
        for harm in Harm:
            if count := after.damaged[harm]:
                shares = f"{before.mended[harm] / count:.1%} | {after.mended[harm] / count:.1%}"
                print(f"| {harm} | {count:,} | {shares} |")
        wrong = f"{len(after.wrong):,} ({1000 * len(after.wrong) / after.pages:.1f} in 1,000 pages)"
        print(f"| wrong changes of what was right | | {len(before.wrong):,} | {wrong} |")
        spaces = sum(was == became.replace(" ", "") for was, became in after.wrong)
        print(f"| of these, spaces put into words | | | {spaces:,} |", flush=True)


def main() -> None:
    """Print the table, and examples of wrong changes."""
    results = measure(7, 300)
    print_table(results)
    for name, (_, after) in results.items():
        print(f"\n{name}:")
        for was, became in after.wrong[:40]:
            print(f"  {was[:160]!r} -> {became[:160]!r}")


if __name__ == "__main__":
    main()
