"""Takes out what a loop of the model left behind: lines and passages that come many times in a row."""

import itertools
import re

from pagemill.text.cleaning.joining import protected_spans, span_around
from pagemill.text.mmd.blocks import parse_layout

LOOP_REPEATS = 5

_MIN_LOOP_LINE_CHARACTERS = 10  # shorter lines may well repeat, as cells of a column do
_MIN_LOOP_CHARACTERS = 100
_LOOP_WINDOW_CHARACTERS = 2000
_LOOP_PROBE_CHARACTERS = 16  # the end of a loop must come up again this often before it is looked at closely
_LOOP_PROBE_COUNT = 3
_LINES = re.compile(r"[^\n]+")


def remove_repeated_lines(text: str, min_repeats: int = LOOP_REPEATS) -> tuple[str, int]:
    """Keep one of a line that comes many times in a row, empty lines between them or not.

    Code, tables and equations of several lines are left alone, and so are very short lines.

    Returns:
        The text and how many lines were removed.
    """
    written = list(filter(None, map(str.strip, text.split("\n"))))
    if len(written) - len(set(written)) < min_repeats - 1:
        return text, 0
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
