"""A deck as text, for models that see no pictures: each slide's own words and what the vision model saw."""

from collections.abc import Sequence

from pagemill.decks.answers import Chart, SlideDescription
from pagemill.decks.visual import SlideAnalysis

MAX_CHARACTERS = 60_000  # of a whole deck: about 15,000 tokens
CUT = " [cut]"


def deck_texts(rows: Sequence[SlideAnalysis], max_characters: int = MAX_CHARACTERS) -> list[str]:
    """Return one text a slide; where the deck is too long, the longest slides are cut, and say so."""
    texts = [_slide_text(row) for row in rows]
    limit = _fair_limit([len(text) for text in texts], max_characters)
    return [text if len(text) <= limit else text[: max(0, limit - len(CUT))] + CUT for text in texts]


def _fair_limit(lengths: Sequence[int], total: int) -> int:
    """Return the largest limit to each length so that all of them together stay within the total."""
    rest = total
    for done, length in enumerate(sorted(lengths)):
        share = rest // (len(lengths) - done)
        if length > share:
            return share
        rest -= length
    return max(lengths, default=0)


def _slide_text(row: SlideAnalysis) -> str:
    slide = row.slide
    parts = [f"## Slide {slide.number}"]
    if slide.text:
        parts.append(f"Text ({slide.source}):\n{slide.text}")
    if row.description is not None:
        parts.append("Description of the picture:\n" + _described(row.description, with_text=not slide.text))
    elif not slide.text:
        parts.append("Nothing is known of this slide.")
    return "\n\n".join(parts)


def _described(description: SlideDescription, *, with_text: bool) -> str:
    lines = [f"{description.kind} slide: {description.title}", description.layout]
    if with_text:
        lines.append(description.text)
    lines += [f"Picture: {image}" for image in description.images]
    lines += [_chart(chart) for chart in description.charts]
    return "\n".join(line for line in lines if line)


def _chart(chart: Chart) -> str:
    points = "; ".join(f"{point.label}: {point.value:g}" for point in chart.points)
    return f"{chart.kind} chart: {chart.title} ({chart.unit}): {points}"
