"""The notebooks run from the first cell to the last, and are committed with small outputs that tell of no machine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clouds import Clouds, running_clouds
from tests.notebooks import NAMES, ROOT, execute
from tests.warm_tasks import warm_program


@pytest.fixture(scope="module")
def clouds() -> Iterator[Clouds]:
    with running_clouds() as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def shown(notebook: Any) -> str:
    return json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])


def test_a_run_on_this_machine_and_a_look_at_its_dataset(project: Path) -> None:
    warm = f"from pagemill.cloud import local\nlocal.PROGRAM = {warm_program('book-dataset')!r}"
    run = execute("01_run_locally", project, before=warm)
    explored = execute("04_explore_the_dataset", project)
    assert "['report-run']" in shown(run), "the second run executes nothing else"
    assert "image/png" in shown(explored)
    assert "darwin/origin.pdf" in shown(explored)


def test_submitting_starts_a_run(clouds: Clouds, project: Path) -> None:
    assert "discover-archives" in shown(execute("02_submit_to_vertex", project))
    (job,) = clouds.vertex.jobs.values()
    assert job["runtimeConfig"]["parameterValues"]["source"] == "gs://books/books"


def test_schedules_come_and_go(clouds: Clouds, project: Path) -> None:
    assert "('succeeded', 'USD')" in shown(execute("03_schedule_and_monitor", project))
    assert not clouds.vertex.schedules


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_is_small_complete_and_tells_of_no_machine(name: str) -> None:
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert len(text) < 100_000
    assert all(cell["execution_count"] for cell in cells), "run `make notebooks`"
    assert not re.search(r'"output_type": "error"|/(home|root|tmp|work|Users)/|hf_hush', text)
