"""The guide from an empty project to a scheduled run: each of its commands of ours works, in the order of the page."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagemill.cli import app
from pagemill.cloud.commands import runs
from pagemill.errors import UserError
from tests.clouds import Clouds, running_clouds

GUIDE = Path(__file__).parents[2] / "docs" / "cloud.md"
OTHERS = {"cd", "cp", "export", "gcloud", "kubectl", "pip", "printf", "terraform"}  # not ours, and not run
ENDPOINT = "projects/415104041262/locations/us-central1/endpoints/7"
MODEL = "projects/415104041262/locations/us-central1/models/7"
FILES = {  # that the page tells the reader to write
    "run.yaml": "source: gs://books/books\npublish: hf://me/books\ncheckpoint: 0.1.0-base\n",
}


def commands() -> list[str]:
    """The commands of the page that are ours, in order."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
    text = "".join(block for language, block in blocks if not language)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    names = {line.split()[0] for line in lines}
    assert names <= OTHERS | {"pagemill"}, names
    return [line.removeprefix("pagemill ") for line in lines if line.startswith("pagemill ")]


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(name).write_text(content)
    with running_clouds() as running:
        yield running


def invoke(line: str) -> str:
    """Run a command in this process, which saves the seconds that a new one takes to load; return what it prints."""
    try:
        done = CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)
    except UserError as mistake:
        pytest.fail(f"pagemill {line}: {mistake}")
    assert done.exit_code == 0, f"pagemill {line}\n{done.output}"
    return done.output


def test_every_command_of_the_guide_works(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"=ENDPOINT": f"={ENDPOINT}", "=MODEL": f"={MODEL}", "http://localhost:8080": clouds.kfp.endpoint}
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.0)
    clouds.google.held_by_vertex |= {ENDPOINT: {"deployedModels": [{"id": "1"}]}, MODEL: {}}
    for command in commands():
        line = command
        for word, value in known.items():
            line = line.replace(word, value)
        output = invoke(line)
        for word, label in (("RUN", "run"), ("SCHEDULE", "schedule")):
            if found := re.search(rf"^{label} +(\S+)$", output, re.M):
                known[f" {word}"] = f" {found[1]}"
    assert not clouds.vertex.schedules, "what was scheduled is gone at the end"
    assert "hf_hush" not in str(clouds.vertex.requests) + str(clouds.kfp.requests)
