"""Settings: where each value comes from, which one wins, and what is said of a mistake."""

import dataclasses
from pathlib import Path

import pytest

from pagemill import settings as room
from pagemill.errors import UserError
from pagemill.ocr.serving.settings import Settings as ServerSettings
from pagemill.settings import MASK, describe, load_settings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file in use."""
    path = tmp_path / "pagemill.toml"
    path.write_text('bucket = "gs://books"\n[vertex]\nproject = "library"\nregion = "europe-west4"\n')
    monkeypatch.setenv("PAGEMILL_CONFIG", str(path))
    return path


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().vertex.region == "us-central1"


def test_an_option_beats_a_variable_which_beats_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().vertex.region == "europe-west4"
    monkeypatch.setenv("PAGEMILL_VERTEX__REGION", "asia-east1")
    assert load_settings().vertex.region == "asia-east1"
    assert load_settings({"vertex.region": "us-east1"}).vertex.region == "us-east1"
    assert load_settings({"vertex.region": ""}).vertex.region == "asia-east1"
    assert load_settings().vertex.project == "library"


def test_each_value_is_shown_with_its_origin(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGEMILL_KFP__HOST", "https://pipelines.example")
    options = {"preset": "gke-a100"}
    shown = {each.name: (each.value, each.origin) for each in describe(load_settings(options), options)}
    assert shown["bucket"] == ("gs://books", str(file))
    assert shown["vertex.project"] == ("library", str(file))
    assert shown["kfp.host"] == ("https://pipelines.example", "PAGEMILL_KFP__HOST")
    assert shown["preset"] == ("gke-a100", "option")
    assert shown["kfp.namespace"] == ("kubeflow", "default")


def test_labels_are_one_value(file: Path) -> None:
    file.write_text('[labels]\nteam = "books"\nstage = "trial"\n')
    (labels,) = (each for each in describe(load_settings()) if each.name == "labels")
    assert (labels.value, labels.origin) == ("team=books, stage=trial", str(file))


def test_a_secret_is_masked(file: Path) -> None:
    file.write_text('[kfp]\ntoken = "hush-hush"\n')
    settings = load_settings()
    assert settings.kfp.token.get_secret_value() == "hush-hush"
    assert "hush-hush" not in str(describe(settings)) + repr(settings)
    assert MASK in str(describe(settings))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[vertex]\nprojct = "p"\n', "vertex.projct: is not a setting; did you mean vertex.project?"),
        ("colour = 1\n", "colour: is not a setting; `pagemill config show` lists the settings"),
        ('to = "slurm"\n', "to: is not valid; give vertex or kfp"),
        ("vertex = 3\n", "vertex: is not valid"),
        ("[vertex\n", "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(file: Path, content: str, says: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError) as error:
        load_settings()
    assert says in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_secret_of_the_wrong_kind_is_not_quoted(file: Path) -> None:
    file.write_text('[kfp]\ntoken = ["hush-hush"]\n')
    with pytest.raises(UserError) as error:
        load_settings()
    assert "hush-hush" not in str(error.value)


def test_a_file_that_is_named_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGEMILL_CONFIG", "nowhere.toml")
    with pytest.raises(UserError, match=r"nowhere\.toml: is not there; correct PAGEMILL_CONFIG"):
        load_settings()


def test_variables_of_other_parts_are_left_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGEMILL_CHECKPOINT", "demo/checkpoint")
    assert load_settings().bucket == "gs://books"


@pytest.mark.parametrize(
    ("options", "to"),
    [
        ({"preset": "gke-a100"}, "kfp"),
        ({"preset": "vertex-a100-40"}, "vertex"),
        ({"preset": "local"}, "vertex"),
        ({"preset": "nosuch"}, "vertex"),
        ({"preset": "gke-a100", "to": "vertex"}, "vertex"),
    ],
)
def test_where_to_follows_from_the_preset_unless_it_is_said(file: Path, options: dict[str, str], to: str) -> None:
    assert load_settings(options).to == to


def test_what_followed_from_the_preset_is_shown_as_such(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def origin(settings: room.Settings) -> str:
        return next(each.origin for each in describe(settings) if each.name == "to")

    monkeypatch.setenv("PAGEMILL_PRESET", "gke-a100")
    assert origin(load_settings()) == "preset"
    file.write_text('to = "kfp"\n')
    assert origin(load_settings()) == str(file)


def test_a_wrong_choice_is_told_with_the_right_ones(file: Path) -> None:
    with pytest.raises(UserError, match="option: to: is not valid; give vertex or kfp"):
        load_settings({"to": "vertx"})


@pytest.mark.parametrize("variable", ["PAGEMILL_LABELS", "PAGEMILL_VERTEX"])
def test_a_variable_that_is_no_json_is_named(file: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "team=hush-hush")
    with pytest.raises(UserError) as error:
        load_settings()
    assert str(error.value).startswith(f"{variable}: is no JSON; write a table")
    assert "hush-hush" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PAGEMILL_VERTEX_PROJECT", "PAGEMILL_VERTEX__PROJECT"),
        ("PAGEMILL_PROJECT", "PAGEMILL_VERTEX__PROJECT"),
        ("PAGEMILL_BUCKETS", "PAGEMILL_BUCKET"),
    ],
)
def test_a_misspelt_variable_is_warned_of_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, meant: str
) -> None:
    room._warn_once.cache_clear()
    monkeypatch.setenv(variable, "hush-hush")
    load_settings()
    load_settings()
    assert caplog.messages == [f"{variable} is not a setting; did you mean {meant}?"]


def test_the_projects_other_variables_are_not_warned_of(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room._warn_once.cache_clear()
    others = [field.metadata["variable"] for field in dataclasses.fields(ServerSettings)]
    for name in ("PAGEMILL_GOOGLE_APIS", "PAGEMILL_GROUP_AGENT", "PAGEMILL_GROUP_FOLDER", *others):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PAGEMILL_LABELS__TEAM", "books")
    assert load_settings().labels == {"team": "books"}
    assert caplog.messages == []
