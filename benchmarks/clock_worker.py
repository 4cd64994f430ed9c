"""One rank of `scaling.py`: the worker as it is, with a clock in the place of its model; torchrun starts it."""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from clock_engine import ClockEngine, Pace, Page, PrepareByClock, ThreadCrew, finish_as_it_is

from pagemill.children import Crew
from pagemill.manifest import Manifest
from pagemill.ocr.assignment import Assignment
from pagemill.ocr.feeding import PreparePage
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.line import Line
from pagemill.ocr.ranks import Ranks
from pagemill.ocr.recognition import Recognition
from pagemill.ocr.worker import plan_from_dict
from pagemill.records import PdfRecord
from pagemill.storage import Store

JOB = "job.json"


class ClockRecognition(Recognition):
    """Recognition with stand-ins at both ends and in the middle of its line."""

    def __init__(self, assignment: Assignment, store: Store, ranks: Ranks, prepare: PrepareByClock) -> None:
        super().__init__(assignment, store, ranks)
        self.prepare = prepare
        self.engine = ClockEngine(prepare.pace)

    def _new_line(self) -> Line:
        prepare, finish = cast(PreparePage, self.prepare), cast(FinishPage, finish_as_it_is)
        line = Line(prepare, finish, lambda: self.engine, batch_size=self.plan.batch_size)
        line.preparing.close()
        line.finishing.close()
        line.preparing = cast("Crew[Any, Any]", ThreadCrew(prepare))
        line.finishing = cast("Crew[Any, Any]", ThreadCrew(finish))
        return line


def main(arguments: Sequence[str]) -> None:
    """Take part in reading the books of a job, and write down when this rank read."""
    uri, folder = arguments
    store = Store(uri)
    job = store.read_json(f"{folder}/{JOB}")
    pages = {
        (sha256, number): Page(**page) for sha256, book in job["pages"].items() for number, page in _numbered(book)
    }
    plan = plan_from_dict(job["plan"])
    with Ranks.of_environment(plan.device, plan.instances_per_gpu) as ranks:
        assignment = Assignment(Manifest.load(store, job["pdfs"], PdfRecord), store, plan)
        recognition = ClockRecognition(assignment, store, ranks, PrepareByClock(pages, Pace(**job["pace"])))
        recognition.run()
        figures = dataclasses.asdict(recognition.line.totals)
        figures |= {"first": recognition.engine.first, "last": recognition.engine.last}
        store.write_json(f"{folder}/rank-{ranks.rank}.json", figures)


def _numbered(book: list[dict[str, Any]]) -> "enumerate[dict[str, Any]]":
    return enumerate(book, 1)
