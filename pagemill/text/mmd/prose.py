"""The prose of a text: its words without mathematics, tables, code and markers of missing pages."""

from pagemill.text.mmd.blocks import WHOLE, BlockKind, Layout, parse_layout

_NO_PROSE = WHOLE | {BlockKind.MISSING_PAGE}
_MARKS = ("\\", "```", "[MISSING_PAGE_")  # without any of these, a text is prose from end to end


def layout_beside_prose(text: str) -> Layout:
    """Return a text's layout; an empty one, without parsing, if the text cannot have anything but prose."""
    return parse_layout(text) if any(mark in text for mark in _MARKS) else Layout([], [])


def prose(text: str, layout: Layout | None = None) -> str:
    """Return a text without its mathematics, tables, code and markers; LaTeX commands in its words stay.

    Args:
        text: Nougat's Markdown, or plain text of any length.
        layout: What `layout_beside_prose` or `parse_layout` says of it, where that is known already.
    """
    layout = layout or layout_beside_prose(text)
    left_out = [(block.start, block.end) for block in layout.blocks if block.kind in _NO_PROSE]
    kept, position = [], 0
    for start, end in sorted([*left_out, *layout.inline_math]):
        kept.append(text[position:start])
        position = max(position, end)
    return " ".join([*kept, text[position:]])
