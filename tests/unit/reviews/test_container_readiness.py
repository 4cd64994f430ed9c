"""How a container brings its model up, waits until it answers, and tells of it."""

import sys
import threading
from pathlib import Path

import pytest

from pagemill.decks.asking import Model, ModelUnavailable
from pagemill.errors import UserError
from pagemill.reviews.container.ollama_child import CONTEXT_TOKENS, running_ollama
from pagemill.reviews.container.readiness import Readiness, Tell, warm_chat_model
from tests.deck_containers import LIMIT_SECONDS, Gate, until
from tests.decks import scripted
from tests.model_server import running_model_server

OLLAMA = f"""#!{sys.executable}
import os, pathlib, sys, threading
told = [*sys.argv[1:], os.environ["OLLAMA_HOST"], os.environ["OLLAMA_CONTEXT_LENGTH"]]
pathlib.Path(os.environ["TOLD"]).write_text(" ".join(told))
threading.Event().wait(float(os.environ.get("LIFE", "{LIMIT_SECONDS}")))
sys.exit(3)
"""


def test_on_an_ollama_the_model_is_pulled_loaded_and_asked() -> None:
    told = list[str]()
    with running_model_server("ollama") as server:
        server.models.clear()
        server.library["llava:13b"] = "weights"
        model = warm_chat_model(server.endpoint, "llava:13b")(told.append)
        identity = model.identity
        paths = [request.path for request in server.requests]

    assert identity.startswith("llava:13b@")
    assert paths.index("/api/pull") < paths.index("/api/generate") < paths.index("/v1/chat/completions")
    assert told[-2:] == ["model llava:13b is loading", "model llava:13b has to answer"]
    assert "model llava:13b is pulled, 100%" in told


def test_another_server_is_only_asked() -> None:
    with running_model_server("llama.cpp") as server:
        model = warm_chat_model(server.endpoint, "llava")(lambda what: None)
        paths = [request.path for request in server.requests]

    assert model.identity.startswith("llava")
    assert "/v1/chat/completions" in paths
    assert not {"/api/pull", "/api/generate"} & set(paths)


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    told = list[str]()
    silent = threading.Event()

    def tell(what: str) -> None:
        told.append(what)
        if what.endswith("does not answer"):
            silent.set()

    with running_model_server("llama.cpp") as server:
        port = int(server.endpoint.rpartition(":")[2].partition("/")[0])
    found: list[Model] = []
    warm = warm_chat_model(server.endpoint, "llava", pause_seconds=0.02)
    waiting = threading.Thread(target=lambda: found.append(warm(tell)), daemon=True)
    waiting.start()
    assert silent.wait(LIMIT_SECONDS)
    with running_model_server("llama.cpp", port):
        waiting.join(LIMIT_SECONDS)

    assert f"{server.endpoint} does not answer" in told
    assert [model.identity.partition("@")[0] for model in found] == ["llava"]


def test_a_model_that_can_never_be_had_is_a_mistake_of_the_user() -> None:
    mistakes = list[UserError]()
    with running_model_server("ollama") as server:
        readiness = Readiness(warm_chat_model(server.endpoint, "no-such-model"), mistakes.append)
        readiness.start()
        until(lambda: mistakes)

    assert "no-such-model" in mistakes[0].subject
    assert not readiness.is_ready
    assert "no-such-model" in readiness.waits_for


def test_there_is_no_model_to_ask_until_it_has_answered() -> None:
    gate = Gate()

    def warm(tell: Tell) -> Model:
        tell("the weights are pulled")
        gate("warming")
        return scripted()

    readiness = Readiness(warm)
    readiness.start()
    assert gate.reached.wait(LIMIT_SECONDS)
    with pytest.raises(ModelUnavailable, match="the weights are pulled"):
        readiness.model()
    gate.opened.set()
    until(lambda: readiness.is_ready)

    assert readiness.model().identity == readiness.identity == "scripted"


def test_a_model_is_warmed_by_one_thread_however_often_it_is_doubted() -> None:
    begun, gate = list[str](), Gate()

    def warm(tell: Tell) -> Model:
        begun.append("once")
        if len(begun) > 1:
            gate("warming")
        return scripted()

    readiness = Readiness(warm)
    readiness.start()
    until(lambda: readiness.is_ready)
    for _ in range(3):
        readiness.doubt("no answer")
    assert gate.reached.wait(LIMIT_SECONDS)
    assert (readiness.is_ready, readiness.trouble) == (False, "no answer")
    gate.opened.set()
    until(lambda: readiness.is_ready)

    assert len(begun) == 2
    assert readiness.trouble == ""


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name that says what it was told."""
    program, told = tmp_path / "ollama", tmp_path / "told"
    program.write_text(OLLAMA)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TOLD", str(told))
    monkeypatch.delenv("OLLAMA_CONTEXT_LENGTH", raising=False)
    return told


def test_an_ollama_of_its_own_has_room_for_the_longest_deck_and_ends_with_the_container(ollama: Path) -> None:
    deaths = list[int]()
    with running_ollama(deaths.append) as url:
        until(ollama.exists)
        until(ollama.read_text)

    assert ollama.read_text() == f"serve {url.removeprefix('http://').removesuffix('/v1')} {CONTEXT_TOKENS}"
    assert deaths == []


def test_the_death_of_an_ollama_is_noticed(ollama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFE", "0")
    monkeypatch.setenv("OLLAMA_CONTEXT_LENGTH", "8192")
    deaths = list[int]()
    with running_ollama(deaths.append):
        until(lambda: deaths)

    assert deaths == [3]
    assert ollama.read_text().endswith(" 8192")


def test_where_there_is_no_ollama_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UserError, match="is not installed here"), running_ollama(lambda code: None):
        pass
