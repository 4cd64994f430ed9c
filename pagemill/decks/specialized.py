"""The stage of the three specialists: clinical, regulatory and scientific claims of a deck, judged by a text model."""

import enum
from collections.abc import Sequence

from pagemill.decks.answers import Analysis, Assessment, Finding
from pagemill.decks.asking import Context, Question
from pagemill.decks.deck_text import MAX_CHARACTERS, deck_texts
from pagemill.decks.extracting import Extractions
from pagemill.decks.extractions import CAPABILITY, DeckExtractions
from pagemill.decks.grounding import DeckWords, Flag
from pagemill.decks.keeping import Keeper
from pagemill.decks.parts import ask_one
from pagemill.decks.prompts import load_prompt, material, prompt_digests
from pagemill.decks.records import Part, Reason, Record, Result, Status, TextSource
from pagemill.decks.visual import VisualAnalysis


class Specialty(enum.StrEnum):
    """What a specialist looks at."""

    CLINICAL = "clinical"
    REGULATORY = "regulatory"
    SCIENCE = "science"


class When(enum.StrEnum):
    """Which decks the specialists see."""

    HEALTHCARE = "healthcare"
    ALWAYS = "always"


class JudgedClaim(Record):
    """A claim of the deck, what the specialist thinks of it, and where the deck makes it."""

    claim: str
    assessment: Assessment
    why: str
    slide: int | None = None
    quote: str | None = None
    source: TextSource = TextSource.NONE
    flags: tuple[Flag, ...] = ()


class SpecializedAnalysis(Result):
    """What a specialist says of a deck; one who was not asked has a reason."""

    specialty: Specialty
    status: Status
    reason: Reason | None = None
    summary: str = ""
    findings: tuple[JudgedClaim, ...] = ()
    missing: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    @property
    def judged(self) -> Sequence[Part]:
        """The analysis, which has no parts."""
        return (self,)


KEEPER = Keeper("specialized", 1, SpecializedAnalysis)


def specialized_analysis(
    specialty: Specialty,
    visual: VisualAnalysis,
    extractions: DeckExtractions,
    context: Context,
    *,
    when: When = When.HEALTHCARE,
    max_characters: int = MAX_CHARACTERS,
) -> SpecializedAnalysis:
    """Have a specialist judge a deck.

    Args:
        specialty: Which specialist.
        visual: The deck as the vision stage left it.
        extractions: What is known of the company; decides whether the deck is of healthcare.
        context: With a model for "text".
        when: `healthcare` skips decks that are not, or do not say so.
        max_characters: Of the deck's text in a question.

    Raises:
        BadAnswer: The answer is not of the form that was asked for, even when asked again.
        ModelUnavailable: The model does not answer.
    """
    name = f"specialized_{specialty}"
    parts = {
        "specialty": specialty,
        "visual": visual.content_digest,
        "extractions": extractions.content_digest,
        "model": context.model(CAPABILITY).identity,
        "prompts": prompt_digests(name),
        "when": when,
        "max_characters": max_characters,
    }
    key = KEEPER.key(visual.deck, parts)

    def body() -> SpecializedAnalysis:
        reason = _reason_to_skip(extractions.extractions, when)
        if reason is not None:
            context.progress(1.0)
            return SpecializedAnalysis(
                key=key, deck=visual.deck, specialty=specialty, status=Status.SKIPPED, reason=reason
            )
        prompt = load_prompt(name)
        texts = [_known(extractions.extractions), *deck_texts(visual.rows, max_characters)]
        text = material(f"What was extracted, and the {len(visual.rows)} slides of the deck:", texts)
        asked = ask_one(Question(prompt.fill(), text, Analysis, max_tokens=prompt.max_tokens), CAPABILITY, context)
        assert asked.value is not None
        words = DeckWords(visual.rows)
        return SpecializedAnalysis(
            key=key,
            deck=visual.deck,
            specialty=specialty,
            status=Status.OK,
            summary=asked.value.summary,
            findings=tuple(_judged(finding, words) for finding in asked.value.findings),
            missing=asked.value.missing,
            questions=asked.value.questions,
            calls=asked.calls,
        )

    return KEEPER.once(context.store, key, body)


def _reason_to_skip(extractions: Extractions, when: When) -> Reason | None:
    reasons = {"yes": None, "no": Reason.NOT_HEALTHCARE, None: Reason.HEALTHCARE_UNKNOWN}
    return None if when is When.ALWAYS else reasons[extractions.healthcare.value]


def _known(extractions: Extractions) -> str:
    """Return what was extracted as lines; flagged values too, with their flags."""
    lines = []
    for name, extraction in extractions:
        flags = f" ({', '.join(extraction.flags)})" if extraction.flags else ""
        lines.append(f"{name}: {extraction.value if extraction.value is not None else 'the deck does not say'}{flags}")
    return "## Extracted\n\n" + "\n".join(lines)


def _judged(finding: Finding, words: DeckWords) -> JudgedClaim:
    """Return a finding with its quote looked up; a finding about the deck as a whole quotes nothing."""
    said = {"claim": finding.claim, "assessment": finding.assessment, "why": finding.why}
    if not finding.quote and finding.slide is None:
        return JudgedClaim(**said)
    support = words.support(finding.quote, finding.slide)
    slide = support.slide if support.slide is not None or Flag.NO_SUCH_SLIDE in support.flags else finding.slide
    return JudgedClaim(**said, slide=slide, quote=finding.quote, source=support.source, flags=support.flags)
