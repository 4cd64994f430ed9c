"""What a model said, and whether it has the form that was asked for."""

import dataclasses
from typing import TypeVar

import pydantic
from openai.types.chat import ChatCompletion

from pagemill.decks.models.patience import NoAnswer

ERRORS_TOLD = 5
FENCE = "```"

FormT = TypeVar("FormT", bound=pydantic.BaseModel)


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a model said in a call."""

    text: str
    is_cut: bool  # by max_tokens
    tokens_in: int
    tokens_out: int


NOTHING = Said("", is_cut=False, tokens_in=0, tokens_out=0)


class NotOfForm(Exception):
    """An answer that is not of the form that was asked for; `told` is how the model is told so."""

    def __init__(self, kind: str, told: str) -> None:
        super().__init__(kind, told)
        self.kind = kind
        self.told = told

    def __str__(self) -> str:
        return self.kind


def said_in(completion: object) -> Said:
    """Return what was said in a completion.

    Raises:
        NoAnswer: It is none: openai's client hands on whatever a server sends.
    """
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        raise NoAnswer
    choice, usage = completion.choices[0], completion.usage
    return Said(
        text=choice.message.content or "",
        is_cut=choice.finish_reason == "length",
        tokens_in=usage.prompt_tokens or 0 if usage else 0,
        tokens_out=usage.completion_tokens or 0 if usage else 0,
    )


def read_answer(said: Said, form: type[FormT]) -> FormT:
    """Read an answer.

    Raises:
        NotOfForm: It was cut off, is no JSON, stands in a Markdown fence, or does not follow the schema.
    """
    if said.is_cut:
        raise NotOfForm("cut off", "Your answer was cut off because it is too long. Answer anew, and much shorter.")
    if not said.text.strip():
        raise NotOfForm("empty", "Your answer was empty.")
    if said.text.lstrip().startswith(FENCE):
        raise NotOfForm("in a fence", f"Your answer stands between {FENCE}. Leave them out.")
    try:
        return form.model_validate_json(said.text)
    except pydantic.ValidationError as error:
        raise _explained(error) from None


def _explained(error: pydantic.ValidationError) -> NotOfForm:
    """Tell the model what is wrong and where, and everybody else only where."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        return NotOfForm("no JSON", f"Your answer is not valid JSON: {faults[0]['msg']}.")
    places = [_place(fault["type"], fault["loc"]) for fault in faults[:ERRORS_TOLD]]
    told = "; ".join(f"{place}: {fault['msg']}" for place, fault in zip(places, faults, strict=False))
    return NotOfForm(f"against the schema at {', '.join(places)}", f"Your answer does not follow the schema: {told}.")


def _place(kind: str, location: tuple[int | str, ...]) -> str:
    """Return where a fault is, without names that the model made up."""
    known = location[:-1] if kind == "extra_forbidden" else location
    return ".".join(map(str, known)) or "the whole"
