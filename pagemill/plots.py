"""Draws bar charts as SVG that stands inside a page: no date, no outside file, the page's own text colour."""

import io
import re
from collections.abc import Sequence
from typing import Any

BAR_INCHES = 0.32
WIDTH_INCHES = 7.2
MARGIN_INCHES = 0.7
# Matplotlib wants a colour; in the page, text and axes take the colour of the text around them.
INK = "#010203"
STYLE: Any = {
    "svg.hashsalt": "pagemill",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def bar_chart(
    labels: Sequence[str],
    values: Sequence[float],
    colors: Sequence[str],
    *,
    axis: str,
    title: str,
    number: str = ",.0f",
    logarithmic: bool = False,
) -> str:
    """Return a horizontal bar chart as an `<svg>` element; equal arguments give equal text.

    Args:
        labels: Names of the bars, from the top.
        values: Their lengths.
        colors: Their colours, as hex.
        axis: What the lengths measure.
        title: What the chart shows, for those who cannot see it.
        number: Format of the value at the end of each bar.
        logarithmic: Whether the axis is; all values must be positive then.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, MARGIN_INCHES + BAR_INCHES * len(labels)), layout="constrained")
        axes = figure.add_subplot()
        bars = axes.barh(range(len(labels)), values, color=list(colors), height=0.7)
        axes.bar_label(bars, [format(value, number) for value in values], padding=4)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xlabel(axis)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(min(values) / 3, max(values) * 3)
            axes.xaxis.set_minor_formatter("")
        else:
            axes.margins(x=0.12)
            axes.locator_params(axis="x", nbins=5, integer=True)
        axes.xaxis.set_major_formatter("{x:,.10g}")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(drawn.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """Return the bare element: scaled by the page, in its text colour, without ids that charts would share."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick)_\d+"', "", body)
    body = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{title}">', body, count=1)
    return body.replace("xlink:href", "href").replace(INK, "currentColor").strip()
