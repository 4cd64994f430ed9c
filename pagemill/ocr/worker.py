"""The processes that read: one alone, or ranks that torchrun starts; their job and its figures go through the store."""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pagemill.manifest import Manifest
from pagemill.ocr.assignment import Assignment
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.launch import Nodes, launch, sigterm_as_exit
from pagemill.ocr.plan import Plan
from pagemill.ocr.ranks import Ranks
from pagemill.ocr.recognition import Recognition, summed
from pagemill.records import PdfRecord
from pagemill.storage import Store, digest

MAX_RESTARTS = 20  # of the group: enough for several pages that end every process that reads them


def read_books(assignment: Assignment, store: Store) -> dict[str, Any]:
    """Read what is missing of an assignment, with as many processes as its plan says, and return the figures.

    Raises:
        UserError: The engine cannot be loaded.
        EngineLost: The device of a single process failed.
        GroupFailed: A worker ended again and again.
        OSError: The store cannot be read or written.
    """
    assignment.tidy()
    if not assignment.unfinished():
        return summed([])
    if assignment.plan.workers == assignment.plan.nodes == 1:
        with Ranks.alone(assignment.plan.device) as ranks, sigterm_as_exit():
            return summed(Recognition(assignment, store, ranks).run())
    if not assignment.missing():
        return summed([])
    return _read_together(assignment, store)


def _read_together(assignment: Assignment, store: Store) -> dict[str, Any]:
    """Have torchrun start the ranks of this node."""
    plan = assignment.plan
    job = {"pdfs": assignment.pdfs.name, "plan": plan_to_dict(plan)}
    name = f"jobs/{digest(job)[:32]}"
    store.write_json(f"{name}/job.json", job)
    nodes = Nodes(plan.nodes, plan.rendezvous, digest(job)[:32])
    launch(__name__, [store.uri, name], workers=plan.workers, max_restarts=MAX_RESTARTS, nodes=nodes)
    figures = f"{name}/figures.json"
    return dict(store.read_json(figures)) if store.exists(figures) else summed([])  # another node may be about to write


def main(arguments: Sequence[str]) -> None:
    """Be one rank of a group: read the books of a job, with those that the other ranks leave."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("pagemill").setLevel(logging.INFO)
    uri, name = arguments
    store = Store(uri)
    job = store.read_json(f"{name}/job.json")
    plan = plan_from_dict(job["plan"])
    with Ranks.of_environment(plan.device, plan.instances_per_gpu) as ranks, sigterm_as_exit():
        assignment = Assignment(Manifest.load(store, job["pdfs"], PdfRecord), store, plan)
        totals = Recognition(assignment, store, ranks).run()
        if ranks.rank == 0:
            store.write_json(f"{name}/figures.json", summed(totals))


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain JSON values."""
    values = dataclasses.asdict(plan)
    values["checkpoint"]["path"] = str(plan.checkpoint.path)
    return values


def plan_from_dict(values: dict[str, Any]) -> Plan:
    """Return the plan of `plan_to_dict` values."""
    checkpoint = Checkpoint(**{**values["checkpoint"], "path": Path(values["checkpoint"]["path"])})
    rounds = {name: tuple(values[name]) for name in ("languages", "retry")}
    return Plan(**{**values, **rounds, "checkpoint": checkpoint})
