"""A stand-in for an OCR engine that starts in no time: it "reads" how much ink a page bears.

It is an engine by its dotted name, `tests.light_engine`, in every process. How it behaves stands in
`light.json` in the checkpoint's folder; what it read is written, a line a page, to `light.log` there.
"""

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pagemill.ocr.engine import Draft, EngineLost, PageInput, PageText
from pagemill.records import Reason, Status

ENGINE = "tests.light_engine"
BAR_POINTS, PAGE_POINTS = 3, 420  # of the red bar for each number, and of the width of `pdfs.book`
FILES = {"config.json": "{}", "tokenizer.json": "{}", "pytorch_model.bin": "light"}


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What goes wrong, by page number, and how long things take."""

    troubles: dict[str, str] = dataclasses.field(default_factory=dict)  # in preparation: see `suffer`
    afterwards: dict[str, str] = dataclasses.field(default_factory=dict)  # the same in clean-up
    bad: tuple[int, ...] = ()  # the model raises on these
    deadly: tuple[int, ...] = ()  # the process of the model dies of these
    loops: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()  # the model finds nothing on these
    lost_after: int | None = None  # steps
    most_pages: int = 1000  # that fit into memory together
    seconds: float = 0.0  # a step
    steps: int = 1  # a page
    folder: str = ""

    @classmethod
    def of(cls, folder: Path) -> "Behaviour":
        path = folder / "light.json"
        return cls(**json.loads(path.read_text()), folder=str(folder)) if path.exists() else cls()

    def write(self, folder: Path) -> None:
        values = dataclasses.asdict(self)
        del values["folder"]
        (folder / "light.json").write_text(json.dumps(values))


def write_checkpoint(folder: Path, **behaviour) -> Path:
    """Write a folder that passes for a checkpoint of this engine."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    Behaviour(**behaviour).write(folder)
    return folder


def read_log(folder: Path) -> list[list[int]]:
    """Return the numbers of the pages that were admitted together, time after time."""
    path = folder / "light.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def preparer(checkpoint):
    return LightPreparer(Behaviour.of(checkpoint.path))


def finisher(checkpoint):
    return LightFinisher(Behaviour.of(checkpoint.path))


def load(checkpoint, device="auto", threads=0, precision="auto"):
    return LightEngine(Behaviour.of(checkpoint.path), checkpoint.path / "light.log")


def suffer(trouble: str | None, mark: Path) -> None:
    """Hang, crash, crash unless the mark is there, or raise."""
    if trouble == "hang":
        time.sleep(600)
    if trouble == "crash once":
        trouble = None if mark.exists() else "crash"
        mark.touch()
    if trouble == "crash":
        os.kill(os.getpid(), 9)
    if trouble == "raise":
        raise ValueError("no such colour space")


def numbered(page: int, text: str) -> str:
    """Return Typst markup of a page that bears its number as a red bar, which the engine reads."""
    bar = f'#place(top + left, rect(width: {BAR_POINTS * page}pt, height: 4pt, fill: rgb("ff0000"), stroke: none))'
    return f"{bar} #v(1em) {text}"


class LightPreparer:
    """Sees a page's number and how many dark pixels it has."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour

    def __call__(self, image, margin=0.0):
        red, green, blue = map(np.asarray, image.convert("RGB").split())
        bar = (red > 200) & (green < 60) & (blue < 60)
        number = round(int(bar.sum(axis=1).max()) / image.width * PAGE_POINTS / BAR_POINTS)
        suffer(self.behaviour.troubles.get(str(number)), Path(self.behaviour.folder, f"prepared {number}"))
        dark = int(np.count_nonzero((red < 128) & (green < 128) & (blue < 128)))
        if not number and not dark:
            return None
        return np.frombuffer(np.array([number, dark], np.int64).tobytes(), np.uint8)


class LightFinisher:
    """Puts a full stop behind what the model wrote."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour

    def __call__(self, draft: Draft) -> PageText:
        number = draft.text.split()[1] if draft.text else ""
        suffer(self.behaviour.afterwards.get(number), Path(self.behaviour.folder, f"cleaned {number}"))
        text = f"{draft.text}. " if draft.text else ""
        return PageText(text, draft.tokens, draft.status, draft.reason)


class LightEngine:
    """Reads a page in so many steps, however many are in flight."""

    name, default_batch_size = ENGINE, 4

    def __init__(self, behaviour: Behaviour, log: Path) -> None:
        self.behaviour, self.log = behaviour, log
        self.in_flight: dict = {}  # key: (number, ink, steps left)
        self.steps = 0

    def admit(self, pages: Sequence[PageInput]) -> None:
        read = [(page.key, *map(int, np.frombuffer(page.pixels.tobytes(), np.int64))) for page in pages]
        if len(self.in_flight) + len(read) > self.behaviour.most_pages:
            raise MemoryError("no room")
        with self.log.open("a") as log:
            log.write(json.dumps([number for _, number, _ in read]) + "\n")
        self.in_flight |= {key: [number, ink, self.behaviour.steps] for key, number, ink in read}

    def step(self) -> list[Draft]:
        self.steps += 1
        numbers = {number for number, _, _ in self.in_flight.values()}
        if numbers & set(self.behaviour.deadly):
            os.kill(os.getpid(), 9)
        if self.behaviour.lost_after is not None and self.steps > self.behaviour.lost_after:
            raise EngineLost("the device is gone")
        if numbers & set(self.behaviour.bad):
            raise RuntimeError("a page that the model cannot digest")
        time.sleep(self.behaviour.seconds)
        for page in self.in_flight.values():
            page[2] -= 1
        ended = [key for key, (_, _, left) in self.in_flight.items() if left <= 0]
        return [self._draft(key, *self.in_flight.pop(key)[:2]) for key in ended]

    def drop(self) -> None:
        self.in_flight.clear()

    def _draft(self, key, number: int, ink: int) -> Draft:
        text = f"Page {number} has {ink} dots"
        if number in self.behaviour.loops:
            return Draft(key, text, 5, Status.TRUNCATED, Reason.REPETITION)
        if number in self.behaviour.silent:
            return Draft(key, "", 5, Status.FAILED, Reason.REPETITION_FROM_START)
        return Draft(key, text, 5, Status.OK)
