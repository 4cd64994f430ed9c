"""`pagemill decks` as people meet it: what is listed, read, mended and cancelled, and what a mistake says."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pagemill.cli import app
from pagemill.decks.review import Review
from pagemill.decks.tasks import Parameters
from pagemill.errors import UserError
from pagemill.flow.runner import Server, TaskFailed
from pagemill.reviews import command, reviewing
from pagemill.reviews.backend.desk import open_desk
from pagemill.reviews.wire import ErrorKind
from pagemill.settings import DecksSettings
from pagemill.storage import Store
from tests.deck_runner import ModelRunner
from tests.decks import FOLDER, HEALTH, NO_OCR, PARCELS, prepared, scripted

KORBLAND = FOLDER / f"{PARCELS}.pdf"


class Reviewed:
    """A store with two reviews that are over: of parcels, and of health without its feedback."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(str(folder / "store"))
        settings = DecksSettings(store=self.store.uri, retry_delay_seconds=0)
        runner = ModelRunner(self.store, scripted(PARCELS))
        with open_desk(settings, runner, tick_seconds=0.1) as desk:
            self.parcels = desk.add_document_processing_pipeline(
                prepared(PARCELS, self.store), Parameters(slides=NO_OCR)
            )
            desk.queue.wait(self.parcels, 60)
            runner.model = scripted(HEALTH, extractions=["bad"] * 3)
            self.health = desk.add_document_processing_pipeline(prepared(HEALTH, self.store), Parameters(slides=NO_OCR))
            desk.queue.wait(self.health, 60)


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    return Reviewed(tmp_path_factory.mktemp("reviewed"))


def typed(line: str, store: Store, exit_code: int = 0) -> Result:
    """What comes of a command."""
    words = shlex.split(f"decks {line} --store {store.root}")
    done = CliRunner(env={"COLUMNS": "250"}).invoke(app, words, catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done


def said(line: str, store: Store) -> str:
    """What a command prints."""
    return typed(line, store).stdout


def mistake(line: str, store: Store) -> str:
    with pytest.raises(UserError) as raised:
        said(line, store)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_latest_reviews_are_listed(reviewed: Reviewed) -> None:
    listed = said("status", reviewed.store).splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [
        [reviewed.health[:8], "orrivane.pdf", "partial"],
        [reviewed.parcels[:8], "korbland.pdf", "done"],
    ]


def test_programs_get_reviews_and_servers_as_json(reviewed: Reviewed) -> None:
    told = json.loads(said("status --json", reviewed.store))
    assert [each["id"] for each in told["reviews"]] == [reviewed.health, reviewed.parcels]
    assert told["servers"] == []


def test_an_id_may_be_shortened_as_long_as_it_is_one_review(reviewed: Reviewed) -> None:
    told = json.loads(said(f"status {reviewed.parcels[:6]} --json", reviewed.store))
    assert told["id"] == reviewed.parcels
    assert "is not known here" in mistake("status no-such-id", reviewed.store)
    assert "2 begin so" in mistake("cancel ''", reviewed.store)


def test_a_review_is_shown_task_by_task_with_what_went_wrong(reviewed: Reviewed) -> None:
    shown = said(f"status {reviewed.health} --follow", reviewed.store)
    (line,) = (each for each in shown.splitlines() if each.startswith("extractions_and_template"))
    assert line.split()[1] == "failed"
    assert "not of the form" in line


def test_a_review_is_read_as_json_markdown_or_a_page(reviewed: Reviewed, tmp_path: Path) -> None:
    review = Review.model_validate_json(said(f"result {reviewed.parcels} --format json", reviewed.store))
    assert review.extractions is not None
    assert review.extractions.extractions.startup_name.value == "Korbland"
    assert "Korbland" in said(f"result {reviewed.parcels}", reviewed.store)
    page = tmp_path / "korbland.html"
    assert said(f"result {reviewed.parcels} --out {page}", reviewed.store).strip() == str(page)
    assert "Lockers that neighbours share" in page.read_text()


def test_what_there_is_of_a_failed_review_is_read(reviewed: Reviewed) -> None:
    review = Review.model_validate_json(said(f"result {reviewed.health} --format json", reviewed.store))
    assert review.feedback is not None
    assert review.troubles[0].task == "extractions_and_template"


@pytest.mark.parametrize("options", ["--format pdf", "--out deck.docx", "--format html"])
def test_other_formats_are_refused(reviewed: Reviewed, options: str) -> None:
    mistake(f"result {reviewed.parcels} {options}", reviewed.store)


def test_a_place_that_cannot_be_written_to_is_named(reviewed: Reviewed) -> None:
    told = mistake(f"result {reviewed.parcels} --format md --out {FOLDER}", reviewed.store)
    assert told.startswith(f"{FOLDER}: is out of reach (Is a directory); ")


def test_a_review_that_lacks_something_is_written_and_says_what_mends_it(reviewed: Reviewed, tmp_path: Path) -> None:
    done = typed(f"review {FOLDER / HEALTH}.pdf --wait --no-ocr --out {tmp_path}", reviewed.store)
    assert len(done.stdout.splitlines()) == 3
    told = done.stderr.splitlines()[-1]
    assert told.startswith("pagemill: orrivane.pdf: partial (")
    assert f"; `pagemill decks retry --store {reviewed.store.root} {reviewed.health[:8]}`, then this command" in told


def test_what_failed_is_done_again_and_nothing_else(reviewed: Reviewed) -> None:
    again = said(f"retry {reviewed.health[:8]}", reviewed.store)
    assert "extractions_and_template, specialized_clinical" in again
    assert "nobody carries them out yet" in again
    assert "is not over, " in typed(f"result {reviewed.health}", reviewed.store).stderr
    assert said(f"cancel {reviewed.health[:8]}", reviewed.store).strip() == f"{reviewed.health} is cancelled"
    assert said(f"cancel {reviewed.health[:8]}", reviewed.store).strip() == f"{reviewed.health} is over already"
    assert "nothing failed" in said(f"retry {reviewed.parcels}", reviewed.store)
    assert "not a task" in mistake(f"retry {reviewed.parcels} --task no_such_task", reviewed.store)


class Refuses:
    """A runner to which no deck is right."""

    def run(self, *task: object) -> dict[str, object]:
        told = UserError(KORBLAND.name, "has no page", "export it again")
        raise TaskFailed(str(told), retry=False, detail={"error": ErrorKind.REFUSED})


def test_a_deck_that_was_refused_is_not_to_be_tried_again(store: Store, tmp_path: Path) -> None:
    with open_desk(DecksSettings(store=store.uri), Refuses(), tick_seconds=0.1) as desk:
        desk.queue.wait(desk.add_document_processing_pipeline(KORBLAND, Parameters(slides=NO_OCR)), 60)
    done = typed(f"review {KORBLAND} --wait --no-ocr --out {tmp_path}", store, 2)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "pagemill: korbland.pdf: has no page; export it again"


def test_a_bad_deck_costs_itself_alone(store: Store, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_text("no PDF")
    words = ["decks", "review", str(broken), str(KORBLAND), "--store", store.root]
    done = CliRunner(env={"COLUMNS": "250"}).invoke(app, words)
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [f"pagemill: {broken}: is not a PDF; export the deck as PDF"]
    assert "korbland.pdf" in done.stdout
    assert "nobody carries them out yet" in done.stdout


def test_parameters_are_the_libraries_as_long_as_nothing_else_is_said() -> None:
    assert command._parameters("healthcare", "healthcare", 100, ocr=True) == Parameters()


def test_the_same_deck_again_is_the_same_review_and_another_question_another(store: Store, tmp_path: Path) -> None:
    template = tmp_path / "mine.yaml"
    template.write_text((FOLDER / "questions.yaml").read_text())
    (first,), (again,), (other,) = (
        json.loads(said(f"review {KORBLAND} --json {options}", store))
        for options in ("", "--priority 3", f"--template {template}")
    )
    assert first["review"] == again["review"] != other["review"]


def test_a_backend_that_is_there_carries_reviews_out(store: Store) -> None:
    with open_desk(DecksSettings(store=store.uri), ModelRunner(store, scripted()), capabilities={}):
        assert "a backend carries them out" in said(f"review {KORBLAND}", store)


def test_a_backend_whose_heart_does_not_beat_is_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviewing, "HEARTBEAT_TIMEOUT_SECONDS", 0.05)
    with reviewing.desk_of(DecksSettings(store=store.uri), new=True) as desk:
        desk.queue.hear(Server("gone", "backend", {}), "active")
        backends = reviewing.Backends(desk.queue)
        assert backends.live(), "nobody knows yet"
        while backends.live():
            pass
        desk.queue.hear(Server("gone", "backend", {}), "active")
        assert backends.live(), "it was only late"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("status", "holds no reviews"),
        (f"review {KORBLAND} --template no-such-template", "no-such-template"),
        (f"review {KORBLAND} --specialists never", "give one of healthcare, always"),
        (f"review {KORBLAND} --out reports", "give --wait"),
        (f"review {KORBLAND} --wait --out {KORBLAND}", f"{KORBLAND}: is out of reach (File exists)"),
        ("status --database sqlite:////nowhere/queue.sqlite", "cannot be reached"),
        ("status --database postgresql://me:password@127.0.0.1:1/decks", "cannot be reached"),
        ("status --database mysql://127.0.0.1/decks", "of no kind that is known"),
    ],
)
def test_a_mistake_is_one_line(store: Store, monkeypatch: pytest.MonkeyPatch, line: str, complaint: str) -> None:
    monkeypatch.setattr(reviewing, "DATABASE_PATIENCE_SECONDS", 0.0)
    told = mistake(line, store)
    assert complaint in told
    assert "password" not in told


def test_a_store_that_is_none_is_named() -> None:
    assert mistake(f"review {KORBLAND}", Store(str(KORBLAND))) == (
        f"{KORBLAND}: is no folder (File exists); name another store"
    )


def test_packages_that_are_not_installed_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*args: object) -> None:
        raise ModuleNotFoundError("No module named 'dbos'", name="dbos")

    monkeypatch.setattr(command, "_settings", lacks)
    assert "pip install 'pagemill[decks]'" in mistake("status", store)


def test_what_is_said_to_be_missing_is_what_the_extra_installs() -> None:
    extras = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    names = {re.split(r"[\[>]", each)[0] for extra in ("models", "container", "decks") for each in extras[extra]}
    assert names - {"pagemill"} == set(command.PACKAGES)
