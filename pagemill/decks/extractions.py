"""The stage in which a text model extracts a deck's facts with one question, then answers a template by sections."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from pydantic import create_model

from pagemill.decks.answers import BundledExtractions, Form, TemplateAnswer
from pagemill.decks.asking import Context, Question
from pagemill.decks.deck_text import MAX_CHARACTERS, deck_texts
from pagemill.decks.extracting import Extractions, check_extractions
from pagemill.decks.grounding import DeckWords, Flag
from pagemill.decks.keeping import Keeper
from pagemill.decks.parts import Asked, ask_all, ask_one, calls_of
from pagemill.decks.prompts import load_prompt, material, prompt_digests
from pagemill.decks.records import Part, Reason, Record, Result, Status
from pagemill.decks.template import Section, Template, load_template
from pagemill.decks.visual import KEEPER as VISUAL
from pagemill.decks.visual import VisualAnalysis

CAPABILITY = "text"
PROMPTS = ("extractions", "template_section")


class AnsweredQuestion(Record):
    """The answer to a question of the template; without one, the deck does not say."""

    id: str
    ask: str
    answer: str | None = None
    slides: tuple[int, ...] = ()
    flags: tuple[Flag, ...] = ()


class SectionRow(Record):
    """A section of the template; one without answers has a reason, and what the model said instead."""

    id: str
    title: str
    status: Status
    answers: tuple[AnsweredQuestion, ...] = ()
    reason: Reason | None = None
    raw: tuple[str, ...] = ()


class DeckExtractions(Result):
    """The facts of a deck, and the template filled in."""

    visual: str  # where the visual analysis lies that this was made from
    extractions: Extractions
    template: str  # its name and version
    sections: tuple[SectionRow, ...]

    @property
    def judged(self) -> Sequence[Part]:
        """Each section."""
        return self.sections


KEEPER = Keeper("extractions", 1, DeckExtractions)


def extractions_and_template(
    visual: VisualAnalysis,
    context: Context,
    template: Template | None = None,
    *,
    max_characters: int = MAX_CHARACTERS,
    accept_missing: bool = False,
) -> DeckExtractions:
    """Extract name, offering, classification, amount and date, then answer the template section by section.

    Args:
        visual: The deck as the vision stage left it; the PDF is not needed.
        context: With a model for "text".
        template: What is to be answered; the shipped one if none is given.
        max_characters: Of the deck's text in a question; a longer deck is cut, the longest slides first.
        accept_missing: Let sections for which the model does not answer be failed rows, to be asked again later.

    Raises:
        BadAnswer: The extractions are not of the form that was asked for, even when asked again.
        ModelUnavailable: The model does not answer.
    """
    template = template or load_template()
    parts = {
        "visual": visual.content_digest,
        "model": context.model(CAPABILITY).identity,
        "prompts": prompt_digests(*PROMPTS),
        "template": template.model_dump(mode="json"),
        "max_characters": max_characters,
    }
    key = KEEPER.key(visual.deck, parts)

    def body() -> DeckExtractions:
        texts = deck_texts(visual.rows, max_characters)
        words = DeckWords(visual.rows)
        steps = len(template.sections) + 1
        facts = ask_one(_bundle(texts), CAPABILITY, _from(context, 0, 1 / steps))
        questions = [_section(section, texts) for section in template.sections]
        rest = _from(context, 1 / steps, 1 - 1 / steps)
        answers = ask_all(questions, CAPABILITY, rest, accept_missing=accept_missing)
        assert facts.value is not None
        return DeckExtractions(
            key=key,
            deck=visual.deck,
            visual=VISUAL.name(visual.key),
            extractions=check_extractions(facts.value, words),
            template=f"{template.name} {template.version}",
            sections=tuple(_row(*pair, words) for pair in zip(template.sections, answers, strict=True)),
            calls=facts.calls + calls_of(answers),
        )

    return KEEPER.once(context.store, key, body)


def _from(context: Context, begin: float, span: float) -> Context:
    """Return the context of a part of the stage, whose progress is that part of the whole."""
    return dataclasses.replace(context, progress=lambda share: context.progress(begin + span * share))


def _bundle(texts: Sequence[str]) -> Question[BundledExtractions]:
    prompt = load_prompt("extractions")
    text = material(f"The {len(texts)} slides of the deck:", texts)
    return Question(prompt.fill(), text, BundledExtractions, max_tokens=prompt.max_tokens)


def _section(section: Section, texts: Sequence[str]) -> Question[Form]:
    prompt = load_prompt("template_section")
    system = prompt.fill(title=section.title, questions=section.questions)
    text = material(f"The {len(texts)} slides of the deck:", texts)
    return Question(system, text, section_form(section), max_tokens=prompt.max_tokens)


@functools.lru_cache(maxsize=256)  # models remember forms that their server does not understand
def section_form(section: Section) -> type[Form]:
    """Return the form of a section's answers: one field a question, so that a schema asks for each of them."""
    fields: dict[str, Any] = {question.id: (TemplateAnswer, ...) for question in section.questions}
    return create_model(f"Section_{section.id}", __base__=Form, **fields)


def _row(section: Section, asked: Asked[Form], words: DeckWords) -> SectionRow:
    if asked.value is None:
        return SectionRow(id=section.id, title=section.title, status=Status.FAILED, reason=asked.reason, raw=asked.raw)
    answers = tuple(
        _answered(question.id, question.ask, getattr(asked.value, question.id), words) for question in section.questions
    )
    return SectionRow(id=section.id, title=section.title, status=Status.OK, answers=answers)


def _answered(name: str, ask: str, given: TemplateAnswer, words: DeckWords) -> AnsweredQuestion:
    """Return an answer with those of its citations that are slides of the deck."""
    if given.answer is None or not given.answer.strip():
        return AnsweredQuestion(id=name, ask=ask)
    slides = tuple(sorted({number for number in given.slides if words.has_slide(number)}))
    flags = (Flag.NO_SUCH_SLIDE,) * (not all(map(words.has_slide, given.slides))) + (Flag.UNCITED,) * (not slides)
    return AnsweredQuestion(id=name, ask=ask, answer=given.answer.strip(), slides=slides, flags=flags)
