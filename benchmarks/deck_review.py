"""Clock deck review as backends and containers over HTTP do it, and kill them: on SQLite and PostgreSQL.

    python benchmarks/deck_review.py clock --database postgresql --rounds 10
    python benchmarks/deck_review.py resume --database sqlite --rounds 10
    python benchmarks/deck_review.py kills --database postgresql --seeds 20

Models are a scripted server that knows the sample decks; all else is real. `clock` says how long a text container
waits for what a vision container has seen; `resume` how long after a vision container was killed, or stopped answering,
another one begins its tasks; `kills` compares the findings with those of an undisturbed run. Run from the repository.
"""

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pagemill.decks.slides import SlideParameters
from pagemill.decks.tasks import Parameters
from pagemill.reviews.backend.desk import Desk, open_desk
from tests.deck_answers import BAD_SCRIPT, SCRIPT
from tests.decks import FOLDER, HEALTH, PARCELS
from tests.flow_databases import flow_database, postgres
from tests.review_kills import findings_undisturbed, kill_everything_once
from tests.review_processes import BACKENDS, MODEL, add_decks, check_course, running_house

PATIENCE_SECONDS = 300.0


def clock(kind: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Review a deck again and again, each time as if it were new."""
    waits: list[float] = []
    with running_house(folder, flow_database(kind, folder), SCRIPT, MODEL, "backend", "vision", "text") as house:
        desk = open_desk(house.settings)
        for number in range(rounds):
            waits += desk.queue.hand_offs(reviewed(desk, number)).values()
        desk.close()
    return {"database": kind, "reviews": rounds, "hand_offs": len(waits), **spread("hand_off", waits)}


def resume(kind: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Kill or stop the vision container that has tasks, and wait for another one to begin them."""
    seconds: dict[str, list[float]] = {"killed": [], "stopped": []}
    for number in range(rounds):
        for how, sign in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
            seconds[how].append(resumed_after(kind, folder / f"{how}{number}", sign))
    return {
        "database": kind,
        "rounds": rounds,
        **spread("killed", seconds["killed"]),
        **spread("stopped", seconds["stopped"]),
    }


def resumed_after(kind: str, folder: Path, sign: signal.Signals) -> float:
    folder.mkdir()
    with running_house(folder, flow_database(kind, folder), BAD_SCRIPT, MODEL, "backend", "vision", "text") as house:
        desk = open_desk(house.settings)
        (pipeline,) = add_decks(desk, HEALTH)
        house.wait_for("vision", "task started", 2)
        house.start("other-vision")
        house.wait_for("other-vision", "the model answers")
        time.sleep(1.5)  # it registers within one
        house.signal("vision", sign)
        gone = time.time()
        house.wait_for("other-vision", "task started")  # one at least was not done yet
        begun = [event.at.timestamp() for event in desk.queue.events(pipeline) if event.kind == "running"]
        desk.queue.wait(pipeline, PATIENCE_SECONDS)
        desk.close()
    return min(at for at in begun if at > gone) - gone


def kills(kind: str, folder: Path, seed: int) -> dict[str, Any]:
    """Kill each process once at moments that the seed tells, and compare."""
    folder.mkdir()
    expected = findings_undisturbed(folder / "undisturbed")
    with running_house(folder, flow_database(kind, folder), BAD_SCRIPT, MODEL, *BACKENDS, "vision", "text") as house:
        desk = open_desk(house.settings)
        start = time.perf_counter()
        pipelines = add_decks(desk, HEALTH, PARCELS)
        kill_everything_once(house, random.Random(seed), kind == "postgresql")
        for each in pipelines:
            desk.queue.wait(each, PATIENCE_SECONDS)
        check_course(desk, pipelines, expected)
        lost = sum(event.kind in ("lost", "handed back", "taken over") for event in desk.queue.events())
        desk.close()
    return {"database": kind, "seed": seed, "tasks_lost": lost, "seconds": round(time.perf_counter() - start, 1)}


def reviewed(desk: Desk, number: int) -> str:
    """Review the health deck with slides of a size that it was not reviewed in before."""
    parameters = Parameters(slides=SlideParameters(ocr=False, max_pixels=500_000 + number))
    pipeline = desk.add_document_processing_pipeline(FOLDER / f"{HEALTH}.pdf", parameters)
    desk.queue.wait(pipeline, PATIENCE_SECONDS)
    return pipeline


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"{name}_p50_seconds": round(ordered[49], 3), f"{name}_p95_seconds": round(ordered[94], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["clock", "resume", "kills"])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    if options.database == "postgresql":
        postgres()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "kills":
            for seed in range(options.seeds):
                print(json.dumps(kills(options.database, folder / str(seed), seed)), flush=True)
            return
        run = {"clock": clock, "resume": resume}[options.what]
        print(json.dumps(run(options.database, folder, options.rounds)))


if __name__ == "__main__":
    main()
