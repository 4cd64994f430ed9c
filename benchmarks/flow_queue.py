"""Clock the queue of pipelines on SQLite and PostgreSQL: hand-off, throughput, taking over from the dead; and kill it.

    python benchmarks/flow_queue.py clock --database postgresql --pipelines 1000
    python benchmarks/flow_queue.py kills --database sqlite --seeds 20

Tasks are stand-ins that sleep, so that all that is measured is the queue's own. Run from the repository.
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

sys.path.insert(0, str(Path(__file__).parents[1]))

from pagemill.flow.queue import Queue
from tests.flow_backends import Backend, check_course, open_queue
from tests.flow_databases import flow_database, postgres
from tests.flow_runners import LoggingRunner
from tests.flow_specs import BREAD

PATIENCE_SECONDS = 600.0


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(100 * share) - 1]


def hand_offs(queue: Queue, pipelines: list[str]) -> list[float]:
    """Return how long tasks that need others took to begin after the last of these was done, if there was room."""
    seconds = []
    for pipeline in pipelines:
        events = queue.events(pipeline)
        done = {event.task: event.at for event in events if event.kind == "done"}
        begun = {event.task: event.at for event in reversed(events) if event.kind == "running"}
        for task in BREAD.tasks:
            if task.needs:
                last = max(done[need] for need in task.needs)
                seconds.append((begun[task.name] - last).total_seconds())
    return seconds


def clock(kind: str, folder: Path, pipelines: int, seconds: float) -> dict[str, object]:
    """Send pipelines through one process, first one after the other, then all at once."""
    url = flow_database(kind, folder)
    with Queue(BREAD, url, LoggingRunner(folder / "log.jsonl", seconds)) as queue:
        single = []
        for number in range(10):
            single.append(queue.add_pipeline(f"single{number}"))
            queue.wait(single[-1], PATIENCE_SECONDS)
        start = time.perf_counter()
        many = [queue.add_pipeline(f"many{number}") for number in range(pipelines)]
        added = time.perf_counter() - start
        for each in many:
            assert queue.wait(each, PATIENCE_SECONDS).progress == 100
        took = time.perf_counter() - start
        waits = hand_offs(queue, single)
    return {
        "database": kind,
        "hand_off_p50_seconds": round(quantile(waits, 0.5), 3),
        "hand_off_p95_seconds": round(quantile(waits, 0.95), 3),
        "pipelines": pipelines,
        "task_seconds": seconds,
        "added_in_seconds": round(added, 1),
        "all_done_in_seconds": round(took, 1),
        "tasks_a_second": round(pipelines * len(BREAD.tasks) / took, 1),
    }


def kill(kind: str, folder: Path, seed: int) -> dict[str, object]:
    """Kill two processes, and PostgreSQL itself, at moments that the seed tells; check that nothing shows it."""
    chance = random.Random(seed)
    folder.mkdir()
    url, log = flow_database(kind, folder), LoggingRunner(folder / "log.jsonl")
    backends = [Backend(url, log.log, 0.1) for _ in range(2)]
    queue = open_queue(url, log.log, 0.1)
    for backend in backends:
        backend.wait_until_ready()
    start = time.perf_counter()
    pipelines = [queue.add_pipeline(f"{seed}-{number}") for number in range(4)]
    queue.start()
    for backend in backends:
        time.sleep(chance.uniform(0, 0.8))
        backend.signal(signal.SIGKILL)
    if kind == "postgresql" and chance.random() < 0.5:
        postgres().kill()
        postgres().restart()
    for each in pipelines:
        queue.wait(each, PATIENCE_SECONDS)
    check_course(queue, log, pipelines)
    lost = sum(event.kind in ("lost", "handed back", "taken over") for event in queue.events())
    for backend in backends:
        backend.end()
    queue.close()
    return {"database": kind, "seed": seed, "tasks_lost": lost, "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["clock", "kills"])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--pipelines", type=int, default=1000)
    parser.add_argument("--task-seconds", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "clock":
            print(json.dumps(clock(options.database, folder, options.pipelines, options.task_seconds)))
            return
        for seed in range(options.seeds):
            print(json.dumps(kill(options.database, folder / str(seed), seed)), flush=True)


if __name__ == "__main__":
    main()
