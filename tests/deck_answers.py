"""A model server that knows the sample decks: run it by `tests.model_server`, whose script this is, or in a test."""

from typing import Any

from pagemill.decks.answers import Analysis, BundledExtractions, SlideDescription, SlideFeedback
from tests.decks import HEALTH, PARCELS, SLIDE_HEADING, subject_of, true_answer, truth_of
from tests.model_service import Fault, ModelService
from tests.model_shapes import Asked

FORMS = {form.__name__: form for form in (Analysis, BundledExtractions, SlideDescription, SlideFeedback)}
SCRIPT = "tests.deck_answers:answer_from_truth"
BAD_SCRIPT = "tests.deck_answers:answer_badly"
SLOW_ANSWERS, SLOW_SECONDS = 400, 0.15
MISHAPS: tuple[tuple[Fault, str], ...] = (  # one a question, so that each gets its answer in the end
    ("invalid JSON", "Slide 1 of "),
    ("wrong schema", "Slide 2 of "),
    ("500", "Slide 3 of "),
    ("dropped", "Slide 4 of "),
    ("half json", "Slide 5 of "),
    ("truncated", "Slide 6 of "),
    ("page", "Slide 7 of "),
    ("invalid JSON", BundledExtractions.__name__),
    ("503", "Section_"),
    ("wrong schema", Analysis.__name__),
)


def answer_from_truth(service: ModelService) -> None:
    """Have a model server answer what it is asked of the sample decks as a good reader would."""
    truths = [truth_of(name) for name in (HEALTH, PARCELS)]

    def says(asked: Asked) -> dict[str, Any] | None:
        truth = next((truth for truth in truths if _is_about(asked, truth)), None)
        if truth is None or asked.schema is None:
            return None
        what = subject_of(asked.system, asked.text, asked.schema_name)
        value = true_answer(truth, what, asked.schema["properties"])
        form = FORMS.get(asked.schema_name)
        return form.model_validate(value).model_dump(mode="json") if form else value

    service.say(says)


def answer_badly(service: ModelService) -> None:
    """Answer from truth in the end, but slowly, and with everything going wrong once that can."""
    answer_from_truth(service)
    for fault, about in MISHAPS:
        service.fail_next(fault, about=about)
    for _ in range(SLOW_ANSWERS):
        service.fail_next("slow", seconds=SLOW_SECONDS)


def _is_about(asked: Asked, truth: dict[str, Any]) -> bool:
    """Whether a question is about a deck: its slides are as many, or its first title is in the text."""
    slides = truth["slides"]
    if SLIDE_HEADING.match(asked.text):
        return f" of {len(slides)}. " in asked.text
    return slides[0]["title"] in asked.text
