"""Submissions of deck-review: checked, with its source and template named, and without a look for GPUs."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pagemill.cloud import submission
from pagemill.cloud.backend import Submission
from pagemill.cloud.compiled import parameters_of_template
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.cloud.spec import read_documents
from pagemill.cloud.submission import Order, prepare, prepare_schedule
from pagemill.decks.template import load_template
from pagemill.errors import UserError
from pagemill.google_apis import GoogleApis
from pagemill.presets import PRESETS
from pagemill.settings import load_settings
from tests.decks import FOLDER, PARCELS
from tests.kfp_server import running_kfp
from tests.specs import caching_of
from tests.unit.test_cloud_commands import said
from tests.vertex_server import running_vertex

GIVEN = {
    "source": "memory://pitches", "vision_url": "http://vision:8000/v1", "vision_model": "llava",
    "text_url": "http://text:8000/v1", "text_model": "gemma",
}  # fmt: skip
SETTINGS = {"bucket": "memory://library", "vertex.project": "p"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A source in memory, and no settings file."""
    monkeypatch.chdir(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.pipe("/pitches/a.pdf", (FOLDER / f"{PARCELS}.pdf").read_bytes())
    yield
    memory.rm("/pitches", recursive=True)


def prepared(folder: Path, to: str = "vertex", check: bool = False, **parameters: Any) -> Submission:
    return prepare(Order("deck-review", GIVEN | parameters), load_settings(SETTINGS | {"to": to}), folder, check=check)


@pytest.mark.parametrize("to", ["vertex", "kfp"])
def test_every_parameter_has_a_value_and_the_source_s_state_a_name(tmp_path: Path, to: str) -> None:
    parameters = prepared(tmp_path, to).parameters
    assert parameters.keys() == parameters_of_template(tmp_path / "deck_review.yaml").keys()
    assert re.fullmatch("[0-9a-f]{64}", parameters["source_fingerprint"])
    assert (parameters["template"], parameters["store"]) == ("healthcare", "memory://library/store")


def test_a_template_of_ones_own_goes_by_a_name_that_follows_from_its_content(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(load_template().model_dump_json())
    name = prepared(tmp_path, template=str(own)).parameters["template"]
    assert name.startswith("memory://library/store/decks/templates/")
    assert load_template(name) == load_template()
    own.write_text(load_template().model_copy(update={"version": 9}).model_dump_json())
    assert prepared(tmp_path, template=str(own)).parameters["template"] != name


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"source": "decks"}, "source decks: is a path of this machine"),
        ({"dpi": 300}, "dpi 300: Input should be less than or equal to 150"),
        ({"specialists": "never"}, "specialists never: is not known"),
        ({"model_key": "sk-123"}, "model_key: not the name of a secret"),
        ({"text_model": None}, "parameter text_model: has no value; give --text-model"),
        ({"pattern": "*.pptx"}, r"memory://pitches: holds no file that matches '\*.pptx'"),
    ],
)
def test_what_a_task_would_refuse_is_refused_at_once(tmp_path: Path, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepared(tmp_path, **parameters)


def test_a_schedule_collects_the_decks_anew_each_time(tmp_path: Path) -> None:
    scheduled = prepare_schedule(Order("deck-review", GIVEN), load_settings(SETTINGS), tmp_path)
    cached = caching_of(read_documents(scheduled.template)[0])
    assert not cached["collect-decks"]
    assert cached["conclude-review"]


def test_no_gpus_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[int] = []
    monkeypatch.setattr(
        submission,
        "check_prerequisites",
        lambda settings, preset, *_, **__: looked_for.append(preset.accelerators) or [],
    )
    prepared(tmp_path, check=True)
    assert looked_for == [0]


def test_the_models_key_is_a_secret_that_is_looked_for() -> None:
    given = GIVEN | {"model_key": "secret:projects/p/secrets/models"}
    needs = Needs(load_settings(SETTINGS), PRESETS["vertex-a100-40"], given, "worker", GoogleApis())
    assert list(needs.secrets()) == [("model_key", "secret:projects/p/secrets/models")]


@contextlib.contextmanager
def running(to: str) -> Iterator[dict[str, str]]:
    """A service that runs pipelines, as the settings that lead to it."""
    if to == "vertex":
        with running_vertex() as vertex:
            yield {"BUCKET": "gs://books", "VERTEX__PROJECT": "books-project", "VERTEX__ENDPOINT": vertex.endpoint}
    else:
        with running_kfp() as kfp:
            yield {"KFP__HOST": kfp.endpoint, "KFP__TOKEN": "x"}


@pytest.mark.parametrize("to", ["vertex", "kfp"])
def test_it_is_submitted_and_its_status_shown(to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in GIVEN.items())
    with running(to) as settings:
        for name, value in settings.items():
            monkeypatch.setenv(f"PAGEMILL_{name}", value)
        submitted = said(f"submit deck-review --to {to} --no-check {options} --store memory://library/store")
        run = re.search(r"^run +(\S+)$", submitted, re.M)
        assert run
        told = json.loads(said(f"status {run[1]} --to {to} --json"))
    assert told["run"]["pipeline"] == "deck-review"
    assert told["run"]["parameters"]["vision_model"] == "llava"
