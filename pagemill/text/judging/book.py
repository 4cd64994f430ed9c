"""Judges a cleaned book: figures of its pages and of the whole, what its profile leaves out, and what it masks."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pagemill.records import Drop, PageQuality, PageRecord, Quality
from pagemill.text.cleaning.book import Cleaned
from pagemill.text.cleaning.joints import PARAGRAPH_BREAK
from pagemill.text.judging.language import UNDETERMINED, detect, weigh
from pagemill.text.judging.quality import REPEATED_PAGE, book_quality, page_quality
from pagemill.text.judging.rules import Figures, first_broken
from pagemill.text.mmd.prose import layout_beside_prose

if TYPE_CHECKING:
    from pagemill.text.judging.masking import MaskedSpan
    from pagemill.text.judging.profile import Profile

EXCERPT_CHARACTERS = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A book's text after its profile, and for each page that went in what it is and what became of it.

    `text[page_ends[i - 1] : page_ends[i]]` is page i, "" for one that was left out.
    """

    text: str
    page_ends: tuple[int, ...]
    page_tags: tuple[str, ...]
    page_labels: tuple[str, ...]
    page_languages: tuple[str, ...]
    page_quality: tuple[PageQuality, ...]
    page_dropped: tuple[str, ...]  # the rule that left the page out, "" for one that stays
    masked: Mapping[str, int]  # how much was masked of each kind that the profile names
    language: str
    language_score: float
    quality: Quality
    drops: tuple[Drop, ...]  # pages left out, and the book itself if it is
    dropped_by: str  # the rule that the book breaks, "" for none

    def pages(self) -> Iterator[str]:
        """Yield the text of each page."""
        for start, end in itertools.pairwise((0, *self.page_ends)):
            yield self.text[start:end]


def judge(cleaned: Cleaned, profile: "Profile", *, ledger: Sequence[PageRecord] = (), pdf_sha256: str = "") -> Judged:
    """Judge a cleaned book by a profile, and leave out and mask what the profile says.

    Pages that break a rule, and pages that repeat another one, leave the text; an empty line stands where
    they were. A book that breaks a rule keeps its text: who asked decides what becomes of it. Pages without
    text break no rule. Judging the text of a single page again changes nothing.

    Args:
        cleaned: What `pagemill.text.clean` made of the book's pages.
        profile: What `pagemill.text.load_profile` read.
        ledger: A row for each page, in order. Without it, agreement is not known and no page is missing,
            truncated or has LaTeX errors.
        pdf_sha256: Which book the drops are of.

    Raises:
        ValueError: The ledger has more or fewer rows than the book has pages.
    """
    texts = list(cleaned.pages())
    if ledger and len(ledger) != len(texts):
        raise ValueError(f"a ledger of {len(ledger)} rows for {len(texts)} pages")
    figures = [_page_figures(cleaned, ledger, index, text) for index, text in enumerate(texts)]
    numbers = [row.page for row in ledger] or range(1, len(texts) + 1)
    broken = _broken_rules(texts, figures, numbers, profile)
    dropped = tuple(name for name, _ in broken)
    text, page_ends = _without_dropped(texts, dropped)
    text, page_ends, masked = _mask(text, page_ends, profile.mask)
    language, score = _language(texts, figures, dropped)
    quality = book_quality(figures, dropped=dropped, ledger=ledger, removed=cleaned.removed, repaired=cleaned.repaired)
    of_book = dataclasses.asdict(quality) | {"language": language, "language_score": score}
    found = [(number, rule, each) for number, rule, each in zip(numbers, broken, texts, strict=True) if rule[0]]
    dropped_by, why = first_broken(profile.documents, _known(of_book))
    if dropped_by:
        found.append((0, (dropped_by, why), text or cleaned.text))
    return Judged(
        text=text,
        page_ends=page_ends,
        page_tags=cleaned.page_tags,
        page_labels=cleaned.page_labels,
        page_languages=tuple(page.language for page in figures),
        page_quality=tuple(figures),
        page_dropped=dropped,
        masked=masked,
        language=language,
        language_score=score,
        quality=quality,
        drops=tuple(Drop(pdf_sha256, page, *rule, _excerpt(each, profile.mask)) for page, rule, each in found),
        dropped_by=dropped_by,
    )


def _language(texts: Sequence[str], figures: Sequence[PageQuality], dropped: Sequence[str]) -> tuple[str, float]:
    """Weigh the languages of the pages that stay, each by its length."""
    pages = zip(texts, figures, dropped, strict=True)
    return weigh((page.language, page.language_score, len(text)) for text, page, rule in pages if not rule)


def _page_figures(cleaned: Cleaned, ledger: Sequence[PageRecord], index: int, text: str) -> PageQuality:
    layout = layout_beside_prose(text)
    language, score = detect(text, layout)
    return page_quality(
        text,
        layout,
        language=language,
        language_score=score,
        tag=cleaned.page_tags[index],
        loop_lines=cleaned.page_loop_lines[index],
        read=ledger[index] if ledger else None,
    )


def _broken_rules(
    texts: Sequence[str], pages: Sequence[PageQuality], numbers: Sequence[int], profile: "Profile"
) -> list[tuple[str, str]]:
    """Return for each page the rule that it breaks and why, ("", "") where it breaks none."""
    broken = [
        first_broken(profile.pages, _known(page.to_dict())) if text.strip() else ("", "")
        for text, page in zip(texts, pages, strict=True)
    ]
    if profile.repeated_pages is None:
        return broken
    from pagemill.text.dedup.pages import repeated_pages

    left = ["" if name else text for text, (name, _) in zip(texts, broken, strict=True)]
    originals = repeated_pages(left, profile.repeated_pages.min_similarity)
    return [
        (REPEATED_PAGE, f"says what page {numbers[original]} says") if original >= 0 else rule
        for rule, original in zip(broken, originals, strict=True)
    ]


def _known(figures: Mapping[str, Any]) -> Figures:
    """Return the figures by which rules go: a language that could not be told is not known."""
    return {name: None if value == UNDETERMINED else value for name, value in figures.items()}


def _without_dropped(texts: Sequence[str], dropped: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """Join the pages that stay; where one was left out between two of them, an empty line parts them."""
    kept = ["" if rule else text for text, rule in zip(texts, dropped, strict=True)]
    filled = [index for index, text in enumerate(kept) if text.strip()]
    for before, after in itertools.pairwise([*filled, len(kept)]):
        if any(dropped[before + 1 : after]):
            kept[before] = kept[before].rstrip() + (PARAGRAPH_BREAK if after < len(kept) else "")
    return "".join(kept), tuple(itertools.accumulate(map(len, kept)))


def _mask(text: str, page_ends: tuple[int, ...], kinds: Sequence[str]) -> tuple[str, tuple[int, ...], dict[str, int]]:
    """Mask a text; return it with the ends of its pages where they are then, and how much was masked by kind."""
    if not kinds:
        return text, page_ends, {}
    from pagemill.text.judging.masking import mask

    masked = mask(text, kinds)
    counts = Counter(span.kind for span in masked.spans)
    return masked.text, _moved(page_ends, masked.spans), {kind: counts[kind] for kind in kinds}


def _moved(ends: Sequence[int], spans: Sequence["MaskedSpan"]) -> tuple[int, ...]:
    """Return offsets, in order, where replacements have put them; one within a span moves to the span's end."""
    moved: list[int] = []
    shift, waiting = 0, iter([*spans, None])
    span = next(waiting)
    for end in ends:
        while span is not None and span.start < end:
            shift += len(span.replacement) - (span.end - span.start)
            last, span = span.end, next(waiting)
            end = max(end, last)
        moved.append(max([end + shift, *moved[-1:]]))
    return tuple(moved)


def _excerpt(text: str, kinds: Sequence[str]) -> str:
    """Return the beginning of a text on one line, masked as the text is."""
    shown, _, _ = _mask(text[: 2 * EXCERPT_CHARACTERS], (), kinds)
    return " ".join(shown.split())[:EXCERPT_CHARACTERS]
