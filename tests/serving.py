"""The Nougat server as a process, with the light engine or another, and books whose pages tell who they are."""

import base64
import contextlib
import dataclasses
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests import light_engine, pdfs

ROOT = Path(__file__).parents[1]
APP = ROOT / "containers" / "nougat" / "app.py"
PAGES_A_BOOK = 3
BOOKS = 40
_INSTANCE = b"pagemill.ocr.serving.instance"


@dataclasses.dataclass
class Server:
    """A running server."""

    process: subprocess.Popen
    url: str
    log: Path

    def client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        return httpx.AsyncClient(base_url=self.url, timeout=120, limits=limits)

    def health(self) -> int:
        """The status of the health route; 0 when nobody listens."""
        try:
            return httpx.get(f"{self.url}/health").status_code
        except httpx.TransportError:
            return 0

    def wait_until_healthy(self) -> None:
        while (status := self.health()) != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert status in (0, 503)
            time.sleep(0.05)

    def predict(self, *instances, **fields) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json={"instances": instances, **fields}, timeout=120)

    def figure(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name whose labels are as given."""
        text = httpx.get(f"{self.url}/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
        assert found or labels, f"no {name} in {text}"
        return sum(found)

    def instances(self) -> list[int]:
        """The processes of the model instances."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and _INSTANCE in status.with_name("cmdline").read_bytes():
                    found.append(int(status.parent.name))
        return found

    def peak_megabytes(self) -> int:
        """The most memory that the front process ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


@contextlib.contextmanager
def serving(folder: Path, *, healthy: bool = True, environment=None, **behaviour) -> Iterator[Server]:
    """Run a server; the light engine behaves as said, the environment is added to what suits a test."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = light_engine.write_checkpoint(folder / "light", **behaviour)
    port = _free_port()
    settings = {
        "PYTHONPATH": str(ROOT),
        "AIP_HTTP_PORT": str(port),
        "AIP_STORAGE_URI": str(checkpoint),
        "PAGEMILL_ENGINE": light_engine.ENGINE,
        "PAGEMILL_DEVICE": "cpu",
        "PAGEMILL_THREADS": "1",
        "TMPDIR": str(folder),
        **(environment or {}),
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, APP], env=os.environ | settings, stdout=output, stderr=output)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        if healthy:
            server.wait_until_healthy()
        yield server
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def book(number: int, pages: int = PAGES_A_BOOK) -> bytes:
    """Return a PDF whose pages bear numbers that no other book bears."""
    first = 1 + number * PAGES_A_BOOK
    return pdfs.book([light_engine.numbered(first + page, f"Book {number}") for page in range(pages)])


def inline(content: bytes, **fields) -> dict:
    """Return an instance that carries its PDF."""
    return {"pdf": {"b64": base64.b64encode(content).decode()}, **fields}


def numbers_read(prediction: dict) -> list[int]:
    """Return which numbers the pages of a prediction bear."""
    return [int(re.match(r"Page (\d+) ", page["text"])[1]) for page in prediction["pages"]]


def numbers_of(book_number: int) -> list[int]:
    """Return which numbers the pages of a book bear."""
    return [1 + book_number * PAGES_A_BOOK + page for page in range(PAGES_A_BOOK)]
