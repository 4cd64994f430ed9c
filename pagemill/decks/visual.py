"""The stage in which a vision model describes every slide: what the text stages know of the pictures."""

from collections.abc import Sequence
from decimal import Decimal

from pagemill.decks.amounts import numbers_in
from pagemill.decks.answers import SlideDescription
from pagemill.decks.asking import Context, Question
from pagemill.decks.keeping import Keeper
from pagemill.decks.parts import Asked, ask_all, calls_of
from pagemill.decks.prompts import load_prompt, material, prompt_digests
from pagemill.decks.records import Deck, Part, Reason, Record, Result, Slide, Status
from pagemill.decks.slides import SlideParameters, read_slides, slides_key
from pagemill.storage import Store

PROMPT = "visual_analysis"
CAPABILITY = "vision"
MAX_TEXT_CHARACTERS = 6_000  # of a slide's own text in a question


class SlideAnalysis(Record):
    """A slide and its description; one without a description has a reason, and what the model said instead."""

    slide: Slide
    status: Status
    description: SlideDescription | None = None
    unread_numbers: tuple[float, ...] = ()  # of its charts, which the slide's own text does not have
    reason: Reason | None = None
    raw: tuple[str, ...] = ()


class VisualAnalysis(Result):
    """What is on each slide of a deck: its text and what the vision model sees, all that the text stages need."""

    rows: tuple[SlideAnalysis, ...]

    @property
    def judged(self) -> Sequence[Part]:
        """Each slide."""
        return self.rows


KEEPER = Keeper("visual", 1, VisualAnalysis)


def visual_key(deck: Deck, parameters: SlideParameters, identity: str) -> str:
    """Return the key of a deck's visual analysis by a model."""
    parts = {"slides": slides_key(deck, parameters), "model": identity, "prompts": prompt_digests(PROMPT)}
    return KEEPER.key(deck, parts)


def visual_analysis(
    deck: Deck, context: Context, parameters: SlideParameters | None = None, *, accept_missing: bool = False
) -> VisualAnalysis:
    """Describe every slide.

    A slide without a picture, or whose answer stays bad, is a failed row. Slides that were described before a kill
    are not asked for again.

    Args:
        deck: Its PDF is in the store.
        context: With a model for "vision".
        parameters: How slides are made.
        accept_missing: Let slides for which the model does not answer be failed rows. Such a result is not final: a
            later run asks for them again.

    Raises:
        UserError: The deck cannot be opened.
        ModelUnavailable: The model does not answer.
    """
    parameters = parameters or SlideParameters()
    key = visual_key(deck, parameters, context.model(CAPABILITY).identity)

    def body() -> VisualAnalysis:
        slides = read_slides(deck, context.store, parameters).slides
        questions = [_question(slide, len(slides), context.store) for slide in slides]
        answers = ask_all(questions, CAPABILITY, context, accept_missing=accept_missing)
        rows = tuple(_row(slide, answer) for slide, answer in zip(slides, answers, strict=True))
        return VisualAnalysis(key=key, deck=deck, rows=rows, calls=calls_of(answers))

    return KEEPER.once(context.store, key, body)


def slide_heading(slide: Slide, count: int) -> str:
    """Return what a question says of a slide before the slide's own words."""
    text = f"The text that was found on it ({slide.source}):" if slide.text else "No text was found on it."
    return f"Slide {slide.number} of {count}. {text}"


def _question(slide: Slide, count: int, store: Store) -> Question[SlideDescription] | None:
    if not slide.picture_sha256:
        return None
    prompt = load_prompt(PROMPT)
    text = material(slide_heading(slide, count), [slide.text[:MAX_TEXT_CHARACTERS]])
    return Question(prompt.fill(), text, SlideDescription, (store.read_bytes(slide.picture),), prompt.max_tokens)


def _row(slide: Slide, asked: Asked[SlideDescription]) -> SlideAnalysis:
    if asked.value is None:
        reason = slide.reason or asked.reason
        return SlideAnalysis(slide=slide, status=Status.FAILED, reason=reason, raw=asked.raw)
    unread = _unread_numbers(asked.value, slide.text)
    return SlideAnalysis(slide=slide, status=Status.OK, description=asked.value, unread_numbers=unread)


def _unread_numbers(description: SlideDescription, text: str) -> tuple[float, ...]:
    """Return the numbers of charts that were read off an axis, or made up; of a slide without text, none."""
    printed = numbers_in(text)
    values = dict.fromkeys(point.value for chart in description.charts for point in chart.points)
    return tuple(value for value in values if Decimal(str(value)) not in printed) if text else ()
