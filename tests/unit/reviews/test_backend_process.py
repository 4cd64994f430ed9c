"""The backend as a process: it starts or says why not, and leaves what it had in hand to the next one."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pagemill.cli import main
from pagemill.flow.states import PipelineState
from pagemill.reviews.backend.process import Backend
from pagemill.reviews.wire import ServerReport
from pagemill.settings import DecksSettings
from tests.deck_containers import TOKEN, until
from tests.decks import FOLDER, PARCELS
from tests.fake_container import fake_container, goes_on

PDF = (FOLDER / f"{PARCELS}.pdf").read_bytes()
PATIENCE_SECONDS = 60.0


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, verify=False)


@contextmanager
def running_process(store: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a backend as a process; give it and its URL."""
    environment = {"PAGEMILL_DECKS__STORE": str(store), "PAGEMILL_DECKS__TOKEN": "env:BACKEND_TEST_TOKEN"}
    command = [Path(sys.executable).with_name("pagemill"), "decks", "serve", "--port", "0"]
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield process, next(told["url"] for told in map(json.loads, process.stderr) if "url" in told)
        finally:
            process.kill()


def test_a_backend_that_is_told_to_end_leaves_its_task_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_TEST_TOKEN", TOKEN)
    settings = DecksSettings(store=str(tmp_path), token="env:BACKEND_TEST_TOKEN")
    let_go = threading.Event()
    with fake_container(goes_on(let_go)) as container:
        report = ServerReport(
            server_type="vision_container", url=container.url, state="active", capabilities={"vision": 1}
        ).model_dump(mode="json")
        with running_process(tmp_path) as (process, url), client_of(url) as client:
            pipeline = client.post("/api/pipelines", content=PDF).json()["id"]
            client.put("/api/servers/v1", json=report)
            until(lambda: container.heard)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
            assert process.stderr is not None
            assert all(json.loads(line)["time"] for line in process.stderr)
        with (
            Backend(settings, tick_seconds=0.1) as backend,
            client_of(backend.url) as client,
        ):
            until(lambda: client.put("/api/servers/v1", json=report) and len(container.heard) > 1)
            first, second = (each.headers["Idempotency-Key"] for each in container.heard[:2])
            assert first == second
            assert backend.desk.status(pipeline).state is PipelineState.RUNNING
        let_go.set()
    assert container.of("DELETE") == []


@pytest.mark.parametrize(
    ("variable", "value", "mistake"),
    [
        ("BACKEND_TEST_TOKEN", " ", "env:BACKEND_TEST_TOKEN: is empty"),
        ("PAGEMILL_DECKS__STORE", "memory://decks", "memory://decks: is no folder that could hold the queue"),
    ],
)
def test_a_backend_that_cannot_start_says_why(
    variable: str, value: str, mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAGEMILL_DECKS__TOKEN", "env:BACKEND_TEST_TOKEN")
    monkeypatch.setenv("BACKEND_TEST_TOKEN", TOKEN)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["pagemill", "decks", "serve", "--port", "0"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert mistake in capsys.readouterr().err
