"""Finds code between fences, which is read as nothing else."""

import re

_FENCE = re.compile(r"```(?P<info>[^\n]*)")  # if it begins a line
_INDENTS = frozenset({"", " ", "  ", "   "})


def code_spans(text: str, begins_line: bool) -> tuple[list[tuple[int, int]], int]:
    """Return fenced code, fences included, and where the first fence stands that nothing closes; it is no code.

    Args:
        text: Any text, of which more may follow.
        begins_line: Whether its first line is one.

    Returns:
        Start and end of each span, in order and disjoint, and the offset of what is open, the text's length if
        nothing is.
    """
    fences = [fence for fence in _FENCE.finditer(text) if _begins_line(text, fence.start(), begins_line)]
    closer_after: list[int | None] = [None] * len(fences)
    closer: int | None = None
    for index in reversed(range(len(fences))):
        closer_after[index] = closer
        if not fences[index]["info"].strip():
            closer = index
    spans: list[tuple[int, int]] = []
    opened = len(text)
    index = 0
    while index < len(fences):
        closing = closer_after[index]
        if "`" not in fences[index]["info"]:
            if closing is None:
                opened = min(opened, fences[index].start())
            else:
                spans.append((fences[index].start(), fences[closing].end()))
                index = closing
        index += 1
    return spans, opened


def _begins_line(text: str, position: int, text_begins_line: bool) -> bool:
    line_start = text.rfind("\n", 0, position) + 1
    return text[line_start:position] in _INDENTS and (line_start > 0 or text_begins_line)
