"""What a process knows of its group: its place, its device, what the others say, and a watchdog over itself."""

import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest

from pagemill.children import cpu_count
from pagemill.errors import UserError
from pagemill.ocr.leases import Leases, LocalTable, plan_leases
from pagemill.ocr.ranks import HUNG_EXIT, Place, Ranks

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "job",
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RESTART_COUNT": "5",
}


class Choir:
    """Speaks for the other ranks of a group: each of them gives the numbers it is set to."""

    def __init__(self, others: Sequence[Sequence[float]]) -> None:
        self.others, self.board = others, LocalTable()

    def join(self) -> None:
        for rank in range(1, len(self.others) + 1):
            self.board.set(str(rank), "{}")

    def leave(self) -> None:
        self.others = []

    def table(self, name: str) -> LocalTable:
        return self.board if name == "status" else LocalTable()

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        return [list(numbers), *map(list, self.others)]


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def python(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)


# Alone


def test_a_process_alone_has_all_that_a_group_has() -> None:
    with Ranks.alone("cpu") as ranks:
        assert (ranks.rank, ranks.size, ranks.device, ranks.threads) == (0, 1, "cpu", cpu_count())
        leases = Leases(ranks.agree("digest"), plan_leases([("book", [1])]), ranks.rank)
        assert ranks.statuses() == [{}]
        ranks.publish({"pages": 1, "seconds": 0.5})
        assert ranks.statuses() == [{"pages": 1, "seconds": 0.5}]
        lease = leases.grant()
        assert lease is not None
        assert leases.done(lease)
        assert ranks.totals({"tokens": 7, "pages": 1}) == [{"tokens": 7, "pages": 1}]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    assert Place.of_environment() is None
    assert Ranks.of_environment("cuda:1").device == "cuda:1"


def test_a_process_alone_loads_no_torch() -> None:
    ran = python("""
        import sys
        from pagemill.ocr.ranks import Ranks
        with Ranks.of_environment() as ranks, ranks.watchdog(60):
            ranks.agree("digest"), ranks.publish({}), ranks.statuses(), ranks.totals({})
        print("torch" in sys.modules)
    """)
    assert (ran.stdout, ran.stderr) == ("False\n", "")


# In a group


@pytest.mark.usefixtures("torchrun")
def test_torchrun_says_where_a_process_stands() -> None:
    assert Place.of_environment() == Place(rank=3, size=4, local_rank=1, local_size=2, restarts=5)
    ranks = Ranks.of_environment("cpu")
    assert (ranks.rank, ranks.size, ranks.device) == (3, 4, "cpu")
    assert ranks.threads == max(1, cpu_count() // 2)


@pytest.mark.usefixtures("torchrun")
@pytest.mark.parametrize(
    ("local_rank", "gpus", "device", "instances_per_gpu", "expected"),
    [
        (1, 0, "auto", 1, "cpu"),
        (1, 2, "auto", 1, "cuda:1"),
        (1, 2, "cpu", 1, "cpu"),
        (1, 1, "cuda", 2, "cuda:0"),
        (5, 3, "cuda", 2, "cuda:2"),
    ],
)
def test_instances_share_a_gpu_and_fill_one_after_another(
    monkeypatch: pytest.MonkeyPatch, local_rank: int, gpus: int, device: str, instances_per_gpu: int, expected: str
) -> None:
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    assert Ranks.of_environment(device, instances_per_gpu).device == expected


@pytest.mark.usefixtures("torchrun")
def test_a_rank_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match="rank 3: has no GPU, there are 1 for 2 workers"):
        Ranks.of_environment("cuda")


def test_ranks_that_planned_different_work_do_not_begin() -> None:
    planned_otherwise = pytest.raises(
        RuntimeError, match="not all ranks planned the same work: 1, 2 differ from rank 0"
    )
    with Ranks(Place(size=3), "cpu", Choir([[0.0] * 32, [1.0] * 32])) as ranks, planned_otherwise:
        ranks.agree("digest")


def test_every_rank_learns_the_totals_and_the_status_of_each() -> None:
    with Ranks(Place(size=3), "cpu", Choir([[1.0, 10.0], [2.0, 20.0]])) as ranks:
        assert ranks.totals({"tokens": 5, "pages": 3}) == [
            {"pages": 3, "tokens": 5},
            {"pages": 1, "tokens": 10},
            {"pages": 2, "tokens": 20},
        ]
        ranks.publish({"pages": 3})
        assert ranks.statuses() == [{"pages": 3}, {}, {}]


def test_a_rank_that_fails_does_not_wait_to_take_leave() -> None:
    choir = Choir([[1.0]])
    with pytest.raises(ZeroDivisionError), Ranks(Place(size=2), "cpu", choir):
        raise ZeroDivisionError
    assert choir.others
    with Ranks(Place(size=2), "cpu", choir):
        pass
    assert not choir.others


# The watchdog


def test_a_watchdog_ends_a_process_whose_main_loop_stands_still_and_shows_where() -> None:
    ran = python("""
        import time
        from pagemill.ocr.ranks import Ranks
        def stand_still():
            time.sleep(3600)
        with Ranks.alone() as ranks, ranks.watchdog(0.5):
            stand_still()
    """)
    assert ran.returncode == HUNG_EXIT
    assert ran.stderr.startswith("rank 0 has stood still for 0.5 s, here:\n")
    assert "in stand_still" in ran.stderr


def test_a_watchdog_ends_a_process_in_which_no_thread_of_python_moves() -> None:
    ran = python("""
        import ctypes, time
        from pagemill.ocr.ranks import Ranks
        with Ranks.alone() as ranks, ranks.watchdog(0.5):
            time.sleep(0.2)
            ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter's lock
    """)
    assert ran.returncode == 1
    assert "Timeout (0:00:01)!" in ran.stderr


def test_a_watchdog_leaves_a_process_alone_that_moves_or_has_left_the_block() -> None:
    ran = python("""
        import time
        from pagemill.ocr.ranks import Ranks
        with Ranks.alone() as ranks:
            with ranks.watchdog(0.6):
                for _ in range(20):
                    time.sleep(0.05)
                    ranks.alive()
            time.sleep(1.5)
        print("over")
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "over\n", "")
