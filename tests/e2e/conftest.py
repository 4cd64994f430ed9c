"""The demo's input through the compiled pipeline, run once for all tests that look at what came out."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import pagemill.storage  # noqa: F401  # sets gcsfs up, which has to happen before anybody imports it
from tests.warm_tasks import IMPORTS_OF_READING, warm_pagemill

DEMO = Path(__file__).parents[2] / "demo"
PAGEMILL = Path(sys.executable).with_name("pagemill")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run of the pipeline leaves its things."""

    folder: Path
    source: Path | str = DEMO / "samples"
    store_uri: str = ""  # instead of a local folder
    dataset_uri: str = ""
    program: tuple[str | Path, ...] = warm_pagemill()

    @property
    def store(self):
        return self.store_uri or self.folder / "store"

    @property
    def dataset(self):
        return self.dataset_uri or self.folder / "dataset"

    @property
    def runs(self):
        return self.folder / "runs"

    def command(self, *options):
        return [
            *(*self.program, "run", "book-dataset"),
            *("--source", self.source, "--store", self.store, "--publish", self.dataset, "--runs", self.runs),
            *("--checkpoint", DEMO / "checkpoint", "--passwords", DEMO / "passwords.txt"),
            *("--target-tokens", "128", "--max-tokens", "256", "--max-failed-fraction", "0.4"),
            *options,
        ]

    def run(self, *options, check=True):
        done = subprocess.run(self.command(*options), capture_output=True, text=True)
        assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def log(self):
        """The complete log of the latest run."""
        return max(self.runs.glob("book-dataset-*/log.txt")).read_text()

    def files(self):
        """Every file of the store and the dataset with its size and the time of its last change."""
        found = (path for part in (self.store, self.dataset) for path in part.rglob("*") if path.is_file())
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("finished"), program=warm_pagemill(IMPORTS_OF_READING))
    place.run("--max-shards", "3")
    return place
