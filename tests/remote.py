"""A server of pages behind a door that can be made to fail, and a stand-in for Vertex AI's batch prediction."""

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Iterator

import httpx

from pagemill.storage import Store
from tests.servers import JsonHandler, listening

DROP = "drop"  # the connection
Fault = str | tuple[int, dict[str, str]]  # DROP, or a status with headers


@dataclasses.dataclass
class Door:
    """What stands before a server: what it lets happen, and what it has seen."""

    server: str
    faults: list[Fault] = dataclasses.field(default_factory=list)  # of the next requests
    verdict: Callable[[dict], Fault | None] = lambda instance: None  # of each instance that is asked for
    change: Callable[[dict], None] = lambda prediction: None  # made to each prediction
    allowed: threading.Semaphore | None = None  # requests that are still let through
    seen: list[dict] = dataclasses.field(default_factory=list)  # instances
    paths: list[str] = dataclasses.field(default_factory=list)
    tokens: list[str] = dataclasses.field(default_factory=list)
    open: int = 0
    most_open: int = 0
    address: str = ""
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def pages_seen(self) -> list[str]:
        """Pages of each instance that named some: the page of the self-test does not."""
        return [instance["pages"] for instance in self.seen if "pages" in instance]


@contextlib.contextmanager
def door_to(server: str) -> Iterator[Door]:
    """Open a door on a free port of this machine."""
    door = Door(server)
    with listening(_Handler, door=door) as door.address:
        yield door


class _Handler(JsonHandler):
    door: Door

    def serve(self) -> None:
        body = self.received()
        if self.path == "/token":
            self.send(200, {"access_token": "a token", "expires_in": 3600})
            return
        with self.door.lock:
            self.door.open += 1
            self.door.most_open = max(self.door.most_open, self.door.open)
        try:
            self._answer(body)
        finally:
            with self.door.lock:
                self.door.open -= 1

    def _answer(self, body: bytes) -> None:
        door = self.door
        (instance,) = json.loads(body)["instances"]
        with door.lock:
            door.seen.append(instance)
            door.paths.append(self.path)
            door.tokens.append(self.headers.get("Authorization", ""))
            fault = door.faults.pop(0) if door.faults else door.verdict(instance)
        if door.allowed is not None:
            door.allowed.acquire()
        if fault == DROP:
            self.close_connection = True
            self.connection.close()
        elif fault is not None:
            self.send(fault[0], {"error": "as the test has it"}, fault[1])
        else:
            answer = httpx.post(f"{door.server}/predict", content=body, timeout=60)
            values = answer.json()
            for prediction in values.get("predictions", []):
                door.change(prediction)
            self.send(answer.status_code, values)


def predict_batch(
    server: str, uris: list[str], destination: str, *, batch_size: int = 3, fails: Callable[[dict], bool] | None = None
) -> str:
    """Do what Vertex AI's batch prediction does with JSON Lines, and return the folder that it made.

    Instances go to the server some at a time and come back beside their predictions, in files whose
    order says nothing, with their numbers as doubles. Those of `fails` go to the file of errors.
    """
    instances = [json.loads(line) for uri in uris for line in _file(uri).splitlines()]
    output = Store(f"{destination}/prediction-nougat-2026-01-01T00:00:00Z")
    failed = [each for each in instances if fails and fails(each)]
    good = [each for each in instances if each not in failed]
    results = []
    for start in range(0, len(good), batch_size):
        batch = good[start : start + batch_size]
        answer = httpx.post(f"{server}/predict", json={"instances": batch}, timeout=60)
        answer.raise_for_status()
        results += zip(batch, answer.json()["predictions"], strict=True)
    halves = [results[1::2], results[::2]]
    for number, half in enumerate(halves):
        rows = [{"instance": instance, "prediction": _as_doubles(prediction)} for instance, prediction in half]
        output.write_jsonl(f"prediction.results-{number:05d}-of-{len(halves):05d}", rows)
    errors = [{"instance": each, "error": {"code": 13, "message": "the server\nfailed"}} for each in failed]
    output.write_jsonl("prediction.errors_stats-00000-of-00001", errors)
    return output.uri


def _as_doubles(value: object) -> object:
    """Return a JSON value as it comes out of a protocol buffer: 3.0 as 3 and 3 as 3.0."""
    match value:
        case bool() | None | str():
            return value
        case dict():
            return {name: _as_doubles(each) for name, each in value.items()}
        case list():
            return [_as_doubles(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case int():
            return float(value)
    return value


def _file(uri: str) -> bytes:
    folder, _, name = uri.rpartition("/")
    return Store(folder).read_bytes(name)
