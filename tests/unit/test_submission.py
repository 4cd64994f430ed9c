"""Submissions: what is asked for, the settings and a compiled pipeline become what a backend is given."""

from pathlib import Path
from typing import Any

import pytest

from pagemill.cloud.arguments import settle
from pagemill.cloud.backend import Schedule, Submission, Timetable
from pagemill.cloud.compiled import parameters_of_template
from pagemill.cloud.prerequisites import Finding, Verdict
from pagemill.cloud.spec import read_documents
from pagemill.cloud.submission import (
    Order,
    create_schedule,
    prepare,
    prepare_schedule,
    preset_of,
    read_parameters,
    submit,
)
from pagemill.errors import UserError
from pagemill.settings import load_settings
from pagemill.storage import Store
from tests.specs import caching_of

GIVEN = {"source": "memory://books", "publish": "memory://dataset", "source_fingerprint": "monday"}


def prepared(
    folder: Path, parameters: dict[str, Any] | None = None, *, settings: dict[str, Any] | None = None, **asked: Any
) -> Submission:
    """What becomes of an order for book-dataset."""
    options = {"bucket": "memory://library", "vertex.project": "p"} | (settings or {})
    order = Order("book-dataset", GIVEN | (parameters or {}), **asked)
    return prepare(order, load_settings(options), folder)


@pytest.fixture(autouse=True)
def no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_is_left_out_follows_from_the_settings(tmp_path: Path) -> None:
    submission = prepared(tmp_path, settings={"hf_token": "secret:projects/p/secrets/hf-token"})
    assert submission.parameters["store"] == "memory://library/store"
    assert submission.parameters["hf_token"] == "secret:projects/p/secrets/hf-token"
    assert submission.pipeline_root == "memory://library/runs"
    assert submission.run == "book-dataset"
    assert submission.caching is None


def test_every_parameter_has_a_value_of_its_type(tmp_path: Path) -> None:
    parameters = prepared(tmp_path, {"min_agreement": 1}).parameters
    assert parameters.keys() == parameters_of_template(tmp_path / "book_dataset.yaml").keys()
    assert isinstance(parameters["min_agreement"], float)
    assert isinstance(parameters["max_tokens"], int)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"sauce": "x"}, "parameter sauce: is not the pipeline's; did you mean source?"),
        ({"max_tokens": "many"}, "parameter max_tokens: is not a whole number; give a whole number in place of 'many'"),
        ({"max_tokens": True}, "parameter max_tokens: is not a whole number"),
        ({"private": "yes"}, "parameter private: is not true or false"),
        ({"source": None}, "parameter source: has no value; give --source, or a file of parameters"),
        ({"source": "books"}, "source books: is a path of this machine; copy it to a bucket and give its gs:// URI"),
        ({"checkpoint": "demo/checkpoint"}, "checkpoint demo/checkpoint: is a path of this machine"),
        ({"passwords": "passwords.txt"}, "passwords passwords.txt: is a path of this machine"),
        ({"max_shards": 1000}, "max_shards=1000: is out of range"),
        ({"fallback": "guess"}, "fallback"),
    ],
)
def test_what_a_task_would_refuse_is_refused_at_once(tmp_path: Path, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as error:
        prepared(tmp_path, parameters)
    assert says in str(error.value)


@pytest.mark.parametrize("passwords", ["env:ARCHIVE_PASSWORDS", "secret:projects/p/secrets/archive-passwords"])
def test_a_secret_is_named_and_not_looked_up_here(tmp_path: Path, passwords: str) -> None:
    assert prepared(tmp_path, {"passwords": passwords}).parameters["passwords"] == passwords


def test_a_profile_of_ones_own_goes_by_a_name_that_follows_from_its_content(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"

    def name(text: str) -> str:
        own.write_text(text)
        return str(settle("book-dataset", {"profile": str(own), "store": str(tmp_path / "store")})["profile"])

    assert name("mask: [email]\n") == name("mask: [email]\n") != name("mask: [email, ip]\n")
    assert settle("book-dataset", {"profile": "books", "store": "nowhere"})["profile"] == "books"


@pytest.mark.parametrize(
    ("preset", "to", "pipeline", "says"),
    [
        ("gke-a100", "vertex", "", "preset gke-a100: is not for vertex; give --to kfp, or a preset of vertex"),
        ("local", "kfp", "", "preset local: is not for kfp; give a preset of kfp, or run it here with `pagemill run`"),
        ("", "kfp", "deploy-nougat", "pipeline deploy-nougat: does not run on kfp; give --to vertex"),
        ("vertex-2xa100", "kfp", "deploy-nougat", "pipeline deploy-nougat: does not run on kfp; give --to vertex"),
    ],
)
def test_machines_of_another_backend_are_refused(preset: str, to: str, pipeline: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        preset_of(load_settings({"preset": preset, "to": to}), pipeline)
    assert str(error.value) == says


def test_without_a_preset_the_backends_default_is_taken() -> None:
    assert preset_of(load_settings({"to": "kfp"})).name == "gke-a100"


def test_runs_are_labelled_for_the_bill(tmp_path: Path) -> None:
    labels = prepared(tmp_path, settings={"labels": {"team": "Books"}}, run="Nightly run").labels
    assert labels["pagemill-pipeline"] == "book-dataset"
    assert labels["pagemill-preset"] == "vertex-a100-40"
    assert labels["pagemill-run"] == "nightly-run"
    assert labels["team"] == "books"
    assert prepared(tmp_path).labels["pagemill-run"] == "book-dataset"


def missing(*args: Any, **more: Any) -> list[Finding]:
    return [Finding("bucket", Verdict.OK, "is there"), Finding("quota", Verdict.FAILED, "is 0", "ask for 8")]


def test_a_run_that_lacks_something_is_not_started_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pagemill.cloud.submission.check_prerequisites", missing)
    own = tmp_path / "own.yaml"
    own.write_text("mask: [email]\n")
    order = Order("book-dataset", GIVEN | {"profile": str(own), "store": "memory://untouched"})
    told: list[list[Finding]] = []
    with pytest.raises(UserError, match=r"quota: is 0; ask for 8; --no-check \(check=False\) goes on all the same"):
        submit(order, load_settings({"vertex.project": "p"}), tell=told.append)
    with pytest.raises(UserError, match="quota: is 0"):
        create_schedule(order, Timetable("0 3 * * *", "nightly"), load_settings({"vertex.project": "p"}))
    assert told == [missing()]
    assert not Store("memory://untouched").folders()


class Busy:
    """A backend that has a schedule already, and one that is over."""

    def schedules(self) -> list[Schedule]:
        return [Schedule("1", "nightly", "", True, "ACTIVE"), Schedule("2", "weekly", "", False, "COMPLETED")]

    def create_schedule(self, submission: Submission, timetable: Timetable) -> Schedule:
        return Schedule("3", timetable.name, timetable.cron, True, "ACTIVE")


def test_a_second_schedule_of_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagemill.cloud.submission.backend_for", lambda settings: Busy())
    order, settings = Order("book-dataset", GIVEN), load_settings({"bucket": "memory://library"})
    says = "schedule nightly: is there already; delete it, or give another --schedule"
    with pytest.raises(UserError, match=says):
        create_schedule(order, Timetable("0 3 * * *", "nightly"), settings, check=False)
    assert create_schedule(order, Timetable("0 3 * * 0", "weekly"), settings, check=False).id == "3"


def test_a_parameter_without_an_option_is_asked_for_by_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"parameter endpoint: has no value; give --set endpoint=\.\.\., or a file"):
        prepared(tmp_path, ocr="endpoint")


@pytest.mark.parametrize(
    ("ocr", "name", "says"),
    [("endpoint", "endpoint", "is neither an endpoint"), ("batch-prediction", "model", "is no model of Vertex AI")],
)
def test_what_can_be_no_endpoint_or_model_is_refused(tmp_path: Path, ocr: str, name: str, says: str) -> None:
    with pytest.raises(UserError, match=f"{name} nougat: {says}"):
        prepared(tmp_path, {name: "nougat"}, ocr=ocr)


def test_a_scheduled_run_looks_at_the_source_anew(tmp_path: Path) -> None:
    once = prepared(tmp_path / "once").template
    order = Order("book-dataset", GIVEN)
    again = prepare_schedule(order, load_settings({"bucket": "memory://library"}), tmp_path / "again")
    before, after = (caching_of(read_documents(template)[0]) for template in (once, again.template))
    assert before["discover-archives"]
    assert {task for task, cached in after.items() if cached != before[task]} == {"discover-archives"}
    assert again.parameters["source_fingerprint"] != GIVEN["source_fingerprint"]


def test_a_schedule_that_would_cache_the_listing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--caching: would have each run take the first one's listing"):
        prepare_schedule(Order("book-dataset", GIVEN, caching=True), load_settings(), tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "holds no table"),
        ("a: [\n", "is no YAML"),
        ("1: x\n", "holds no table"),
        ("\x00", "is no YAML"),
        ("dpi: 96\nsource: a\ndpi: 72\n", "gives dpi twice; leave one of them"),
        ("source: a\n\tdpi: 96\n", "has a tab in line 2; put spaces in its place"),
        ("source:\n\t- a\n", "has a tab in line 2"),
    ],
)
def test_a_file_that_is_no_parameters_is_told_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_parameters(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "\n# nothing yet\n"])
def test_an_empty_file_gives_no_parameters(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert read_parameters(path) == {}


def test_parameters_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("source: gs://b/books\nmax_shards: 4\nprivate: false\n")
    assert read_parameters(path) == {"source": "gs://b/books", "max_shards": 4, "private": False}
