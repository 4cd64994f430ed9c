"""A review as one self-contained page with pictures, and as Markdown."""

import base64
import dataclasses
import io
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagemill import __version__
from pagemill.decks.asking import Call
from pagemill.decks.feedback import SlideFeedbackRow
from pagemill.decks.records import Record, Result, Status
from pagemill.decks.review import Review
from pagemill.decks.visual import SlideAnalysis
from pagemill.storage import Store
from pagemill.templates import html_templates

if TYPE_CHECKING:
    import jinja2

THUMBNAIL_PIXELS = 480
THUMBNAIL_QUALITY = 72
LABELS = {
    "startup_name": "Company",
    "company_offering": "Offering",
    "healthcare": "Healthcare",
    "funding_amount": "Asks for",
    "deck_date": "Date of the deck",
}
TITLES = {
    "visual_analysis": "Visual analysis",
    "slide_feedback": "Slide feedback",
    "extractions_and_template": "Extractions and template",
    "specialized_clinical": "Clinical validation",
    "specialized_regulatory": "Regulatory pathway",
    "specialized_science": "Scientific hypothesis",
}
_MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>|#~])")


@dataclasses.dataclass(frozen=True, slots=True)
class SlideCard:
    """A slide as the page shows it."""

    analysis: SlideAnalysis
    feedback: SlideFeedbackRow | None
    picture: str = ""  # a data URI


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a stage took."""

    title: str
    calls: int
    failed_calls: int
    tokens_in: int
    tokens_out: int
    model_seconds: float
    models: str

    @classmethod
    def of(cls, title: str, calls: Sequence[Call]) -> "Cost":
        """Sum calls up."""
        return cls(
            title,
            len(calls),
            sum(bool(call.error) for call in calls),
            sum(call.tokens_in for call in calls),
            sum(call.tokens_out for call in calls),
            sum(call.seconds for call in calls),
            ", ".join(sorted({call.model for call in calls})),
        )


def write_report(review: Review, store: Store, out: Path) -> Path:
    """Write a review as one HTML page; no other file is needed to read it.

    Args:
        review: What is known, however little.
        store: Has the slides' pictures; those that it lacks are left out.
        out: The file to write.

    Returns:
        `out`.
    """
    template = html_templates("pagemill.decks").get_template("report.html")
    return _write(out, template.render(facts_of(review), cards=_cards(review, store)))


def write_markdown(review: Review, out: Path) -> Path:
    """Write a review as Markdown, without pictures; returns `out`."""
    return _write(out, markdown(review))


def markdown(review: Review) -> str:
    """Return a review as Markdown; what decks and models wrote stays plain text in it."""
    template = _markdown_templates().get_template("report.md.j2")
    return template.render(facts_of(review), cards=_cards(review, None))


def facts_of(review: Review) -> dict[str, Any]:
    """Return what both forms of a report tell."""
    costs = [Cost.of(title, result.calls) for title, result in _by_title(review)]
    costs += _costs_in_vain(review)
    extractions = review.extractions
    return {
        "review": review,
        "title": (extractions and extractions.extractions.startup_name.value) or review.deck.name,
        "facts": [(LABELS[name], _shown(fact), fact) for name, fact in extractions.extractions] if extractions else [],
        "sections": extractions.sections if extractions else (),
        "specialists": [(TITLES[f"specialized_{each.specialty}"], each) for each in review.specialists],
        "troubles": _troubles(review),
        "costs": costs,
        "seconds": sum(cost.model_seconds for cost in costs),
        "tokens": sum(cost.tokens_in + cost.tokens_out for cost in costs),
        "version": __version__,
    }


def _costs_in_vain(review: Review) -> list[Cost]:
    """Sum up what was asked without a result, by stage."""
    vain = dict(review.in_vain)
    for trouble in review.troubles:
        vain[trouble.task] = (*vain.get(trouble.task, ()), *trouble.calls)
    return [Cost.of(f"{TITLES[task]}, in vain", calls) for task, calls in vain.items() if calls]


def _by_title(review: Review) -> list[tuple[str, Result]]:
    named: list[tuple[str, Result | None]] = [
        (TITLES["visual_analysis"], review.visual),
        (TITLES["slide_feedback"], review.feedback),
        (TITLES["extractions_and_template"], review.extractions),
        *((TITLES[f"specialized_{each.specialty}"], each) for each in review.specialists),
    ]
    return [(title, result) for title, result in named if result is not None]


def _troubles(review: Review) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return what has no result: where, why, more about it, and what the model said instead."""
    rows = [(TITLES[each.task], str(each.reason), each.detail, each.raw) for each in review.troubles]
    slides = review.visual.rows if review.visual else ()
    rows += [
        (f"Description of slide {row.slide.number}", str(row.reason), row.slide.detail, row.raw)
        for row in slides
        if row.reason
    ]
    feedback = review.feedback.rows if review.feedback else ()
    rows += [(f"Feedback on slide {row.slide}", str(row.reason), "", row.raw) for row in feedback if row.reason]
    sections = review.extractions.sections if review.extractions else ()
    rows += [(f"Section {row.title}", str(row.reason), "", row.raw) for row in sections if row.status is Status.FAILED]
    return rows


def _shown(fact: Record) -> str:
    """Return an extraction's value for people."""
    values = fact.model_dump()
    if values["value"] is None:
        return ""
    if "currency" in values:
        return f"{values['currency'] or ''} {Decimal(values['value']):,}".strip()
    return f"{values['value']}, {values['area']}" if values.get("area") else str(values["value"])


def _cards(review: Review, store: Store | None) -> list[SlideCard]:
    """Return the slides with their feedback; with pictures where there is a store."""
    if review.visual is None:
        return []
    feedback = {row.slide: row for row in (review.feedback.rows if review.feedback else ())}
    return [
        SlideCard(row, feedback.get(row.slide.number), _thumbnail(row, store) if store else "")
        for row in review.visual.rows
    ]


def _thumbnail(row: SlideAnalysis, store: Store) -> str:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(store.read_bytes(row.slide.picture)))
    except FileNotFoundError:
        return ""
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=THUMBNAIL_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _markdown_templates() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(  # noqa: S701  # Markdown, not HTML: `plain` escapes its signs and those of HTML
        loader=jinja2.PackageLoader("pagemill.decks", ""),
        undefined=jinja2.StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment


def plain(value: Any) -> str:
    """Return text so that Markdown shows it as it is, in one line."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", " ".join(str(value).split()))


def _write(out: Path, text: str) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8", errors="replace")
    return out
