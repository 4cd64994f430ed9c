"""A container as a process: it says where it is, reports itself, finishes what runs, and ends with the right code."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pagemill.errors import UserError
from pagemill.reviews.container.kinds import KINDS
from pagemill.reviews.container.process import Options, run
from pagemill.reviews.wire import HEALTH_ROUTE, STREAM_TYPE, TASK_ROUTES
from pagemill.settings import DecksSettings, VisionModelSettings
from pagemill.storage import Store
from tests.deck_containers import LIMIT_SECONDS, TOKEN, order_of, until
from tests.deck_listener import running_listener
from tests.decks import HEALTH, prepared
from tests.model_server import running_model_server

ROOT = Path(__file__).parents[3]
VISION = KINDS["vision"]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECK_REVIEW_TOKEN", TOKEN)


@contextlib.contextmanager
def started(store: Store, model_url: str, backend: str = "") -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start a vision container; give the process and its URL."""
    settings = {
        "PAGEMILL_DECKS__STORE": store.uri,
        "PAGEMILL_DECKS__VISION__URL": model_url,
        "PAGEMILL_DECKS__BACKEND": backend,
        "DECK_REVIEW_LISTEN_PORT": "0",
    }
    command = [sys.executable, ROOT / "containers" / "vision" / "app.py", "--announce", "--attached"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=os.environ | settings, text=True, cwd=ROOT, **pipes) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            until(lambda: httpx.get(url + HEALTH_ROUTE).json()["state"] == "active")
            yield process, url
        finally:
            process.kill()


def client_of(url: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": STREAM_TYPE}
    return httpx.Client(base_url=url, headers=headers, timeout=LIMIT_SECONDS)


def test_it_reports_itself_finishes_what_runs_at_sigterm_and_takes_its_leave(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    body = order_of("visual_analysis", prepared(HEALTH, store)).model_dump(mode="json")
    with running_listener() as backend, running_model_server() as model:
        starting = started(store, model.endpoint, backend.url)
        with starting as (process, url), client_of(url) as client:
            model.fail_next("slow", seconds=0.5)
            with client.stream("POST", TASK_ROUTES["visual_analysis"], json=body) as answer:
                lines = answer.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                *_, last = lines
            code = process.wait(LIMIT_SECONDS)
            assert process.stderr is not None
            log = [json.loads(line) for line in process.stderr]

    assert (json.loads(last)["kind"], code) == ("done", 0)
    states = [report["state"] for method, _, _, report in backend.told if method == "PUT"]
    assert states[-1] == "draining"
    assert "active" in states
    assert (backend.told[-2][3]["url"], backend.told[-1][0]) == (url, "DELETE")
    assert [each["message"] for each in log if each["message"].startswith("task ")] == ["task started", "task finished"]
    assert TOKEN not in json.dumps(log)
    assert [each["time"] for each in log] == sorted(each["time"] for each in log)


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    body = order_of("visual_analysis", prepared(HEALTH, store)).model_dump(mode="json")
    with running_model_server() as model, started(store, model.endpoint) as (process, url), client_of(url) as client:
        model.fail_next("slow", seconds=LIMIT_SECONDS)
        with client.stream("POST", TASK_ROUTES["visual_analysis"], json=body) as answer:
            next(answer.iter_lines())
            process.send_signal(signal.SIGTERM)
            until(lambda: httpx.get(url + HEALTH_ROUTE).status_code == 503)
            process.send_signal(signal.SIGTERM)
            code = process.wait(LIMIT_SECONDS)

    assert code == 1


def settings_with(tmp_path: Path, url: str, model: str = "llava:13b") -> DecksSettings:
    return DecksSettings(store=str(tmp_path), vision=VisionModelSettings(url=url, model=model))


@pytest.mark.parametrize(("token", "mistake"), [(" ", "is empty"), ("clé", "is no token")])
def test_without_a_token_it_does_not_start(
    token: str, mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECK_REVIEW_TOKEN", token)

    with pytest.raises(UserError, match=f"DECK_REVIEW_TOKEN: {mistake}"):
        run(VISION, settings_with(tmp_path, "http://127.0.0.1:9"), Options())


def test_where_somebody_listens_already_it_does_not_start(tmp_path: Path) -> None:
    with running_listener() as other, pytest.raises(UserError, match="give another --host or --port"):
        run(VISION, settings_with(tmp_path, "http://127.0.0.1:9"), Options(port=int(other.url.rpartition(":")[2])))


def test_a_model_that_its_server_does_not_have_ends_it_as_a_mistake(tmp_path: Path) -> None:
    with running_model_server() as model, pytest.raises(UserError, match="no-such-model"):
        run(VISION, settings_with(tmp_path, model.endpoint, "no-such-model"), Options())


def test_the_death_of_its_ollama_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ollama"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert run(VISION, settings_with(tmp_path, ""), Options()) == 1
