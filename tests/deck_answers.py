"""A model server that knows the sample decks: run it by `tests.model_server`, whose script this is, or in a test."""

from typing import Any

from pagemill.decks.answers import Analysis, BundledExtractions, SlideDescription, SlideFeedback
from tests.decks import HEALTH, PARCELS, SLIDE_HEADING, subject_of, true_answer, truth_of
from tests.model_service import ModelService
from tests.model_shapes import Asked

FORMS = {form.__name__: form for form in (Analysis, BundledExtractions, SlideDescription, SlideFeedback)}
SCRIPT = "tests.deck_answers:answer_from_truth"


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


def _is_about(asked: Asked, truth: dict[str, Any]) -> bool:
    """Whether a question is about a deck: its slides are as many, or its first title is in the text."""
    slides = truth["slides"]
    if SLIDE_HEADING.match(asked.text):
        return f" of {len(slides)}. " in asked.text
    return slides[0]["title"] in asked.text
