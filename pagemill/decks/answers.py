"""What the models fill in: the forms of their answers, each of whose bounds a server can hold them to."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ItemT = TypeVar("ItemT")


def _cut_to(limit: int) -> BeforeValidator:
    """Return a validator that cuts what is too long: the limit is for servers that hold answers to the schema."""

    def cut(value: Any) -> Any:
        return value[:limit] if isinstance(value, str | list | tuple) else value

    return BeforeValidator(cut)


# A model that fills every bound still ends within its prompt's `max_tokens`.
Label = Annotated[str, Field(max_length=60), _cut_to(60)]
Words = Annotated[str, Field(max_length=120), _cut_to(120)]
Sentence = Annotated[str, Field(max_length=300), _cut_to(300)]
Sentences = Annotated[str, Field(max_length=800), _cut_to(800)]
Passage = Annotated[str, Field(max_length=1_500), _cut_to(1_500)]
Three = Annotated[tuple[ItemT, ...], Field(max_length=3), _cut_to(3)]
Eight = Annotated[tuple[ItemT, ...], Field(max_length=8), _cut_to(8)]
Sixteen = Annotated[tuple[ItemT, ...], Field(max_length=16), _cut_to(16)]

SlideKind = Literal[
    "title", "problem", "solution", "product", "science", "clinical", "regulatory", "market", "competition",
    "business model", "traction", "financials", "team", "roadmap", "ask", "appendix", "other",
]  # fmt: skip
Area = Literal[
    "digital health", "medical device", "diagnostics", "biotech or pharma", "care delivery", "health insurance",
    "other healthcare", "not healthcare",
]  # fmt: skip
Assessment = Literal["well supported", "partly supported", "only claimed", "contradicted"]


class Form(BaseModel):
    """An answer; what a model adds to it is ignored, though a server that knows the schema lets it add nothing."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        protected_namespaces=(),  # a template's question may be called `model`
        json_schema_extra={"additionalProperties": False},
    )


class ChartPoint(Form):
    """A number that a chart shows."""

    label: Label  # as at its axis or in its legend
    value: float


class Chart(Form):
    """A chart or table of a slide."""

    title: Words
    kind: Literal["bar", "line", "pie", "table", "other"]
    unit: Label
    points: Sixteen[ChartPoint]


class SlideDescription(Form):
    """What is on a slide."""

    title: Words
    kind: SlideKind
    text: Passage
    charts: Three[Chart]
    images: Three[Sentence]  # what each picture shows
    layout: Sentence


class SlideFeedback(Form):
    """What is good about a slide, what is not, and what to do."""

    strengths: Three[Sentence]
    weaknesses: Three[Sentence]
    suggestions: Three[Sentence]


class Found(Form):
    """Something that the deck says, with the words that say it; all null where it does not."""

    value: Sentence | None
    slide: int | None
    quote: Sentence | None


class FoundHealthcare(Form):
    """Whether the company works in healthcare, and in which part of it."""

    value: bool | None
    area: Area | None
    slide: int | None
    quote: Sentence | None


class FoundAmount(Form):
    """How much money the company asks for."""

    value: float | None
    currency: Label | None  # ISO 4217
    slide: int | None
    quote: Sentence | None


class BundledExtractions(Form):
    """Everything that is extracted with one question."""

    startup_name: Found
    company_offering: Found
    healthcare: FoundHealthcare
    funding_amount: FoundAmount
    deck_date: Found


class TemplateAnswer(Form):
    """The answer to a question of a template; null where the deck does not say."""

    answer: Sentences | None
    slides: Eight[int]


class Finding(Form):
    """A claim of the deck, judged."""

    claim: Sentence
    assessment: Assessment
    why: Sentence
    slide: int | None
    quote: Sentence | None


class Analysis(Form):
    """A specialist's view of a deck."""

    summary: Sentences
    findings: Eight[Finding]
    missing: Three[Sentence]  # what a deck of this kind should say and this one does not
    questions: Three[Sentence]  # to ask the company
