"""The commands of the clouds as people meet them: narrow terminals, odd names, silence, and runs that are over."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagemill.cli import app
from pagemill.cloud.commands import runs
from pagemill.errors import UserError
from tests.vertex_server import running_vertex
from tests.vertex_service import Vertex

SUBMIT = (
    "submit book-dataset --no-check --source memory://books --publish memory://out --store memory://store "
    "--source-fingerprint monday"
)


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vertex]:
    """Vertex AI, where the settings of this test lead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.0)
    with running_vertex() as server:
        for name, value in {
            "BUCKET": "gs://books",
            "VERTEX__PROJECT": "books-project",
            "VERTEX__ENDPOINT": server.endpoint,
        }.items():
            monkeypatch.setenv(f"PAGEMILL_{name}", value)
        yield server


def said(line: str, exit_code: int = 0) -> str:
    """What a command prints, on 40 columns."""
    done = CliRunner(env={"COLUMNS": "40"}).invoke(app, shlex.split(line), catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done.output


def submitted(*options: str) -> str:
    """The id of a run that was just submitted."""
    found = re.search(r"^run +(\S+)$", said(" ".join([SUBMIT, *options])), re.M)
    assert found
    return found[1]


def create_schedule(name: str) -> str:
    words = SUBMIT.replace("submit", "schedule create") + f" --cron '0 3 * * *' --schedule '{name}'"
    found = re.search(r"^schedule (\S+)$", said(words), re.M)
    assert found
    return found[1]


def test_a_schedules_id_can_be_copied_from_a_narrow_terminal(vertex: Vertex) -> None:
    schedule = create_schedule("nightly")
    assert schedule in said("schedule list").split()
    said(f"schedule delete {schedule}")


def test_a_name_that_looks_like_markup_is_a_name(vertex: Vertex) -> None:
    create_schedule("bad [/x] name")
    (row,) = json.loads(said("schedule list --json"))
    assert row["name"] == "bad [/x] name"
    assert "[/x]" in said("schedule list")


def test_status_without_a_run_lists_the_latest(vertex: Vertex) -> None:
    run = submitted()
    assert run in said("status").split()
    assert [each["run"] for each in json.loads(said("status --json"))] == [run]


def test_status_for_programs(vertex: Vertex) -> None:
    told = json.loads(said(f"status {submitted()} --json"))
    assert told["run"]["pipeline"] == "book-dataset"
    assert "cost" in told


def test_followed_without_a_terminal_a_run_is_a_line_for_each_change(vertex: Vertex) -> None:
    output = said(f"status {submitted()} --follow")
    lines = [line for line in output.splitlines() if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d ", line)]
    assert [line.split()[2].rstrip(",") for line in lines][:: len(lines) - 1] == ["running", "succeeded"]
    assert output.endswith("\n")


def test_a_run_that_failed_ends_what_waits_for_it(vertex: Vertex) -> None:
    vertex.script(failures={"discover-archives": "the bucket is on fire"})
    assert "the bucket is on fire" in " ".join(said(f"{SUBMIT} --wait", exit_code=1).split())


def test_watching_outlasts_a_silence(vertex: Vertex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pagemill.cloud.vertex.calls.PATIENCE_SECONDS", 0.01)
    run = submitted()
    original = runs._again

    def silent_once(backend: object, known: object) -> object:
        monkeypatch.setattr(runs, "_again", original)
        vertex.fail_next("unavailable", 3, method="GET")
        return original(backend, known)  # type: ignore[arg-type]

    monkeypatch.setattr(runs, "_again", silent_once)
    output = said(f"status {run} --follow")
    assert "asking again" in output
    assert "succeeded" in output


def test_a_run_that_has_ended_is_not_cancelled(vertex: Vertex) -> None:
    run = submitted("--wait")
    assert said(f"cancel {run}") == f"{run} has ended already: succeeded\n"


def test_what_is_told_to_be_done_next_leads_to_the_same_service(vertex: Vertex) -> None:
    run = submitted()
    assert f"`pagemill retry {run} --to vertex`" in said(f"cancel {run}")


def test_a_text_is_taken_as_it_stands(vertex: Vertex) -> None:
    submitted("--set 'pattern=*.rar' --set checkpoint=0.1.0-small --set max_shards=7 --set name=no")
    (job,) = vertex.jobs.values()
    values = job["runtimeConfig"]["parameterValues"]
    assert (values["pattern"], values["max_shards"], values["name"]) == ("*.rar", 7, "no")


def test_a_run_may_have_labels_an_account_and_a_network_of_its_own(vertex: Vertex) -> None:
    network = "projects/415104041262/global/networks/books"
    submitted("--label team=night", "--run-as other@books-project.iam.gserviceaccount.com", f"--network {network}")
    (job,) = vertex.jobs.values()
    assert job["labels"]["team"] == "night"
    assert job["serviceAccount"] == "other@books-project.iam.gserviceaccount.com"
    assert job["network"] == network


def test_a_schedule_may_begin_and_end(vertex: Vertex) -> None:
    words = (
        SUBMIT.replace("submit", "schedule create") + " --cron '0 3 * * *' --start 2030-01-01 --end 2030-02-01T12:00:00"
    )
    said(words)
    asked = next(each.body for each in vertex.requests if each.path.endswith("/schedules") and each.body)
    assert (asked["startTime"], asked["endTime"]) == ("2030-01-01T00:00:00Z", "2030-02-01T12:00:00Z")


@pytest.mark.parametrize("value", ["max_shards=[", "max_shards=many", "max_shards"])
def test_a_value_that_is_none_is_told_in_one_line(vertex: Vertex, value: str) -> None:
    with pytest.raises(UserError):
        said(f"{SUBMIT} --set {value}")


def test_every_preset_can_be_read_from_a_narrow_terminal() -> None:
    assert {"vertex-a100-40", "vertex-a100-80", "gke-a100"} <= set(said("presets").split())
