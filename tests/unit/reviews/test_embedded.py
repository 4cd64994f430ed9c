"""Reviews on one machine: processes that are started again, what containers are told, and one that does it all."""

import os
import subprocess
from pathlib import Path

import pytest

from pagemill.errors import UserError
from pagemill.reviews import child, embedded, llama
from pagemill.reviews.child import Child
from pagemill.settings import DecksSettings
from pagemill.storage import Store
from tests.deck_containers import until

ROOT = Path(__file__).parents[3]


def child_of(folder: Path, program: str) -> Child:
    """A child that runs a program of Python."""
    (folder / "program.py").write_text(program)
    return Child("the program", ["program"], {"PYTHONPATH": str(folder)}, folder / "log")


def lines(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_a_process_that_dies_is_started_again_and_ends_with_its_input(tmp_path: Path) -> None:
    each = child_of(tmp_path, "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()")
    each.start()
    until(lambda: len(lines(tmp_path)) == 1)
    os.kill(int(lines(tmp_path)[0]), 9)
    until(lambda: each.keep() or len(lines(tmp_path)) == 2)
    each.wait(0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines(tmp_path)[1]), 0)


def test_a_process_that_always_dies_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "MOST_STARTS", 3)
    each = child_of(tmp_path, "print('no memory'); raise SystemExit(1)")
    each.start()
    with pytest.raises(UserError, match="the program: no memory; its log is"):
        until(each.keep)
    assert lines(tmp_path) == ["no memory"] * 3


def test_a_mistake_of_the_user_is_told_at_once(tmp_path: Path) -> None:
    each = child_of(tmp_path, "import sys; sys.exit(print('pagemill: model: it has no such model; pull it') or 2)")
    each.start()
    with pytest.raises(UserError, match="the program: model: it has no such model; pull it"):
        until(each.keep)


def test_one_process_of_a_machine_carries_a_stores_reviews_out(tmp_path: Path) -> None:
    with embedded._alone(tmp_path), pytest.raises(embedded.Occupied), embedded._alone(tmp_path):
        pass
    with embedded._alone(tmp_path):
        assert (tmp_path / embedded.LOCK).exists()


def test_containers_are_told_their_models_and_not_the_database(store: Store) -> None:
    settings = DecksSettings(
        store=store.uri, database="postgresql://me:password@there/decks", vision={"url": "http://there:8000/v1"}
    )
    told = embedded._environment(settings, "http://127.0.0.1:1234")
    assert told["PAGEMILL_DECKS__VISION__URL"] == "http://there:8000/v1"
    assert told["PAGEMILL_DECKS__BACKEND"] == "http://127.0.0.1:1234"
    assert told["PAGEMILL_DECKS__DATABASE"] == ""
    assert "127.0.0.1" in told["NO_PROXY"]
    assert "password" not in str(told)


def test_the_users_token_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DecksSettings()
    monkeypatch.setenv("DECK_REVIEW_TOKEN", "the users")
    with embedded._with_token(settings) as same:
        assert same.token == "env:DECK_REVIEW_TOKEN"
    monkeypatch.delenv("DECK_REVIEW_TOKEN")
    with embedded._with_token(settings) as other:
        first = os.environ[other.token.removeprefix("env:")]
        assert len(first) >= 32
    assert first not in os.environ.values()


def test_the_tiny_model_stands_in_for_models_without_a_url(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one = embedded.Embedded(DecksSettings(store=store.uri, text={"url": "http://there:8000/v1", "model": "real"}))
    assert one.tiny == ("vision",)
    assert one.models == ("real at http://there:8000/v1",)
    filled = one._with_tiny_model()
    assert filled.vision.model == llama.ALIAS
    assert filled.text.model == "real"
    monkeypatch.setattr(llama, "PACKAGES", ("no_such_package",))
    with pytest.raises(UserError, match="pip install"):
        one._with_tiny_model()


def test_a_models_url_that_is_none_is_named_before_anything_starts(store: Store) -> None:
    with pytest.raises(UserError, match=r"decks\.text\.url: not an address of HTTP; "):
        embedded.Embedded(DecksSettings(store=store.uri, text={"url": "there:8000"}))


def test_make_installs_what_builds_the_package_before_it_builds_it() -> None:
    steps = subprocess.check_output(
        ["make", "--dry-run", "--always-make", ".venv/demo-decks-ready"], cwd=ROOT, text=True
    )
    before, without_isolation, _ = steps.partition("--no-build-isolation")
    assert without_isolation
    assert "-r requirements/demo-decks.txt\n" in before
    assert "-r containers/build-requirements.txt\n" in before
