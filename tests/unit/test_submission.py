"""Submissions: what is asked for, the settings and a compiled pipeline become what a backend is given."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pagemill.cloud.arguments import settle
from pagemill.cloud.backend import Submission
from pagemill.cloud.submission import Order, prepare, prepare_schedule, preset_of, read_parameters
from pagemill.errors import UserError
from pagemill.settings import load_settings

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
    template = yaml.safe_load((tmp_path / "book_dataset.yaml").read_text())
    assert parameters.keys() == template["root"]["inputDefinitions"]["parameters"].keys()
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
        return str(settle({"profile": str(own), "store": str(tmp_path / "store")})["profile"])

    assert name("mask: [email]\n") == name("mask: [email]\n") != name("mask: [email, ip]\n")
    assert settle({"profile": "books", "store": "nowhere"})["profile"] == "books"


def test_a_preset_of_another_backend_is_refused() -> None:
    with pytest.raises(UserError, match=r"preset gke-a100: is not for vertex; give --to kfp, or a preset of vertex"):
        preset_of(load_settings({"preset": "gke-a100"}))


def test_without_a_preset_the_backends_default_is_taken() -> None:
    assert preset_of(load_settings({"to": "kfp"})).name == "gke-a100"


def test_runs_are_labelled_for_the_bill(tmp_path: Path) -> None:
    labels = prepared(tmp_path, settings={"labels": {"team": "Books"}}, run="Nightly run").labels
    assert labels["pagemill-pipeline"] == "book-dataset"
    assert labels["pagemill-preset"] == "vertex-a100-40"
    assert labels["team"] == "books"


def test_a_scheduled_run_looks_at_the_source_anew(tmp_path: Path) -> None:
    once = prepared(tmp_path / "once").template
    order = Order("book-dataset", GIVEN)
    again = prepare_schedule(order, load_settings({"bucket": "memory://library"}), tmp_path / "again")
    assert caching(once)["discover-archives"]
    changed = {task for task, cached in caching(again.template).items() if cached != caching(once)[task]}
    assert changed == {"discover-archives"}
    assert again.parameters["source_fingerprint"] != GIVEN["source_fingerprint"]


def caching(template: Path) -> dict[str, bool]:
    """Whether each task of a template may be taken from the cache."""
    spec = next(yaml.safe_load_all(template.read_text()))
    dags = [spec["root"]["dag"], *(each["dag"] for each in spec["components"].values() if "dag" in each)]
    return {
        name: task.get("cachingOptions", {}).get("enableCache", False)
        for dag in dags
        for name, task in dag["tasks"].items()
    }


def test_a_schedule_that_would_cache_the_listing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--caching: would have each run take the first one's listing"):
        prepare_schedule(Order("book-dataset", GIVEN, caching=True), load_settings(), tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [("- a\n", "holds no table"), ("a: [\n", "is no YAML"), ("1: x\n", "holds no table"), ("\x00", "is no YAML")],
)
def test_a_file_that_is_no_parameters_is_told_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_parameters(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_parameters_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("source: gs://b/books\nmax_shards: 4\nprivate: false\n")
    assert read_parameters(path) == {"source": "gs://b/books", "max_shards": 4, "private": False}
