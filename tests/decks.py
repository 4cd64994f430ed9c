"""The sample decks with what they say, and a model in process that answers from it, well or badly as it is told."""

import dataclasses
import functools
import json
import re
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pagemill.decks.answers import Analysis, BundledExtractions, SlideDescription
from pagemill.decks.asking import Answer, AnswerT, BadAnswer, Call, Context, ModelUnavailable, Question
from pagemill.decks.records import Deck
from pagemill.decks.slides import SlideParameters, add_deck, read_slides
from pagemill.storage import Store
from tests import pdfs

FOLDER = Path(__file__).parents[1] / "demo" / "decks"
HEALTH, PARCELS = "orrivane", "korbland"
NO_OCR = SlideParameters(ocr=False)
SLIDE_HEADING = re.compile(r"^Slide (\d+) of \d+\.")
SPECIALIST_MARKS = {"a clinical researcher": "clinical", "regulatory affairs": "regulatory", "a scientist": "science"}
SECONDS, TOKENS_IN, TOKENS_OUT = 0.25, 700, 90  # what every call is said to take


def truth_of(name: str) -> dict[str, Any]:
    """Return what a sample deck says."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def sample(name: str, store: Store) -> Deck:
    """Put a sample deck into a store."""
    return add_deck(FOLDER / f"{name}.pdf", store)


@functools.cache
def _read_once(name: str) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    folder = tempfile.TemporaryDirectory(prefix="pagemill-decks-")
    store = Store(folder.name)
    read_slides(sample(name, store), store, NO_OCR)
    return Path(folder.name), folder


def prepared(name: str, store: Store) -> Deck:
    """Put a sample deck into a local store with its slides, which are read once for all tests, without OCR."""
    shutil.copytree(_read_once(name)[0], store.root, dirs_exist_ok=True)
    return sample(name, store)


def written(pages: list[str], folder: Path, store: Store, head: str = "") -> Deck:
    """Put a deck of small slides, one a piece of Typst markup, into a store."""
    path = folder / "written.pdf"
    head = head or "#set page(width: 320pt, height: 180pt)"
    path.write_bytes(pdfs.typeset(f"{head}\n" + "\n#pagebreak()\n".join(pages)))
    return add_deck(path, store)


def about(question: Question[Any]) -> str:
    """Return what a question is about: "slide 3", "feedback 3", "extractions", "section problem", "clinical"."""
    return subject_of(question.system, question.text, question.answer.__name__)


def subject_of(system: str, text: str, form: str) -> str:
    """Return what a question is about, by its parts as they go over the wire."""
    if match := SLIDE_HEADING.match(text):
        return f"{'slide' if form == SlideDescription.__name__ else 'feedback'} {match[1]}"
    if form == BundledExtractions.__name__:
        return "extractions"
    if form == Analysis.__name__:
        return next(name for mark, name in SPECIALIST_MARKS.items() if mark in system)
    return f"section {form.removeprefix('Section_')}"


def true_answer(truth: Mapping[str, Any], what: str, questions: Iterable[str]) -> Any:
    """Return what a good reader of a deck answers; `questions` are those of a section."""
    kind, _, rest = what.partition(" ")
    if kind == "slide":
        return {"text": "", **truth["slides"][int(rest) - 1]}
    if kind == "feedback":
        title = truth["slides"][int(rest) - 1]["title"]
        return {"strengths": [f'"{title}" is clear.'], "weaknesses": [], "suggestions": [f"Shorten slide {rest}."]}
    if kind == "extractions":
        return truth["extractions"]
    if kind == "section":
        return {name: truth["template"][name] for name in questions}
    return truth["specialists"][what]


@dataclasses.dataclass
class ScriptedModel:
    """Answers from a deck's truth.

    `faults` names what goes wrong, by what a question is about: "bad" is an answer that stays bad, "repaired" one that
    is right when asked again, "silent" none at all; a list of them is used up, one a time that it is asked.
    """

    truth: Mapping[str, Any]
    faults: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    identity: str = "scripted"
    before: Callable[[str], None] = lambda what: None  # called when a question comes in
    asked: list[Question[Any]] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def counts(self) -> Counter[str]:
        """How often each thing was asked about."""
        return Counter(about(question) for question in self.asked)

    def ask(self, question: Question[AnswerT]) -> Answer[AnswerT]:
        what = about(question)
        with self.lock:
            self.asked.append(question)
            faults = self.faults.get(what, [])
            fault = faults.pop(0) if faults else ""
        self.before(what)
        call = Call(self.identity, SECONDS, TOKENS_IN, TOKENS_OUT)
        broken = dataclasses.replace(call, error="not of the form")
        if fault == "bad":
            raise BadAnswer("not of the form", calls=(broken, broken), raw=('{"title": 3', "I am only a model"))
        if fault == "silent":
            raise ModelUnavailable(
                "no answer in 60 s", calls=(dataclasses.replace(call, tokens_out=0, error="no answer"),)
            )
        value = question.answer.model_validate(true_answer(self.truth, what, question.answer.model_fields))
        return Answer(value, (broken, call) if fault == "repaired" else (call,))


def scripted(name: str = HEALTH, **faults: list[str]) -> ScriptedModel:
    """Return a model that knows a sample deck; `slide_3=["bad"]` is a fault of "slide 3"."""
    return ScriptedModel(truth_of(name), {what.replace("_", " "): list(each) for what, each in faults.items()})


def context_of(store: Store, model: ScriptedModel, **options: Any) -> Context:
    """Return a context in which one model sees and reads."""
    return Context(store, lambda capability: model, **options)
