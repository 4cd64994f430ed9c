"""The smoke test of the images of deck review: the app in a process, a model that is scripted, a sample deck."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from smoke import LIMIT_SECONDS, free_port, wait_until

from pagemill.decks.asking import Context
from pagemill.decks.models.chat import ChatModel
from pagemill.decks.records import Deck
from pagemill.decks.slides import SlideParameters, add_deck
from pagemill.decks.tasks import Parameters, TaskInput, run_task
from pagemill.reviews.wire import HEALTH_ROUTE, TASK_ROUTES
from pagemill.storage import Store

MODEL, TOKEN = "scripted", "smoke"
TASKS = {"vision": "visual_analysis", "text": "extractions_and_template"}
DECKS = {"vision": "orrivane.pdf", "text": "korbland.pdf"}  # one page of the first is a picture of these words
PICTURE, WORDS = 8, "Dr. Ida Lindqvist"


def assert_reviews(image: str, server: Path, demo: Path) -> None:
    """Start the server on a free port, and have it run a task on a sample deck."""
    with tempfile.TemporaryDirectory(prefix="pagemill-smoke-") as folder, scripted_model() as model:
        store = Store(folder)
        deck = add_deck(demo / "decks" / DECKS[image], store)
        with running(image, server, folder, model) as base:
            order = order_for(image, deck, store, model)
            assert send(base, order, "") == (401, {}), "a task without token was not refused"
            status, output = send(base, order, TOKEN)
        assert (status, output["status"], output["failed_parts"]) == (200, "ok", 0), output
        result = store.read_json(output["result"])
    if image == "vision":
        slide = result["rows"][PICTURE - 1]["slide"]
        assert slide["source"] == "ocr", slide
        assert WORDS in slide["text"], slide


def order_for(image: str, deck: Deck, store: Store, model: str) -> TaskInput:
    """Return the order of the image's task; what it needs of the other image's part is made by the library."""
    if image == "vision":
        return TaskInput(task=TASKS[image], deck=deck)
    parameters = Parameters(slides=SlideParameters(ocr=False))  # this image cannot read pictures
    need = TaskInput(task=TASKS["vision"], deck=deck, parameters=parameters)
    needs = {need.task: run_task(need, Context(store, lambda capability: ChatModel(model, MODEL))).result}
    return TaskInput(task=TASKS[image], deck=deck, parameters=parameters, needs=needs)


@contextmanager
def running(image: str, server: Path, store: str, model: str) -> Iterator[str]:
    """Run the server for this long, and return its URL once its model has answered; it has to end well."""
    port = free_port()
    environment = os.environ | {
        "DECK_REVIEW_LISTEN_PORT": str(port),
        "DECK_REVIEW_TOKEN": TOKEN,
        "PAGEMILL_DECKS__STORE": store,
        f"PAGEMILL_DECKS__{image.upper()}__URL": model,
        f"PAGEMILL_DECKS__{image.upper()}__MODEL": MODEL,
    }
    with subprocess.Popen([sys.executable, server / "app.py"], env=environment) as process:
        base = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is None and state_at(base) == "active")
            yield base
        finally:
            process.terminate()
    assert process.returncode == 0, f"the server ended with {process.returncode}"


def state_at(base: str) -> str:
    """Return what a server says of its state; "" while it does not answer."""
    try:
        with urlopen(base + HEALTH_ROUTE, timeout=10) as response:  # noqa: S310
            return str(json.load(response)["state"])
    except OSError:
        return ""


def send(base: str, order: TaskInput, token: str) -> tuple[int, dict[str, Any]]:
    """Send a task and return status and answer, {} for a refusal."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(base + TASK_ROUTES[order.task], order.model_dump_json().encode(), headers)  # noqa: S310
    try:
        with urlopen(request, timeout=LIMIT_SECONDS) as response:  # noqa: S310
            return response.status, json.load(response)
    except HTTPError as refusal:
        return refusal.code, {}


@contextmanager
def scripted_model() -> Iterator[str]:
    """Run the scripted model for this long, and return its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


class Scripted(BaseHTTPRequestHandler):
    """A server that speaks OpenAI's protocol; its model answers every question with the least that its form allows."""

    def do_GET(self) -> None:
        """Tell nothing of its models."""
        self._answer(404, {"error": {"message": "not found"}})

    def do_POST(self) -> None:
        """Answer a question."""
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        form = question.get("response_format", {}).get("json_schema", {}).get("schema")
        message = {"role": "assistant", "content": json.dumps(least(form)) if form else "OK."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        facts = {"id": "1", "object": "chat.completion", "created": 0, "model": question["model"]}
        self._answer(200, {**facts, "choices": [choice], "usage": usage})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def least(schema: dict[str, Any]) -> Any:
    """Return a small value that follows a schema."""
    if "anyOf" in schema:
        return least(min(schema["anyOf"], key=lambda option: option.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    if schema["type"] == "object":
        return {name: least(each) for name, each in schema["properties"].items()}
    return {"array": [], "string": "", "integer": 1, "number": 1, "boolean": False, "null": None}[schema["type"]]
