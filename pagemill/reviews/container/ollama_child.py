"""An Ollama of the container itself: started as a child, and ended with it."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator

from pagemill.errors import UserError

PORT = 11434
CONTEXT_TOKENS = 24_576  # for the longest deck that is not cut, and its answer; see docs/decks.md
OF_REVIEWS = ("DECK_REVIEW_", "PAGEMILL_")  # variables that are none of its business, the token among them
END_SECONDS = 10.0


@contextlib.contextmanager
def running_ollama(on_death: Callable[[int], None]) -> Iterator[str]:
    """Run `ollama serve` for the time of the block; give the URL of its OpenAI routes.

    Args:
        on_death: Told its exit code, from another thread, when it ends before the block does.

    Raises:
        UserError: There is no Ollama on this machine.
    """
    program = shutil.which("ollama")
    if program is None:
        raise UserError(
            "ollama", "is not installed here", "name a model server with decks.vision.url or decks.text.url"
        )
    address = f"127.0.0.1:{_free_port()}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_REVIEWS)}
    environment = {"OLLAMA_CONTEXT_LENGTH": str(CONTEXT_TOKENS), **inherited, "OLLAMA_HOST": address}
    ending = threading.Event()
    with subprocess.Popen([program, "serve"], env=environment, stdin=subprocess.DEVNULL) as process:

        def watch() -> None:
            code = process.wait()
            if not ending.is_set():
                on_death(code)

        threading.Thread(target=watch, name="ollama", daemon=True).start()
        try:
            yield f"http://{address}/v1"
        finally:
            ending.set()
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    """Return Ollama's own port, or another one when that is taken."""
    for port in (PORT, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise UserError("127.0.0.1", "there is no free port", "end what takes them")
