"""How a group of ranks is started with torchrun, watched and ended, and how its failure is told in one line."""

import contextlib
import ctypes
import dataclasses
import importlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pagemill.children import cpu_count, die_with_parent, fresh_interpreter
from pagemill.errors import UserError
from pagemill.ocr.importing import large_imports
from pagemill.ocr.ranks import HUNG_EXIT

ERROR_EXIT = 2
SHUTDOWN_SECONDS = 10  # that a rank has between SIGTERM and SIGKILL

_POLL_SECONDS = 0.1
_FOLDER = "PAGEMILL_GROUP_FOLDER"  # environment: where ranks and agent leave word for the launcher
_AGENT = "PAGEMILL_GROUP_AGENT"  # environment: the agent's process id
_ERROR, _FAILURE = "error.pickle", "failure.pickle"
_NO_RESTART_MENDS = (UserError, OSError)  # raised by a rank: the group ends
_QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
_OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # each life of the group has a store of its own


class GroupFailed(RuntimeError):
    """A rank ended in a way that restarts did not mend."""


def worker_count(device: str, workers: int, instances_per_gpu: int = 1) -> int:
    """Return how many processes are to read: as many as asked for, else one an instance and GPU, or one on CPUs.

    Args:
        device: "auto", "cpu", "cuda", or "cuda:<n>" for a single process.
        workers: 0 for as many as suit the device.
        instances_per_gpu: Processes that share a GPU.

    Raises:
        UserError: The machine has no such device, or not for so many.
    """
    if workers < 0:
        raise UserError(f"workers {workers}", "is less than none", "give 0 for as many as suit the device")
    if instances_per_gpu < 1:
        raise UserError(f"instances per GPU {instances_per_gpu}", "is less than one", "give 1 or more")
    if device.startswith("cuda:"):
        if max(workers, instances_per_gpu) > 1:
            raise UserError(f"device {device}", "is one GPU for one worker", "give the device cuda for more workers")
        return 1
    gpus = gpu_count() if device in ("auto", "cuda") else 0
    if device == "cuda" and not gpus:
        raise UserError("device cuda", "there is no GPU that CUDA can use", "give the device cpu, or check the driver")
    if not gpus:
        if instances_per_gpu > 1:
            raise UserError(f"instances per GPU {instances_per_gpu}", "there is no GPU in use", "give workers instead")
        return workers or 1
    if workers > gpus * instances_per_gpu:
        mend = "give fewer workers or more instances per GPU"
        raise UserError(f"workers {workers}", f"are too many for {gpus} GPUs of {instances_per_gpu} instances", mend)
    return workers or gpus * instances_per_gpu


def gpu_count() -> int:
    """Return how many GPUs CUDA would use, as its driver says: CUDA_VISIBLE_DEVICES counts, and torch is not loaded."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


@dataclasses.dataclass(frozen=True, slots=True)
class Nodes:
    """The machines of a group; each of them runs `launch` with the same values."""

    count: int = 1
    endpoint: str = ""  # host:port of one of them, where they meet
    job: str = "pagemill"  # tells this group from others that meet there

    @property
    def options(self) -> list[str]:
        """What torchrun is told of them."""
        if self.count == 1:
            return ["--standalone", "--local-addr=127.0.0.1"]  # needs no name service
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={self.endpoint}", f"--rdzv-id={self.job}"]
        return [f"--nnodes={self.count}", *meeting]


def torchrun_arguments(
    module: str, arguments: Sequence[str], *, workers: int, max_restarts: int, nodes: Nodes = Nodes()
) -> list[str]:
    """Return what torchrun is given to start ranks that call `main(arguments)` of a module."""
    return [
        *nodes.options,
        f"--nproc-per-node={workers}",
        f"--max-restarts={max_restarts}",
        f"--shutdown-timeout={SHUTDOWN_SECONDS}",
        "--no-python",
        *fresh_interpreter(__name__, "be_rank"),
        module,
        *arguments,
    ]


def launch(
    module: str, arguments: Sequence[str], *, workers: int, max_restarts: int = 3, nodes: Nodes = Nodes()
) -> None:
    """Run a group of ranks, each of which calls `main(arguments)` of a module, until all have returned.

    When one of them dies, all are started anew, up to `max_restarts` times. The group ends with this process, however
    it ends: SIGTERM and Ctrl-C are passed on and waited for, and a kill takes the ranks along.

    Args:
        module: What `import` finds in this process.
        arguments: For its `main`.
        workers: Ranks on this node.
        max_restarts: Of the group.
        nodes: Where the others are.

    Raises:
        UserError: A rank raised it; there are no restarts then.
        OSError: Likewise.
        GroupFailed: A rank failed, and restarts were used up; it names the rank and how it ended.
    """
    options = torchrun_arguments(module, arguments, workers=workers, max_restarts=max_restarts, nodes=nodes)
    with tempfile.TemporaryDirectory(prefix="pagemill-group-") as name, sigterm_as_exit():
        folder = Path(name)
        agent = subprocess.Popen(
            [*fresh_interpreter(__name__, "be_agent", os.getpid()), *options],
            stdin=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": str(max(1, cpu_count() // workers))}
            | _QUIET
            | os.environ
            | _OWN_STORE
            | {_FOLDER: name},
            process_group=0,  # Ctrl-C at the terminal reaches this process alone, which passes it on
        )
        try:
            code = _wait(agent, folder / _ERROR)
        finally:
            _end(agent)
        _raise_failure(folder, code)


def be_agent(launcher: int) -> None:
    """Be torchrun, in a process of its own that dies with the launcher; what became of the ranks goes to a file."""
    die_with_parent(launcher)
    os.environ[_AGENT] = str(os.getpid())
    logging.disable(logging.WARNING)  # what it says when all goes as it should

    with large_imports():
        from torch.distributed import run
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(sys.argv[1:])
    except SignalException as ended:
        sys.exit(128 + ended.sigval)
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        _leave_word(_FAILURE, {"rank": rank, "exit_code": failure.exitcode})
        sys.exit(1)


def be_rank() -> None:
    """Be one rank: call `main` of the module that the command line names; an error that no restart mends is told."""
    die_with_parent(int(os.environ[_AGENT]))
    module, *arguments = sys.argv[1:]
    try:
        importlib.import_module(module).main(arguments)
    except _NO_RESTART_MENDS as error:
        _leave_word(_ERROR, error)
        time.sleep(SHUTDOWN_SECONDS)  # the launcher ends the group; to end first would have it restarted
        sys.exit(ERROR_EXIT)


def _leave_word(name: str, value: object) -> None:
    """Write a file for the launcher, whole or not at all; the last of several ranks is heard."""
    folder = Path(os.environ[_FOLDER])
    draft = folder / f"{name}-{os.getpid()}"
    draft.write_bytes(pickle.dumps(value))
    draft.rename(folder / name)


def _wait(agent: "subprocess.Popen[bytes]", error: Path) -> int:
    """Wait until the agent ends, or a rank has told of an error that no restart mends."""
    while not error.exists():
        with contextlib.suppress(subprocess.TimeoutExpired):
            return agent.wait(_POLL_SECONDS)
    return ERROR_EXIT


def _end(agent: "subprocess.Popen[bytes]") -> None:
    """End the agent and its ranks: gently, then by force."""
    agent.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.wait(2 * SHUTDOWN_SECONDS)
    finally:
        agent.kill()  # the kernel kills its ranks then
        agent.wait()


def _raise_failure(folder: Path, code: int) -> None:
    if (folder / _ERROR).exists():
        raise _word(folder / _ERROR)
    if (folder / _FAILURE).exists():
        failure = _word(folder / _FAILURE)
        raise GroupFailed(f"rank {failure['rank']} {_how_ended(failure['exit_code'])}, and restarts were used up")
    if code:
        raise GroupFailed(f"torchrun {_how_ended(code)}")


def _word(path: Path) -> Any:
    return pickle.loads(path.read_bytes())  # noqa: S301  # from our own agent or rank


def _how_ended(code: int) -> str:
    if code == HUNG_EXIT:
        return "was ended by its watchdog, because it stood still"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


@contextlib.contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Have SIGTERM leave the block as SystemExit, where it would have ended the process at once.

    On another thread than the main one, and where somebody handles the signal already, nothing changes.
    """
    default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not default or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
