"""Documents damaged as optical character recognition damages them, with what every place should read."""

import bisect
import dataclasses
import enum
import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.text.corpus import BREAK, Document, Kind, Mark


class Harm(enum.StrEnum):
    """A kind of damage."""

    JOINT = "sentence cut by a page's end"
    PAGE_HYPHEN = "word cut by a page's end"
    LINE_HYPHEN = "word cut by a line's end"
    LOST_SPACE = "lost space"
    RUNNING_HEAD = "running head"
    PAGE_NUMBER = "page number"
    LOOP = "loop at a page's end"
    MARKER = "page marker"
    CONTROL = "control character"
    MOJIBAKE = "wrongly decoded character"
    BRACE = "lost brace"
    NOTE = "footnote or caption amid a sentence"
    UNCLEAR = "page's end between sentences"  # the paragraph may go on or not, nothing tells; judged nowhere


class Damage(NamedTuple):
    """A place of a document that was damaged.

    `text[start:end]` should read as it does, or, where words were inserted there or next to it, without these.
    """

    harm: Harm
    start: int
    end: int
    inserted: str = ""


@dataclasses.dataclass(frozen=True)
class Damaged:
    """The pages of a document as they were read, and all that is wrong with them."""

    document: Document
    pages: tuple[str, ...]
    damages: tuple[Damage, ...]


# How often, a page; of page ends within a paragraph for the hyphen.
_RATES = {
    Harm.LINE_HYPHEN: 0.8,
    Harm.LOST_SPACE: 0.8,
    Harm.MOJIBAKE: 0.2,
    Harm.CONTROL: 0.05,
    Harm.BRACE: 0.1,
    Harm.LOOP: 0.02,
    Harm.MARKER: 0.03,
    Harm.PAGE_HYPHEN: 0.2,
}
_MOVED = (Kind.FOOTNOTE, Kind.FIGURE_CAPTION)


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def damage(document: Document, seed: int) -> Damaged:
    """Damage a document, the same way for the same seed."""
    return _Vandal(document, random.Random(f"damage {document.name} {seed}")).damaged()


def cut_only(document: Document) -> Damaged:
    """Return a document with no damage but that its pages have ends."""
    vandal = _Vandal(document, random.Random(0))
    return Damaged(document, document.pages, tuple(vandal.joints(list(document.page_starts[1:]))))


class _Vandal:
    def __init__(self, document: Document, chance: random.Random) -> None:
        self.document = document
        self.text = document.text
        self.chance = chance
        self.paragraphs = document.marks(Kind.PARAGRAPH)
        self.inlines = document.marks(Kind.INLINE)
        self.inline_starts = [mark.start for mark in self.inlines]
        self.taken: set[int] = set()  # characters near which nothing else is damaged
        self.edits: list[_Edit] = []
        self.damages: list[Damage] = []

    def damaged(self) -> Damaged:
        """Damage the document."""
        starts = list(self.document.page_starts)
        ends = [""] * len(starts)  # what stands at each page's end beyond its text
        self._cut_words(starts, ends)
        self.damages += self.joints(starts[1:])
        self._move_notes(starts, ends)
        for mark in self.paragraphs:
            self._damage_paragraph(mark)
        for mark in self.inlines:
            self._damage_formula(mark)
        bodies = [self._edited(start, end) for start, end in itertools.pairwise([*starts, len(self.text)])]
        pages = list(self._dressed(bodies, starts, ends))
        return Damaged(self.document, tuple(pages), tuple(sorted(self.damages, key=lambda damage: damage.start)))

    def joints(self, starts: list[int]) -> Iterator[Damage]:
        """Yield the page ends within paragraphs."""
        for start in starts:
            if self._is_in_paragraph(start) and self.text[start - 1] == " ":
                ends_sentence = self.text[start - 2] in ".!?"
                yield Damage(Harm.UNCLEAR if ends_sentence else Harm.JOINT, start - 1, start)
                self._take(start - 2, start + 2)

    def _is_in_paragraph(self, position: int) -> bool:
        return any(mark.start < position < mark.end for mark in self.paragraphs)

    def _cut_words(self, starts: list[int], ends: list[str]) -> None:
        """Let some pages that end within a paragraph end within its next word."""
        for index, start in enumerate(starts[1:], 1):
            word = self._word_at(start)
            if len(word) < 6 or not self._is_in_paragraph(start) or self.chance.random() >= _RATES[Harm.PAGE_HYPHEN]:
                continue
            part = self.chance.randint(2, len(word) - 3)
            self._take(start - 1, start + len(word))
            self.damages.append(Damage(Harm.PAGE_HYPHEN, start, start + len(word)))
            starts[index], ends[index - 1] = start + part, "-"

    def _word_at(self, start: int) -> str:
        """Return the plain lower-case word that stands at a place, without punctuation; "" if it is none."""
        word = self.text[start : start + 40].split(maxsplit=1)[0].rstrip(".,;?!")
        return word if word.isalpha() and word.islower() and word.isascii() else ""

    def _move_notes(self, starts: list[int], ends: list[str]) -> None:
        """Move notes and captions that stand after a paragraph to where a page's end cuts it."""
        blocks = [mark for mark in self.document.truth if mark.kind is not Kind.INLINE]
        for before, note in itertools.pairwise(blocks):
            if note.kind not in _MOVED or before.kind is not Kind.PARAGRAPH:
                continue
            cut = [index for index, start in enumerate(starts) if before.start < start < before.end]
            if not cut or any(before.end < start <= note.end for start in starts) or ends[cut[0] - 1]:
                continue
            ends[cut[0] - 1] = BREAK + self.text[note.start : note.end]
            self._edit(Harm.NOTE, before.end, note.end, "")
            self.damages[-1] = Damage(Harm.NOTE, starts[cut[0]] - 1, min(note.end + len(BREAK), len(self.text)))

    def _damage_paragraph(self, mark: Mark) -> None:
        length = mark.end - mark.start
        for harm, make in (
            (Harm.LINE_HYPHEN, self._cut_line),
            (Harm.LOST_SPACE, self._lose_space),
            (Harm.MOJIBAKE, self._misdecode),
            (Harm.CONTROL, self._control),
        ):
            if self.chance.random() < _RATES[harm] * length / 1500:
                make(self.chance.randrange(mark.start, mark.end), mark)

    def _damage_formula(self, mark: Mark) -> None:
        is_braced = self.text[mark.start : mark.end].endswith("}\\)")
        if is_braced and self.chance.random() < _RATES[Harm.BRACE] / 3 and self._is_free(mark.start, mark.end):
            self._edit(Harm.BRACE, mark.end - 3, mark.end - 2, "")

    def _cut_line(self, position: int, mark: Mark) -> None:
        start = self.text.rfind(" ", mark.start, position) + 1
        word = self._word_at(start)
        if start > mark.start and len(word) >= 6 and self._is_free(start, start + len(word)):
            part = start + self.chance.randint(2, len(word) - 3)
            self._edit(Harm.LINE_HYPHEN, part, part, "-\n")

    def _lose_space(self, position: int, mark: Mark) -> None:
        space = self.text.find(" ", position, mark.end)
        before = self.text[max(mark.start, space - 40) : max(space, mark.start)].rsplit(" ", 1)[-1]
        after = self._word_at(space + 1) if space > 0 else ""
        is_plain = before.isalpha() and before.islower() and after
        if is_plain and self._is_free(space - len(before), space + len(after)):
            self._edit(Harm.LOST_SPACE, space, space + 1, "")

    def _misdecode(self, position: int, mark: Mark) -> None:
        found = next((at for at in range(position, mark.end) if self.text[at] > "\x7f"), None)
        if found is not None and self._is_free(found, found + 1):
            wrong = self.text[found].encode().decode("cp1252", errors="ignore")
            self._edit(Harm.MOJIBAKE, found, found + 1, wrong)

    def _control(self, position: int, mark: Mark) -> None:
        if self._is_free(position, position + 1):
            self._edit(Harm.CONTROL, position, position, self.chance.choice("\x00\x07\x0e\x1b\x7f"))

    def _dressed(self, bodies: list[str], starts: list[int], ends: list[str]) -> Iterator[str]:
        """Yield the pages with what stands at their top and foot."""
        title = self.text.split("\n", 1)[0].lstrip("# ").upper()
        author = self.text.split(BREAK, 2)[1]
        has_heads, has_numbers = self.chance.random() < 0.6, self.chance.random() < 0.5
        first_number = self.chance.randint(1, 300)
        for index, (body, end) in enumerate(zip(bodies, ends, strict=True)):
            page, number = body + end, first_number + index
            stop = starts[index + 1] if index + 1 < len(starts) else len(self.text)
            if not end:
                page += self._loop(body, stop) or self._marker(stop, number)
            if has_heads and index:
                head = f"{number} {title}" if number % 2 == 0 else f"{author} {number}"
                self.damages.append(Damage(Harm.RUNNING_HEAD, starts[index], starts[index], head))
                page = head + BREAK + page
            elif has_numbers:
                self.damages.append(Damage(Harm.PAGE_NUMBER, stop, stop, str(number)))
                page += f"{BREAK}{number}"
            yield page

    def _loop(self, body: str, stop: int) -> str:
        """Return the end of a page over and over again."""
        phrase = " ".join(body.split("\n")[-1].split()[-8:])
        is_text = any(mark.start < stop - 1 <= mark.end for mark in self.paragraphs)
        if not is_text or "\\" in phrase or len(phrase) < 20 or self.chance.random() >= _RATES[Harm.LOOP]:
            return ""
        repeated = f" {phrase}" * self.chance.randint(8, 40)
        self.damages.append(Damage(Harm.LOOP, stop - len(phrase) - len(BREAK), stop, repeated))
        return repeated

    def _marker(self, stop: int, number: int) -> str:
        if self.chance.random() >= _RATES[Harm.MARKER]:
            return ""
        marker = self.chance.choice(["[MISSING_PAGE_POST]", f"[MISSING_PAGE_FAIL:{number}]"])
        self.damages.append(Damage(Harm.MARKER, stop, stop, marker))
        return BREAK + marker

    def _is_free(self, start: int, end: int) -> bool:
        """Say whether a range is in no formula, but for a whole one, and no other damage is near."""
        index = bisect.bisect_right(self.inline_starts, start) - 1
        in_formula = index >= 0 and start < self.inlines[index].end and end != self.inlines[index].end
        return not in_formula and self.taken.isdisjoint(range(start - 30, end + 30))

    def _take(self, start: int, end: int) -> None:
        self.taken.update(range(start, end))

    def _edit(self, harm: Harm, start: int, end: int, text: str) -> None:
        self.edits.append(_Edit(start, end, text))
        self.damages.append(Damage(harm, start, end))
        self._take(start, end + 1)

    def _edited(self, start: int, end: int) -> str:
        """Return a page's text with the edits that lie within it."""
        pieces, position = [], start
        for edit in sorted(edit for edit in self.edits if start <= edit.start < end):
            pieces += [self.text[position : edit.start], edit.text]
            position = edit.end
        return "".join([*pieces, self.text[position:end]]).strip()
