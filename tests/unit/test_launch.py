"""Groups of ranks under the real torchrun: they speak, are restarted, tell their errors and end with their launcher."""

import contextlib
import ctypes
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pagemill.errors import UserError
from pagemill.ocr import launch as launching
from pagemill.ocr.launch import GroupFailed, Nodes, launch, torchrun_arguments, worker_count
from pagemill.ocr.leases import Leases, plan_leases
from pagemill.ocr.ranks import Ranks

PAGES = range(1, 61)
LAUNCHER = """
import sys
from pagemill.ocr.launch import launch
launch("tests.unit.test_launch", sys.argv[1:], workers=2)
"""


# What the ranks do


def main(arguments: Sequence[str]) -> None:
    """Be a rank of one of the groups below."""
    task, folder = arguments
    TASKS[task](Path(folder))


def read_pages(folder: Path) -> None:
    """Read what is missing; one rank dies and later another hangs, unless the folder says that it has happened."""
    with Ranks.of_environment("cpu", limit_seconds=60) as ranks, ranks.watchdog(1.5):
        missing = [page for page in PAGES if not (folder / f"page-{page}").exists()]
        leases = Leases(ranks.agree(str(missing)), plan_leases([("book", missing)], 4, ranks.size), ranks.rank)
        second_life, pages = (folder / "died").exists(), 0
        while not leases.finished:
            ranks.alive()
            if ranks.rank == 0:
                wait_for_death_or_hang(ranks, folder, second_life)
            if lease := leases.grant():
                if pages and not second_life:
                    (folder / "died").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                for page in lease.pages:
                    (folder / f"page-{page}").touch(exist_ok=False)  # raises when it was done before
                assert leases.done(lease)
                pages += len(lease.pages)
                ranks.publish({"pages": pages})
            time.sleep(0.01)
        ranks.publish({"pages": pages})
        totals = ranks.totals({"pages": pages, "rank": ranks.rank})
        if ranks.rank == 0:
            while not all(ranks.statuses()):
                time.sleep(0.01)  # a status is on its way for a moment
            told = {"totals": totals, "statuses": ranks.statuses(), "restarts": ranks.place.restarts}
            report = told | {"missing": len(missing), "threads": os.environ["OMP_NUM_THREADS"], "device": ranks.device}
            (folder / "report.json").write_text(json.dumps(report))


def wait_for_death_or_hang(ranks: Ranks, folder: Path, second_life: bool) -> None:
    """What rank 0 does: nothing until rank 1 has died, then it hangs once."""
    while not second_life:
        ranks.alive()
        time.sleep(0.01)
    if not (folder / "hung").exists():
        (folder / "hung").touch()
        time.sleep(3600)


def make_a_mistake(folder: Path) -> None:
    """Find that the user made a mistake, while the other rank waits."""
    if os.environ["RANK"] == "0":
        time.sleep(3600)
    raise UserError("books.rar", "is not there", "name another file")


def die(folder: Path) -> None:
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)


def sleep(folder: Path) -> None:
    (folder / f"pid-{os.getpid()}").touch()
    (folder / f"pid-{os.getppid()}").touch()
    time.sleep(3600)


def sleep_through_sigterm(folder: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: (folder / f"drained-{os.getpid()}").touch() or sys.exit(0))
    sleep(folder)


TASKS = {task.__name__: task for task in (read_pages, make_a_mistake, die, sleep, sleep_through_sigterm)}


@pytest.fixture(autouse=True)
def _one_thread_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def run(task: str, folder: Path, max_restarts: int = 0) -> None:
    launch(__name__, [task, str(folder)], workers=2, max_restarts=max_restarts)


# Under torchrun


def test_a_group_goes_on_after_a_death_and_a_hang_and_repeats_nothing_that_was_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("read_pages", tmp_path, max_restarts=2)

    report = json.loads((tmp_path / "report.json").read_text())
    assert len(list(tmp_path.glob("page-*"))) == len(PAGES)
    assert report["restarts"] == 2
    assert [numbers["rank"] for numbers in report["totals"]] == [0, 1]
    assert sum(numbers["pages"] for numbers in report["totals"]) == report["missing"]
    assert report["statuses"] == [{"pages": numbers["pages"]} for numbers in report["totals"]]
    assert (report["device"], int(report["threads"]) >= 1) == ("cpu", True)
    assert "rank 0 has stood still for 1.5 s, here:" in capfd.readouterr().err


def test_nodes_that_meet_go_on_after_a_death_on_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "hung").touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        nodes = Nodes(2, f"127.0.0.1:{free.getsockname()[1]}", "job")
    with ThreadPoolExecutor(2) as pool:
        arguments = ["read_pages", str(tmp_path)]
        node = functools.partial(launch, __name__, arguments, workers=1, max_restarts=1, nodes=nodes)
        for each in [pool.submit(node), pool.submit(node)]:
            each.result()

    report = json.loads((tmp_path / "report.json").read_text())
    assert len(list(tmp_path.glob("page-*"))) == len(PAGES)
    assert (tmp_path / "died").exists()
    assert [numbers["rank"] for numbers in report["totals"]] == [0, 1]
    assert sum(numbers["pages"] for numbers in report["totals"]) == report["missing"] < len(PAGES)


def test_a_mistake_of_the_user_comes_out_of_the_launcher_alone_and_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as mistake:
        run("make_a_mistake", tmp_path, max_restarts=3)
    assert str(mistake.value) == "books.rar: is not there; name another file"
    assert capfd.readouterr().err == ""


def test_a_rank_that_dies_too_often_is_named(tmp_path: Path) -> None:
    with pytest.raises(GroupFailed, match=r"^rank 1 was killed by SIGKILL, and restarts were used up$"):
        run("die", tmp_path)


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_group_ends_with_its_launcher_however_that_ends(tmp_path: Path) -> None:
    ends = {"sleep": signal.SIGKILL, "sleep_through_sigterm": signal.SIGTERM}
    launchers = {}
    for task in ends:
        (tmp_path / task).mkdir()
        command = [sys.executable, "-c", LAUNCHER, task, str(tmp_path / task)]
        launchers[task] = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    pids = {task: wait_for_pids(tmp_path / task) for task in ends}
    for task, end in ends.items():
        launchers[task].send_signal(end)

    assert launchers["sleep"].wait() == -signal.SIGKILL
    assert launchers["sleep_through_sigterm"].wait() == 128 + signal.SIGTERM
    assert len(list((tmp_path / "sleep_through_sigterm").glob("drained-*"))) == 2
    while any(map(is_running, pids["sleep"])):
        time.sleep(0.01)  # the kernel's work, which takes no time to speak of
    assert not any(map(is_running, pids["sleep_through_sigterm"]))


def wait_for_pids(folder: Path) -> list[int]:
    """Return the process ids of two ranks and their agent."""
    while len(files := list(folder.glob("pid-*"))) < 3:
        time.sleep(0.01)
    return [int(file.name.partition("-")[2]) for file in files]


# Before torchrun


def test_one_node_meets_on_its_own_and_several_at_an_endpoint() -> None:
    alone = torchrun_arguments("module", ["job"], workers=4, max_restarts=3)
    assert alone[:4] == ["--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=4", "--max-restarts=3"]
    assert alone[-2:] == ["module", "job"]
    nodes = torchrun_arguments("module", ["job"], workers=4, max_restarts=3, nodes=Nodes(2, "host:29400", "books"))
    assert nodes[:4] == ["--nnodes=2", "--rdzv-backend=c10d", "--rdzv-endpoint=host:29400", "--rdzv-id=books"]


class Driver:
    """Stands for libcuda, which answers through a pointer."""

    def __init__(self, gpus: int, error: int = 0) -> None:
        self.gpus, self.error = gpus, error

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, count: "ctypes._Pointer[ctypes.c_int]") -> int:
        count._obj.value = self.gpus  # type: ignore[attr-defined]
        return 0


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    monkeypatch.setattr(launching.ctypes, "CDLL", lambda name: Driver(request.param))
    return int(request.param)


@pytest.mark.parametrize(
    ("gpus", "device", "workers", "instances", "count"),
    [
        (0, "auto", 0, 1, 1),
        (0, "auto", 3, 1, 3),
        (2, "auto", 0, 1, 2),
        (2, "cuda", 0, 3, 6),
        (2, "cuda", 5, 3, 5),
        (2, "cpu", 0, 1, 1),
        (2, "cpu", 4, 1, 4),
        (2, "cuda:1", 0, 1, 1),
        (2, "cuda:1", 1, 1, 1),
    ],
    indirect=["gpus"],
)
def test_workers_suit_the_device(gpus: int, device: str, workers: int, instances: int, count: int) -> None:
    assert worker_count(device, workers, instances) == count


@pytest.mark.parametrize(
    ("gpus", "device", "workers", "instances", "reason"),
    [
        (2, "auto", -1, 1, "workers -1: is less than none"),
        (2, "auto", 0, 0, "instances per GPU 0: is less than one"),
        (2, "auto", 3, 1, "workers 3: are too many for 2 GPUs of 1 instances"),
        (2, "cuda:1", 2, 1, "device cuda:1: is one GPU for one worker"),
        (2, "cuda:1", 0, 2, "device cuda:1: is one GPU for one worker"),
        (2, "cpu", 0, 2, "instances per GPU 2: there is no GPU in use"),
        (0, "auto", 0, 2, "instances per GPU 2: there is no GPU in use"),
        (0, "cuda", 0, 1, "device cuda: there is no GPU that CUDA can use"),
    ],
    indirect=["gpus"],
)
def test_workers_that_make_no_sense_are_refused(
    gpus: int, device: str, workers: int, instances: int, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        worker_count(device, workers, instances)


def test_no_driver_and_a_driver_that_fails_mean_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(launching.ctypes, "CDLL", absent)
    assert launching.gpu_count() == 0
    monkeypatch.setattr(launching.ctypes, "CDLL", lambda name: Driver(2, error=100))
    assert launching.gpu_count() == 0
