"""The stage in which a vision model says of every slide what is good, what is not and what to do."""

from collections.abc import Sequence

from pagemill.decks.answers import SlideFeedback
from pagemill.decks.asking import Context, Question
from pagemill.decks.keeping import Keeper
from pagemill.decks.parts import Asked, ask_all, calls_of
from pagemill.decks.prompts import load_prompt, material, prompt_digests
from pagemill.decks.records import Deck, Part, Reason, Record, Result, Slide, Status
from pagemill.decks.slides import SlideParameters, read_slides, slides_key
from pagemill.decks.visual import CAPABILITY, MAX_TEXT_CHARACTERS, slide_heading
from pagemill.storage import Store

PROMPT = "slide_feedback"


class SlideFeedbackRow(Record):
    """The feedback on a slide; one without feedback has a reason, and what the model said instead."""

    slide: int
    status: Status
    feedback: SlideFeedback | None = None
    reason: Reason | None = None
    raw: tuple[str, ...] = ()


class DeckFeedback(Result):
    """Feedback on every slide of a deck."""

    rows: tuple[SlideFeedbackRow, ...]

    @property
    def judged(self) -> Sequence[Part]:
        """Each slide."""
        return self.rows


KEEPER = Keeper("feedback", 1, DeckFeedback)


def feedback_key(deck: Deck, parameters: SlideParameters, identity: str) -> str:
    """Return the key of a deck's feedback by a model."""
    parts = {"slides": slides_key(deck, parameters), "model": identity, "prompts": prompt_digests(PROMPT)}
    return KEEPER.key(deck, parts)


def slide_feedback(
    deck: Deck, context: Context, parameters: SlideParameters | None = None, *, accept_missing: bool = False
) -> DeckFeedback:
    """Rate every slide by its picture and its text; arguments and errors are those of `visual_analysis`."""
    parameters = parameters or SlideParameters()
    key = feedback_key(deck, parameters, context.model(CAPABILITY).identity)

    def body() -> DeckFeedback:
        slides = read_slides(deck, context.store, parameters).slides
        questions = [_question(slide, len(slides), context.store) for slide in slides]
        answers = ask_all(questions, CAPABILITY, context, accept_missing=accept_missing)
        rows = tuple(_row(slide, answer) for slide, answer in zip(slides, answers, strict=True))
        return DeckFeedback(key=key, deck=deck, rows=rows, calls=calls_of(answers))

    return KEEPER.once(context.store, key, body)


def _question(slide: Slide, count: int, store: Store) -> Question[SlideFeedback] | None:
    if not slide.picture_sha256:
        return None
    prompt = load_prompt(PROMPT)
    text = material(slide_heading(slide, count), [slide.text[:MAX_TEXT_CHARACTERS]])
    return Question(prompt.fill(), text, SlideFeedback, (store.read_bytes(slide.picture),), prompt.max_tokens)


def _row(slide: Slide, asked: Asked[SlideFeedback]) -> SlideFeedbackRow:
    if asked.value is None:
        reason = slide.reason or asked.reason
        return SlideFeedbackRow(slide=slide.number, status=Status.FAILED, reason=reason, raw=asked.raw)
    return SlideFeedbackRow(slide=slide.number, status=Status.OK, feedback=asked.value)
