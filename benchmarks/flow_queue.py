"""Clock the queue of pipelines on SQLite and PostgreSQL: hand-off, throughput, what it costs; and kill it.

    python benchmarks/flow_queue.py clock --database postgresql --pipelines 1000
    python benchmarks/flow_queue.py share --database postgresql --pipelines 25 --task-seconds 1
    python benchmarks/flow_queue.py kills --database sqlite --seeds 20

Tasks are stand-ins that sleep, so that all that is measured is the queue's own. Run from the repository.
"""

import argparse
import datetime
import gc
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
from pagemill.flow.spec import PipelineSpec, TaskSpec
from tests.flow_backends import Backend, check_course, open_queue
from tests.flow_databases import flow_database, postgres
from tests.flow_runners import LoggingRunner
from tests.flow_specs import BREAD

PATIENCE_SECONDS = 600.0
AT_ONCE = 5
IDLE_SECONDS = 5.0

# A pipeline of the shape of a deck review: two tasks at first, one after one of them, three after that.
DECK = PipelineSpec(
    "deck",
    (
        TaskSpec("see"),
        TaskSpec("look"),
        TaskSpec("extract", ("see",)),
        *(TaskSpec(name, ("extract",)) for name in ("clinical", "regulatory", "science")),
    ),
)
LAYERS = 3
LONGEST = 1.5  # as long as the shortest: tasks that began together do not end in the same millisecond


class Sleeping:
    """A runner that sleeps for so long and up to half as long again, and says how long it was at it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._chance = random.Random(1)

    def run(self, *_: object) -> dict[str, float]:
        """Sleep."""
        start = time.perf_counter()
        time.sleep(self.seconds * self._chance.uniform(1, LONGEST))
        return {"seconds": time.perf_counter() - start}


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(100 * share) - 1]


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
        waits = [seconds for each in single for seconds in queue.hand_offs(each).values()]
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


def critical_seconds(queue: Queue, pipeline: str) -> float:
    """Return how long the longest way through a pipeline's tasks is, by the runner's own sleep in each."""
    lasted = {name: result["seconds"] for name, result in queue.results(pipeline).items()}
    ends: dict[str, float] = {}
    for task in DECK.tasks:
        ends[task.name] = max((ends[need] for need in task.needs), default=0.0) + lasted[task.name]
    return max(ends.values())


def share(kind: str, folder: Path, pipelines: int, seconds: float) -> dict[str, object]:
    """Tell what coordination adds to tasks that take some time, with as much room as there are tasks.

    Pipelines come at random moments, five in the time that one takes.
    `waiting_share` is (wall time - critical path) / wall time of a pipeline, the median of all: the wall time is from
    before it is added until it is over by its own row, the critical path the longest sum of seconds that the runner
    itself was busy. It holds all that is not a task: adding, hand-offs, transactions, keeping the last result.
    `waiting_share_of_task_time` takes the same seconds as a share of all of the pipeline's task time.
    `cpu_share` is the CPU time of this process, which is all of the backend, for each second of task time;
    PostgreSQL's own is not in it. `idle_cpu_share` is the same process for each second in which there is nothing to do.
    """
    url, chance = flow_database(kind, folder), random.Random(0)
    with Queue(DECK, url, Sleeping(seconds)) as queue:
        queue.wait(queue.add_pipeline("warm"), PATIENCE_SECONDS)
        gc.collect()
        gc.freeze()  # as the backend does
        idle = time.process_time()
        time.sleep(IDLE_SECONDS)
        idle = (time.process_time() - idle) / IDLE_SECONDS
        busy = time.process_time()
        added = {}
        for number in range(pipelines):
            moment = datetime.datetime.now(datetime.UTC)
            added[queue.add_pipeline(f"many{number}")] = moment
            time.sleep(chance.uniform(0, 2 * LAYERS * seconds / AT_ONCE))
        while not all(status.is_over for status in map(queue.status, added)):
            time.sleep(0.5)
        busy = time.process_time() - busy
        waits, walls, works, offs = [], [], [], []
        for each, moment in added.items():
            finished = queue.status(each).finished_at
            assert finished is not None
            walls.append((finished - moment).total_seconds())
            waits.append(walls[-1] - critical_seconds(queue, each))
            works.append(sum(result["seconds"] for result in queue.results(each).values()))
            offs += queue.hand_offs(each).values()
    return {
        "database": kind,
        "pipelines": pipelines,
        "task_seconds": seconds,
        "pipeline_seconds": round(statistics.median(walls), 3),
        "waiting_seconds": round(statistics.median(waits), 3),
        "waiting_share": round(statistics.median(wait / wall for wait, wall in zip(waits, walls, strict=True)), 4),
        "waiting_share_of_task_time": round(sum(waits) / sum(works), 4),
        "hand_off_p50_seconds": round(statistics.median(offs), 4),
        "cpu_share": round(busy / sum(works), 4),
        "idle_cpu_share": round(idle, 4),
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
    parser.add_argument("what", choices=["clock", "share", "kills"])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--pipelines", type=int, help="1000 to clock, 25 for the share")
    parser.add_argument("--task-seconds", type=float, help="0 to clock, 1 for the share")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "clock":
            print(json.dumps(clock(options.database, folder, options.pipelines or 1000, options.task_seconds or 0.0)))
            return
        if options.what == "share":
            print(json.dumps(share(options.database, folder, options.pipelines or 25, options.task_seconds or 1.0)))
            return
        for seed in range(options.seeds):
            print(json.dumps(kill(options.database, folder / str(seed), seed)), flush=True)


if __name__ == "__main__":
    main()
