"""Measure what a second run of the demo's pipeline still does: tasks executed and files changed, beside the first."""

import tempfile
import time
from pathlib import Path

from pagemill.archives import fingerprint_of
from pagemill.cloud.compiled import path_of
from pagemill.cloud.local import LocalRun, run_pipeline

DEMO = Path(__file__).parent.parent / "demo"


def main() -> None:
    print("| run | wall, s | tasks executed | tasks from the cache | files in store and dataset changed |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for number in ("first", "second"):
            before = snapshot(Path(folder))
            started = time.perf_counter()
            run = run_demo(Path(folder))
            seconds = time.perf_counter() - started
            changed = len(set(snapshot(Path(folder)).items()) ^ set(before.items()))
            executed = ", ".join(sorted(set(run.tasks.get("started", ())))) if number == "second" else "all"
            counts = (len(run.tasks.get("started", ())), len(run.tasks.get("cached", ())))
            print(f"| {number} | {seconds:.1f} | {counts[0]} ({executed}) | {counts[1]} | {changed} |")


def run_demo(folder: Path) -> LocalRun:
    source = str(DEMO / "samples")
    arguments = {
        "source": source,
        "source_fingerprint": fingerprint_of(source, "*.rar"),
        "store": str(folder / "store"),
        "publish": str(folder / "dataset"),
        "checkpoint": str(DEMO / "checkpoint"),
        "passwords": str(DEMO / "passwords.txt"),
        "max_shards": 3,
        "max_failed_fraction": 0.4,
    }
    return run_pipeline(path_of("book-dataset", "local"), arguments, folder / "runs")


def snapshot(folder: Path) -> dict[Path, int]:
    """Return the files of the store and the dataset with the time of their last change."""
    files = (path for part in ("store", "dataset") for path in (folder / part).rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files}


if __name__ == "__main__":
    main()
