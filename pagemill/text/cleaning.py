"""Cleans what OCR read of a book and joins its pages into one text."""

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import ftfy

from pagemill.text.blocks import BlockKind, parse_blocks, parse_layout
from pagemill.text.joining import SOFT_HYPHEN, book_words, join_lines, join_pages, protected_spans, span_around
from pagemill.text.latex import Repaired, repair_latex
from pagemill.text.spaces import restore_spaces
from pagemill.text.tagging import tag_pages

RUNNING_SHARE = 0.25  # of the pages on which a running head must recur
RUNNING_MIN_PAGES = 3
LOOP_REPEATS = 5

_EDGE_LINES = 2  # at a page's top and bottom: a running head and a page number, each on its line
_TOP, _BOTTOM = 0, -1
_MAX_HEAD_CHARACTERS = 100
_MIN_LOOP_LINE_CHARACTERS = 10  # shorter lines may well repeat, as cells of a column do
_MIN_LOOP_CHARACTERS = 100
_LOOP_WINDOW_CHARACTERS = 2000
_LOOP_PROBE_CHARACTERS = 16  # the end of a loop must come up again this often before it is looked at closely
_LOOP_PROBE_COUNT = 3
_MAX_PASSES = 10  # one changes the text, the next finds nothing left to change; more are rare

# Quotes, ligatures and character widths are the book's own. HTML is not expected where LaTeX aligns
# with ampersands, and unescaping nested entities takes ftfy quadratic time.
_FTFY = ftfy.TextFixerConfig(
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,
    unescape_html=False,
    explain=False,
)
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\u2028\u2029]")
_PDF_HYPHENS = re.compile("[\x02\ufffe](?=[ \t]*+\n)")  # how PDF readers mark a hyphen at a line's end
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc\ufdd0-\ufdef\ufffe\uffff]")
_C1_CONTROLS = re.compile("[\x80-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LINES = re.compile(r"[^\n]+")
_DIGITS = re.compile(r"\d+")
_ROMAN_NUMBER = re.compile(r"\W*[ivxlcdm]{1,8}\W*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Removed:
    """How much cleaning took out, and put back, by kind."""

    control_characters: int = 0
    page_markers: int = 0
    loop_lines: int = 0
    running_lines: int = 0
    line_end_hyphens: int = 0  # words that a line's end had cut, joined again
    lost_spaces: int = 0  # put back between two words


@dataclasses.dataclass(frozen=True, slots=True)
class Cleaned:
    """A book's text with, for each page that went in, where it ends and what it is.

    `text[page_ends[i - 1] : page_ends[i]]` is page i; what separates it from the next belongs to it.
    """

    text: str
    page_ends: tuple[int, ...]
    page_tags: tuple[str, ...]
    removed: Removed
    repaired: Repaired

    def pages(self) -> Iterator[str]:
        """Yield the text of each page."""
        for start, end in itertools.pairwise((0, *self.page_ends)):
            yield self.text[start:end]


def clean(
    pages: str | Sequence[str],
    *,
    running_share: float = RUNNING_SHARE,
    running_min_pages: int = RUNNING_MIN_PAGES,
    loop_repeats: int = LOOP_REPEATS,
) -> Cleaned:
    """Clean the pages of a book and join them into one text.

    Unicode is repaired; Nougat's page markers, what a loop left behind, and running heads and feet
    go; words and sentences that a page cut in two are joined, and words that lost the space between
    them are parted. LaTeX that does not balance is repaired; other mathematics, tables and code stay as
    they are. Cleaning the text of a single page again changes nothing.

    Args:
        pages: Text of each page in order, "" for one without text; a str is a single page.
        running_share: A line at the top or bottom of at least this share of the pages is a running
            head or foot, digits apart.
        running_min_pages: Fewer pages than this never make a line a running head.
        loop_repeats: A line, or a passage at a page's end, that comes this often in a row is a loop.

    Returns:
        The text, its pages' ends and tags, and what was removed and repaired.
    """
    removed: Counter[str] = Counter()
    texts = [_tally(repair(text), "control_characters", removed) for text in _as_pages(pages)]
    words = book_words(texts)
    texts = [_settle(text, words, loop_repeats, removed) for text in texts]
    with_heads = texts
    texts, removed["running_lines"] = remove_running_lines(texts, running_share, running_min_pages)
    texts = [
        new if new == old else _settle(new, words, loop_repeats, removed)
        for old, new in zip(with_heads, texts, strict=True)
    ]
    repaired: Counter[str] = Counter()
    texts = [_balance(text, words, loop_repeats, removed, repaired) for text in texts]
    texts = _part_words(texts, words, loop_repeats, removed)
    text, page_ends = join_pages(texts, words)
    return Cleaned(text, page_ends, tag_pages(texts), Removed(**removed), Repaired(**repaired))


def repair(text: str) -> tuple[str, int]:
    r"""Repair mojibake and line ends, and drop what no text may hold.

    That is NUL and the other control characters except ``\t`` and ``\n``, lone surrogates and
    noncharacters. Only lines beyond ASCII can hold mojibake, so only they go through ftfy.

    Returns:
        The text and how many characters were dropped.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _PDF_HYPHENS.sub(SOFT_HYPHEN, text)
    text, surrogates = _drop_surrogates(text)
    text, controls = _CONTROLS.subn("", text)
    if not text.isascii():
        text = "\n".join(line if line.isascii() else ftfy.fix_text(line, _FTFY) for line in text.split("\n"))
    text, c1_controls = _C1_CONTROLS.subn("", text)
    return text, surrogates + controls + c1_controls


def remove_markers(text: str) -> tuple[str, int]:
    """Put a paragraph's break in the place of Nougat's `[MISSING_PAGE_...]`; the ledger has the fact.

    Returns:
        The text and how many markers were removed.
    """
    if "[MISSING_PAGE_" not in text:
        return text, 0
    blocks = parse_blocks(text)
    kept = ("\n\n" if block.kind is BlockKind.MISSING_PAGE else text[block.start : block.end] for block in blocks)
    return "".join(kept), sum(block.kind is BlockKind.MISSING_PAGE for block in blocks)


def remove_repeated_lines(text: str, min_repeats: int = LOOP_REPEATS) -> tuple[str, int]:
    """Keep one of a line that comes many times in a row, empty lines between them or not.

    Code, tables and equations of several lines are left alone, and so are very short lines.

    Returns:
        The text and how many lines were removed.
    """
    lines = [match for match in _LINES.finditer(text) if match.group().strip()]
    runs = [list(run) for _, run in itertools.groupby(lines, key=lambda line: line.group().strip())]
    loops = [run for run in runs if len(run) >= min_repeats and _can_loop(run[0].group().strip())]
    if not loops:
        return text, 0
    protected = [span for span in protected_spans(parse_layout(text)) if "\n" in text[span.start : span.end].strip()]
    kept, position, count = [], 0, 0
    for run in loops:
        if span_around(protected, run[0].start()) or span_around(protected, run[-1].start()):
            continue
        kept.append(text[position : run[0].end()])
        position, count = run[-1].end(), count + len(run) - 1
    return "".join([*kept, text[position:]]), count


def remove_loop_at_end(text: str, min_repeats: int = LOOP_REPEATS) -> tuple[str, int]:
    """Keep the first of a passage that is repeated up to the page's end, wherever the end cuts it.

    Returns:
        The text and how many repeats were removed.
    """
    text = text.rstrip()
    start, period = _find_loop(text, min_repeats)
    if not period:
        return text, 0
    cut = _sound_cut(text, start + period, period)
    return text[:cut].rstrip(), -(-(len(text) - cut) // period)


def remove_running_lines(
    pages: Sequence[str], share: float = RUNNING_SHARE, min_pages: int = RUNNING_MIN_PAGES
) -> tuple[list[str], int]:
    """Remove first and last lines that recur on many pages; numbers in them may differ.

    A page's number alone on a line is such a line. Headings must recur to the letter, and the first
    of them stays, for it is the real one. No page loses the only words it has.

    Returns:
        The pages and how many lines were removed.
    """
    texts, count = list(pages), 0
    needed = max(min_pages, share * sum(map(bool, texts)))
    for _, edge in itertools.product(range(_EDGE_LINES), (_TOP, _BOTTOM)):
        lines = [_line_at(text, edge) for text in texts]
        keys = [_head_key(line) for line in lines]
        recurring = {key for key, pages_with_it in Counter(keys).items() if key and pages_with_it >= needed}
        real_headings = {keys.index(key) for key in recurring if key.startswith("#")}
        for index, (text, line, key) in enumerate(zip(texts, lines, keys, strict=True)):
            rest = _without_line(text, line, edge)
            if key in recurring and index not in real_headings and (_has_words(rest) or not _has_words(line)):
                texts[index] = rest
                count += 1
    return texts, count


def collapse_gaps(text: str) -> str:
    """Leave at most one empty line between blocks and none around the text."""
    pieces = []
    for block in parse_blocks(text):
        body = text[block.start : block.end]
        kept = body.rstrip()
        gap = body[len(kept) :]
        pieces += [kept, "\n\n" if gap.count("\n") > 1 else gap]
    return "".join(pieces).strip()


def _as_pages(pages: str | Sequence[str]) -> Sequence[str]:
    return [pages] if isinstance(pages, str) else pages


def _settle(text: str, words: Mapping[str, int], loop_repeats: int, removed: Counter[str]) -> str:
    """Scrub a page and join its lines until there is nothing left to change."""
    for _ in range(_MAX_PASSES):
        before = text
        text = _scrub(text, loop_repeats, removed)
        text = _tally(join_lines(text, words), "line_end_hyphens", removed)
        if text == before:
            break
    return text


def _balance(
    text: str, words: Mapping[str, int], loop_repeats: int, removed: Counter[str], repaired: Counter[str]
) -> str:
    """Repair a page's LaTeX; where that shows something else to clean, clean and repair again."""
    for _ in range(_MAX_PASSES):
        before = text
        text, found = repair_latex(before)
        repaired.update(dataclasses.asdict(found))
        settled = text if text == before else _settle(text, words, loop_repeats, removed)
        if settled == text:
            break
        text = settled
        repaired["openers_left"] -= found.openers_left
    return text


def _part_words(texts: list[str], words: Mapping[str, int], loop_repeats: int, removed: Counter[str]) -> list[str]:
    """Put lost spaces back, each of which may make another certain, until there is none left to find."""
    for _ in range(_MAX_PASSES):
        spaced, count = restore_spaces(texts)
        if not count:
            break
        removed["lost_spaces"] += count
        texts = [
            new if new == old else _settle(new, words, loop_repeats, removed)
            for old, new in zip(texts, spaced, strict=True)
        ]
    return texts


def _scrub(text: str, loop_repeats: int, removed: Counter[str]) -> str:
    text = _tally(repair(text), "control_characters", removed)
    text = _tally(remove_markers(text), "page_markers", removed)
    text = _tally(remove_repeated_lines(text, loop_repeats), "loop_lines", removed)
    text = _tally(remove_loop_at_end(text, loop_repeats), "loop_lines", removed)
    return collapse_gaps(text)


def _tally(result: tuple[str, int], kind: str, removed: Counter[str]) -> str:
    text, count = result
    removed[kind] += count
    return text


def _drop_surrogates(text: str) -> tuple[str, int]:
    """Join surrogate pairs to the characters they stand for and drop lone ones."""
    found = len(_SURROGATES.findall(text))
    if not found:
        return text, 0
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    # a pair shortens the text by one and a lone one by one: 2 * shortening = 2 * pairs + 2 * lone
    return paired, 2 * (len(text) - len(paired)) - found


def _can_loop(line: str) -> bool:
    return len(line) >= _MIN_LOOP_LINE_CHARACTERS and any(map(str.isalnum, line))


def _find_loop(text: str, min_repeats: int) -> tuple[int, int]:
    """Return where the longest repetition that ends with the text starts, and its period; period 0 for none.

    The period comes from the prefix function of the reversed end of the text (Knuth, Morris and
    Pratt 1977), so that the time is linear.
    """
    window = text[-_LOOP_WINDOW_CHARACTERS:]
    if len(window) < _MIN_LOOP_CHARACTERS or window.count(window[-_LOOP_PROBE_CHARACTERS:]) < _LOOP_PROBE_COUNT:
        return 0, 0
    borders = _prefix_function(window[::-1])
    lengths = range(len(window), _MIN_LOOP_CHARACTERS - 1, -1)
    period = next((n - borders[n - 1] for n in lengths if n >= min_repeats * (n - borders[n - 1])), 0)
    if not period or not any(map(str.isalnum, text[-period:])):
        return 0, 0
    start = len(text) - period
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return start, period


def _prefix_function(text: str) -> list[int]:
    """Return, for each prefix of a text, the length of its longest proper prefix that is also its end."""
    borders = [0] * len(text)
    length = 0
    for index in range(1, len(text)):
        while length and text[index] != text[length]:
            length = borders[length - 1]
        length += text[index] == text[length]
        borders[index] = length
    return borders


def _sound_cut(text: str, cut: int, period: int) -> int:
    """Move a cut forward out of mathematics and out of a word, the latter by less than a period."""
    span = span_around(protected_spans(parse_layout(text)), cut)
    if span and span.start < cut:
        return span.end
    if text[cut - 1].isspace():
        return cut
    return next((at for at in range(cut, min(cut + period, len(text))) if text[at].isspace()), cut)


def _line_at(text: str, edge: int) -> str:
    """Return a page's first or last line if it can be a running head or foot, else ""."""
    line = text.split("\n", 1)[0] if edge == _TOP else text.rsplit("\n", 1)[-1]
    is_markup = "\\" in line or "```" in line
    return "" if is_markup or len(line) > _MAX_HEAD_CHARACTERS else line


def _without_line(text: str, line: str, edge: int) -> str:
    return (text[len(line) :] if edge == _TOP else text[: len(text) - len(line)]).strip()


def _has_words(text: str) -> bool:
    """Say whether a text has more than headings and numbers."""
    return any(key.strip("0\u2013\u2014-. ") and key[0] != "#" for key in map(_head_key, text.split("\n")))


def _head_key(line: str) -> str:
    """Return what a line has in common with the same running head on other pages."""
    if line.startswith("#"):
        return line
    if _ROMAN_NUMBER.fullmatch(line):
        return "0"
    return " ".join(_DIGITS.sub("0", line).casefold().split())
