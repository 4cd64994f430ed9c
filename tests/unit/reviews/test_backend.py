"""The backend over HTTP: containers report to it, decks are handed in, and what became of them is told."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from pagemill.decks.records import Status
from pagemill.decks.tasks import TASKS, Parameters, TaskOutput
from pagemill.errors import UserError
from pagemill.reviews.backend.process import Backend
from pagemill.reviews.wire import ServerReport
from pagemill.settings import DecksSettings
from tests.deck_containers import TOKEN, running_container, until
from tests.decks import FOLDER, HEALTH, NO_OCR, PARCELS, prepared, scripted

PDF = (FOLDER / f"{PARCELS}.pdf").read_bytes()
PATIENCE_SECONDS = 60.0
THREADS_OF_THE_SERVER = 40
VISION = ServerReport(
    server_type="vision_container", url="http://127.0.0.1:9", state="warming", capabilities={"vision": 2}
)


def settings_of(folder: Path) -> DecksSettings:
    return DecksSettings(store=str(folder), token="env:BACKEND_TEST_TOKEN", retry_delay_seconds=0)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKEND_TEST_TOKEN", TOKEN + "\n")
        settings = settings_of(tmp_path_factory.mktemp("store"))
        with Backend(settings, tick_seconds=0.1, heartbeat_timeout_seconds=60.0) as made:
            yield made


@pytest.fixture
def client(backend: Backend) -> Iterator[httpx.Client]:
    """A client with the token, which leaves no work for the tests that follow."""
    with client_of(backend.url) as made:
        yield made
        for pipeline in backend.desk.queue.latest():
            backend.desk.cancel(pipeline)


def client_of(url: str, token: str = TOKEN) -> httpx.Client:
    return httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_SECONDS, verify=False
    )


def tell(client: httpx.Client, server: str, report: ServerReport, **others: Any) -> None:
    body = report.model_copy(update=others).model_dump(mode="json")
    assert client.put(f"/api/servers/{server}", json=body).status_code == 200


def servers(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in client.get("/api/servers").json() if each["server_type"] != "backend"}


def added(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.post("/api/pipelines", params=query, content=PDF)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# Decks


def test_a_deck_is_reviewed_by_containers_that_have_reported(backend: Backend, client: httpx.Client) -> None:
    store = backend.desk.store
    deck, model = prepared(HEALTH, store), scripted()
    with running_container("vision", store, model) as vision, running_container("text", store, model) as text:
        for each in (vision, text):
            tell(client, each.container.id, each.container.report())
        pipeline = backend.desk.add_document_processing_pipeline(deck, Parameters(slides=NO_OCR))
        backend.desk.queue.wait(pipeline, PATIENCE_SECONDS)
        assert servers(client)[vision.container.id]["models"] == {"vision": model.identity}
        for each in (vision, text):
            assert client.delete(f"/api/servers/{each.container.id}").status_code == 200

    status = client.get(f"/api/pipelines/{pipeline}").json()
    assert (status["state"], status["progress"], status["document_name"]) == ("done", 100, f"{HEALTH}.pdf")
    assert {task["state"] for task in status["tasks"]} == {"done"}
    waited = {task["name"] for task in status["tasks"] if task["hand_off_seconds"] is not None}
    assert waited == {task.name for task in TASKS if task.needs}
    results = client.get(f"/api/pipelines/{pipeline}/results").json()
    assert {TaskOutput.model_validate(each).status for each in results.values()} == {Status.OK}
    events = client.get(f"/api/pipelines/{pipeline}/events").json()
    assert events[-1]["kind"] == "done"
    assert client.get(f"/api/pipelines/{pipeline}/events", params={"after": events[-2]["id"]}).json() == events[-1:]
    page = client.get(f"/api/pipelines/{pipeline}/report")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "EUR 4,200,000" in page.text
    assert set(model.counts.values()) == {1}


def test_a_deck_is_handed_in_once(client: httpx.Client) -> None:
    first = added(client, name="Our deck.pdf", priority=3)
    assert (first["document_name"], first["priority"], first["state"]) == ("Our deck.pdf", 3, "queued")
    assert [task["name"] for task in first["tasks"]] == [task.name for task in TASKS]
    assert added(client)["id"] == first["id"]
    other = added(client, specialists="always")
    assert other["id"] != first["id"]
    assert other["parameters"]["specialists"] == "always"
    assert [each["id"] for each in client.get("/api/pipelines", params={"limit": 2}).json()] == [
        other["id"],
        first["id"],
    ]


def test_a_pipeline_can_be_cancelled_and_taken_up_again(client: httpx.Client) -> None:
    route = f"/api/pipelines/{added(client, specialists='always')['id']}"
    client.post(f"{route}/retry")  # what another test has cancelled
    assert client.post(f"{route}/cancel").json() == {"cancelled": True}
    assert client.post(f"{route}/cancel").json() == {"cancelled": False}
    assert client.get(route).json()["state"] == "cancelled"
    again = client.post(f"{route}/retry", params={"task": "slide_feedback"})
    assert again.json() == {"tasks": ["slide_feedback"]}
    assert len(client.post(f"{route}/retry").json()["tasks"]) == 5
    refused = client.post(f"{route}/retry", params={"task": "visual_analysis"})
    assert (refused.status_code, refused.json()["error"]) == (422, "refused")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/api/pipelines?name=notes.pdf", b"no PDF", 422, "refused"),
        ("POST", "/api/pipelines", b"too large for a report" * 500_000, 422, "refused"),
        ("POST", "/api/pipelines?name=../deck.pdf", PDF, 422, "invalid"),
        ("POST", "/api/pipelines?priority=much", PDF, 422, "invalid"),
        ("GET", f"/api/pipelines/{32 * '0'}", None, 404, "not_found"),
        ("GET", f"/api/pipelines/{32 * '0'}/report", None, 404, "not_found"),
        ("POST", f"/api/pipelines/{32 * '0'}/retry", None, 404, "not_found"),
        ("GET", "/api/pipelines/everything", None, 422, "invalid"),
        ("GET", "/api/elsewhere", None, 404, "not_found"),
        ("DELETE", "/api/pipelines", None, 405, "not_allowed"),
        ("PUT", "/api/servers/v1", b"{}", 422, "invalid"),
        ("PUT", "/api/servers/v1", b" " * (9 << 20), 413, "too_large"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(
    client: httpx.Client, method: str, path: str, body: bytes | None, status: int, error: str
) -> None:
    answer = client.request(method, path, content=body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["message"]


def test_what_is_no_deck_is_named_as_its_owner_named_it(client: httpx.Client) -> None:
    answer = client.post("/api/pipelines?name=notes.pdf", content=b"no PDF")
    assert answer.json()["message"] == "notes.pdf: is not a PDF; export the deck as PDF"


# Who may


def test_nobody_without_the_token_hears_anything_but_that_the_process_answers(backend: Backend) -> None:
    routes = [
        (method, path.format(pipeline_id=32 * "0", server_id="v1"))
        for path, methods in openapi(backend)["paths"].items()
        for method in methods
    ]
    assert len(routes) > 10
    for client in (httpx.Client(base_url=backend.url, verify=False), client_of(backend.url, TOKEN[:-1])):
        with client:
            answers = {path: client.request(method, path).status_code for method, path in routes}
        assert answers.pop("/api/health") == 200
        assert set(answers.values()) == {401}


def openapi(backend: Backend) -> dict[str, Any]:
    with client_of(backend.url) as client:
        return dict(client.get("/openapi.json").json())


# Containers


def test_a_container_s_reports_are_its_whole_life(backend: Backend, client: httpx.Client) -> None:
    pipeline = added(client, priority=1)["id"]
    backend.desk.retry(pipeline)
    tell(client, "v1", VISION)
    assert servers(client)["v1"]["state"] == "warming"
    tell(client, "v1", VISION, state="active", models={"vision": "llava@1"}, capabilities={"vision": 1}, max_tasks=1)
    assert backend.desk.queue.model_of("vision") == "llava@1"
    until(lambda: servers(client)["v1"]["is_suspected"])  # nobody listens at its address
    tell(client, "v1", VISION, state="draining", current_pipelines=2)
    told = servers(client)["v1"]
    assert (told["state"], told["current_pipelines"], told["url"]) == ("draining", 2, VISION.url)
    assert client.delete("/api/servers/v1").status_code == 200
    assert client.delete("/api/servers/v1").status_code == 200
    assert "v1" not in servers(client)
    lost = [each for each in client.get(f"/api/pipelines/{pipeline}/events").json() if each["kind"] == "lost"]
    assert lost


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "file:///etc/passwd"},
        {"server_type": 60 * "x"},
        {"capabilities": {"vision": -1}},
        {"models": {"vision": "a\x00b"}},
        {"max_tasks": 0},
        {"speed": 3},
    ],
)
def test_a_report_that_could_do_harm_is_not_understood(client: httpx.Client, wrong: dict[str, Any]) -> None:
    body = VISION.model_dump(mode="json") | wrong
    answer = client.put("/api/servers/v1", json=body)
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")


# Where it is


def test_health_is_told_while_the_database_keeps_everybody_waiting(
    backend: Backend, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back, asked = threading.Event(), threading.Semaphore(0)

    def wait() -> list[Any]:
        asked.release()
        assert is_back.wait(PATIENCE_SECONDS)
        return []

    monkeypatch.setattr(backend.desk.queue, "servers", wait)
    with ThreadPoolExecutor(THREADS_OF_THE_SERVER) as pool:
        waiting = [pool.submit(client.get, "/api/servers") for _ in range(THREADS_OF_THE_SERVER)]
        for _ in waiting:
            assert asked.acquire(timeout=PATIENCE_SECONDS)
        health = client.get("/api/health")
        is_back.set()
    assert health.json()["status"] == "ok"


def test_two_backends_cannot_listen_at_one_address(backend: Backend, tmp_path: Path) -> None:
    port = int(backend.url.rpartition(":")[2])
    with pytest.raises(UserError, match="give another --host or --port"):
        Backend(settings_of(tmp_path), port=port)


def test_a_local_store_is_all_that_a_backend_needs(backend: Backend) -> None:
    assert (Path(backend.desk.store.root) / "queue.sqlite").is_file()
