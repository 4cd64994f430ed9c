"""What this process is among the ranks that torchrun started together, and how they speak with one another."""

import contextlib
import dataclasses
import datetime
import faulthandler
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

from pagemill.children import cpu_count
from pagemill.errors import UserError
from pagemill.ocr.importing import large_imports
from pagemill.ocr.leases import LocalTable, Table

HUNG_EXIT = 87  # of a process that its watchdog ended
MEETING_LIMIT_SECONDS = 600.0
_TICKS_A_LIMIT = 10  # of a watchdog
_STDERR = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands in its group."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on its node
    local_size: int = 1
    restarts: int = 0  # of the group, as this node counts them: those for another node's sake are not in it

    @classmethod
    def of_environment(cls) -> "Place | None":
        """Return what torchrun says; None when it did not start this process."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return None
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
        return cls(*(int(os.environ[name]) for name in names))


class Ranks:
    """This process among its group: `with Ranks.of_environment() as ranks: …`.

    Entering the block waits until the whole group is there. What depends on files that other ranks leave is to be
    looked up inside the block: not before are the processes of the group's former life surely gone.

    While ranks work they speak through a table alone, which waits for nobody: `agree` gives the one for the leases,
    `publish` and `statuses` carry the progress. `agree` and `totals` are meetings, in which all wait for all.
    """

    def __init__(self, place: Place, device: str, voice: "_Voice") -> None:
        self.place, self.device, self._voice = place, device, voice
        self._board: Table = LocalTable()
        self._stirred = True

    @classmethod
    def alone(cls, device: str = "auto") -> Self:
        """Return a group of one, which needs no torchrun and loads no torch."""
        return cls(Place(), device, _Alone())

    @classmethod
    def of_environment(
        cls, device: str = "auto", instances_per_gpu: int = 1, limit_seconds: float = MEETING_LIMIT_SECONDS
    ) -> Self:
        """Return this process's part in the group that torchrun started; without torchrun, a group of one.

        Args:
            device: "auto", "cpu" or "cuda".
            instances_per_gpu: Ranks that share a GPU.
            limit_seconds: A meeting that takes longer is an error.

        Raises:
            UserError: There is no GPU for this rank.
        """
        place = Place.of_environment()
        if place is None:
            return cls.alone(device)
        device = _device_of(place, device, instances_per_gpu)
        return cls(place, device, _Group(place, device, instances_per_gpu == 1, limit_seconds))

    @property
    def rank(self) -> int:
        """The number of this process in its group, from 0."""
        return self.place.rank

    @property
    def size(self) -> int:
        """How many processes the group has."""
        return self.place.size

    @property
    def threads(self) -> int:
        """This rank's share of its node's CPUs."""
        return max(1, cpu_count() // self.place.local_size)

    def __enter__(self) -> Self:
        self._voice.join()
        self._board = self._voice.table("status")
        self.publish({})
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # a rank that fails leaves by ending; to take leave it would wait for the others
            self._voice.leave()

    def agree(self, plan_sha256: str) -> Table:
        """Meet the others before the work, and return the table for its leases.

        Args:
            plan_sha256: Digest of the work that this rank has planned.

        Raises:
            RuntimeError: Another rank has planned other work, or did not come within the limit.
        """
        digest = hashlib.sha256(plan_sha256.encode()).digest()
        digests = [bytes(map(int, numbers)) for numbers in self._voice.gather(list(digest))]
        if strangers := [rank for rank, other in enumerate(digests) if other != digests[0]]:
            names = ", ".join(map(str, strangers))
            raise RuntimeError(f"not all ranks planned the same work: {names} differ from rank 0, {self.rank} noticed")
        return self._voice.table(f"leases/{plan_sha256}")

    def publish(self, status: Mapping[str, float]) -> None:
        """Tell the others how far this rank is; cheap, waits for nobody."""
        self._board.set(str(self.rank), json.dumps(dict(status)))

    def statuses(self) -> list[dict[str, float]]:
        """Return what each rank published last, by rank; {} of one that has not yet."""
        return [json.loads(status) for status in self._board.multi_get([str(rank) for rank in range(self.size)])]

    def totals(self, numbers: Mapping[str, float]) -> list[dict[str, float]]:
        """Meet the others after the work, and return the numbers of each rank, by rank; all give the same names.

        Raises:
            RuntimeError: Another rank did not come within the limit.
        """
        names = sorted(numbers)
        gathered = self._voice.gather([numbers[name] for name in names])
        return [dict(zip(names, values, strict=True)) for values in gathered]

    def alive(self) -> None:
        """Tell the watchdog that the main loop goes round; costs nothing."""
        self._stirred = True

    @contextlib.contextmanager
    def watchdog(self, limit_seconds: float) -> Iterator[None]:
        """End the process, with exit code HUNG_EXIT, when `alive` is not called for so long within the block.

        A hung main loop cannot be mended from inside; torchrun restarts the group. Where all Python threads stand
        still, because C code does not let go of the interpreter, the process ends with exit code 1. The time for
        which the process itself was stopped does not count.
        """
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(limit_seconds, over), name="watchdog", daemon=True)
        self.alive()
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _watch(self, limit_seconds: float, over: threading.Event) -> None:
        still_ticks = 0
        while not over.wait(limit_seconds / _TICKS_A_LIMIT):
            faulthandler.dump_traceback_later(2 * limit_seconds, exit=True, file=_STDERR)
            still_ticks = 0 if self._stirred else still_ticks + 1
            self._stirred = False
            if still_ticks >= _TICKS_A_LIMIT:
                os.write(_STDERR, b"rank %d has stood still for %g s, here:\n" % (self.rank, limit_seconds))
                faulthandler.dump_traceback(file=_STDERR)
                os._exit(HUNG_EXIT)
        faulthandler.cancel_dump_traceback_later()


def _device_of(place: Place, device: str, instances_per_gpu: int) -> str:
    """Return the device of one rank."""
    with large_imports():
        import torch

    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    gpus = torch.cuda.device_count()
    gpu = place.local_rank // instances_per_gpu
    if gpu >= gpus:
        mend = "start fewer workers or more instances a GPU"
        raise UserError(f"rank {place.rank}", f"has no GPU, there are {gpus} for {place.local_size} workers", mend)
    return f"cuda:{gpu}"


class _Voice(Protocol):
    """How a group speaks."""

    def join(self) -> None: ...

    def leave(self) -> None: ...

    def table(self, name: str) -> Table: ...

    def gather(self, numbers: Sequence[float]) -> list[list[float]]: ...


class _Alone:
    """Soliloquy."""

    def join(self) -> None:
        pass

    def leave(self) -> None:
        pass

    def table(self, name: str) -> Table:
        return LocalTable()

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        return [list(numbers)]


class _Group:
    """A process group of torch for the meetings, and a store of torch for the tables, both new in each life of a group.

    The store is rank 0's. That of torchrun's agents would outlive the ranks, and with it what dead ones wrote there.
    NCCL refuses two ranks on one GPU, so those that share one meet through Gloo.
    """

    def __init__(self, place: Place, device: str, own_gpu: bool, limit_seconds: float) -> None:
        self.place, self.limit = place, datetime.timedelta(seconds=limit_seconds)
        self.uses_nccl = device.startswith("cuda") and own_gpu
        self.device = device if self.uses_nccl else "cpu"
        self.store: Any = None

    def join(self) -> None:
        import torch
        from torch import distributed

        if self.uses_nccl:
            torch.cuda.set_device(self.device)
        self.store = self._connect()
        distributed.init_process_group(
            "nccl" if self.uses_nccl else "gloo",
            store=_prefixed("meetings", self._connect()),
            rank=self.place.rank,
            world_size=self.place.size,
            timeout=self.limit,
        )
        self.gather([0.0])  # NCCL connects only now

    def leave(self) -> None:
        from torch import distributed

        distributed.destroy_process_group()

    def table(self, name: str) -> Table:
        table: Table = _prefixed(f"tables/{name}", self.store)
        return table

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        import torch
        from torch import distributed

        mine = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        everyones = [torch.empty_like(mine) for _ in range(self.place.size)]
        distributed.all_gather(everyones, mine)
        return [theirs.tolist() for theirs in everyones]

    def _connect(self) -> Any:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, but not to type checkers

        assert os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "False", "the agents' store is in use, not the ranks' own"
        return TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=self.place.rank == 0,
            wait_for_workers=False,
            timeout=self.limit,
            multi_tenant=True,  # rank 0 connects twice to the one server
        )


def _prefixed(prefix: str, store: Any) -> Any:
    from torch.distributed.distributed_c10d import PrefixStore

    return PrefixStore(f"{prefix}/", store)
