"""How a run stands: tasks by the backend, shards and pages by the store, what is left and what it cost so far."""

import dataclasses
import datetime
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pagemill.cloud.backend import Run, State, Task
from pagemill.cloud.labels import labels_for
from pagemill.cloud.standing import RunWatch, Standing, render, standing_of, watch_of
from pagemill.cloud.watching import StoreProgress, StoreWatch
from pagemill.costs.prices import load_prices
from pagemill.presets import PRESETS
from pagemill.settings import Settings
from pagemill.storage import Store
from tests import chain
from tests.servers import gcs_server

PARAMETERS: dict[str, Any] = {"source": "/in", "pattern": "*.rar", "source_fingerprint": "1", "max_shards": 2.0}
BEGAN = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
PRICES = load_prices()
PRESET = PRESETS["vertex-a100-40"]
STAGES = ("fetch_archives", "extract_pdfs", "inspect_pdfs", "recognize_pages", "clean_documents", "chunk_documents")
PAGES = (9, 5)  # of the two shards


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def later(hours: float) -> datetime.datetime:
    return BEGAN + datetime.timedelta(hours=hours)


def task(name: str, state: State, begins: float | None = None, ends: float | None = None, **more: Any) -> Task:
    times = [None if hours is None else later(hours) for hours in (begins, ends)]
    return Task(name, state, started=times[0], ended=times[1], **more)


def run_of(*tasks: Task, state: State = State.RUNNING, **more: Any) -> Run:
    values = {"started": BEGAN, "parameters": PARAMETERS, **more}
    return Run("books-7", "books", "book-dataset", state, "https://console/books-7", tasks=tasks, **values)


def standing(run: Run, store: Store | None = None, hours: float = 2.0, preset: str = PRESET.name) -> Standing:
    return RunWatch(store, run.parameters, PRICES, PRESETS[preset]).standing(run, later(hours))


def forget(store: Store, *stages: str, shard: int | None = None) -> None:
    """Remove the manifests of stages, of one shard or of all, as if the run had not come so far."""
    found = {name for stage in stages for folder in store.folders(f"manifests/{stage}") for name in store.names(folder)}
    for name in found:
        rows = store.read_json(name)["rows"]
        if shard is None or chain.SHARDS[shard][0].sha256 == rows[0].get("pdf_sha256"):
            store.delete(name)
            store.delete_folder(name.rpartition("/")[0])


def shown(standing: Standing, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(standing), soft_wrap=True)
    return console.export_text()


def text_lines(standing: Standing) -> list[str]:
    return [line.rstrip() for line in shown(standing).splitlines()]


class Counted(Store):
    """A store that counts what is asked of it."""

    asked = 0

    def names(self, folder: str) -> list[str]:
        self.asked += 1
        return super().names(folder)

    def folders(self, folder: str = "") -> list[str]:
        self.asked += 1
        return super().folders(folder)

    def read_bytes(self, name: str) -> bytes:
        self.asked += 1
        return super().read_bytes(name)


def test_a_finished_store_is_done(store: Store) -> None:
    chain.sample_chains(store)
    progress = StoreWatch(store, PARAMETERS).look()
    assert (progress.shards, progress.shards_done) == (2, 2)
    assert (progress.pages, progress.pages_done, progress.pages_are_known) == (14, 14, True)


def test_nothing_is_known_of_a_run_that_found_no_archives_yet(store: Store) -> None:
    assert StoreWatch(store, PARAMETERS).look() == StoreProgress()
    assert "shards  not planned yet" in shown(standing(run_of(), store))


def test_a_shard_counts_when_its_last_stage_is_done(store: Store) -> None:
    chain.sample_chains(store)
    forget(store, "chunk_documents", shard=1)
    progress = StoreWatch(store, PARAMETERS).look()
    assert (progress.shards_done, progress.pages_done) == (1, 14)


def test_pages_that_are_being_read_count_by_the_names_of_their_files(store: Store) -> None:
    chain.sample_chains(store)
    forget(store, *STAGES[3:])
    for name in store.names("readings/ocr"):
        store.delete(name)
    store.write_bytes(f"readings/ocr/{chain.EUCLID.sha256}/000001-000003-ab.jsonl", b"not looked at")
    store.write_bytes(f"readings/ocr/{chain.EUCLID.sha256}/000004-000004-ab.reading", b"")
    store.write_bytes(f"readings/ocr/{chain.FAUST.sha256}.jsonl", b"")
    store.write_bytes(f"readings/older/{chain.ALICE.sha256}.jsonl", b"")  # another configuration, not at work
    store.write_bytes(f"readings/ocr/{'0' * 64}.jsonl", b"")  # another run's
    progress = StoreWatch(store, PARAMETERS).look()
    assert (progress.pages_done, progress.pages, progress.shards_done) == (3 + 2, 14, 0)


def test_pages_of_shards_that_were_not_inspected_are_told_from_their_bytes(store: Store) -> None:
    chain.sample_chains(store)
    forget(store, *STAGES[2:], shard=1)
    progress = StoreWatch(store, PARAMETERS).look()
    assert (progress.pages, progress.pages_are_known) == (2 * 9, False)  # both archives have 5,000 bytes
    assert "pages   9 of about 18, 50%" in shown(standing(run_of(), store))


def test_pages_from_before_the_run_are_no_evidence_of_its_speed(store: Store) -> None:
    chain.sample_chains(store)
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.UTC)
    assert StoreWatch(store, PARAMETERS).look(now - hour).pages_since == 14
    assert StoreWatch(store, PARAMETERS).look(now + hour).pages_since == 0


def test_what_was_found_once_is_not_read_again(tmp_path: Path) -> None:
    store = Counted(str(tmp_path / "store"))
    chain.sample_chains(store)
    watch = StoreWatch(store, PARAMETERS)
    first = watch.look()
    before = store.asked
    assert watch.look() == first
    assert store.asked == before  # all is done: nothing is left to look for


def test_a_look_at_unfinished_shards_costs_a_few_listings_however_many_there_are(tmp_path: Path) -> None:
    store = Counted(str(tmp_path / "store"))
    chain.sample_chains(store)
    forget(store, *STAGES[3:])
    watch = StoreWatch(store, PARAMETERS)
    watch.look()
    before = store.asked
    watch.look()
    assert store.asked - before <= 3  # the stage that comes next, the configurations that read, what is there of it


def test_a_run_that_goes_on_is_seen_to(store: Store) -> None:
    chain.sample_chains(store)
    kept = {
        name: store.read_bytes(name)
        for folder in store.folders("manifests/chunk_documents")
        for name in store.names(folder)
    }
    forget(store, "chunk_documents")
    watch = StoreWatch(store, PARAMETERS)
    assert watch.look().shards_done == 0
    for number, (name, content) in enumerate(kept.items(), start=1):
        store.write_bytes(name, content)
        assert watch.look().shards_done == number


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with gcs_server() as address:
        yield address


def test_a_store_in_a_bucket_is_looked_at_anew(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket)
    import gcsfs

    gcsfs.GCSFileSystem.clear_instance_cache()
    filesystem = gcsfs.GCSFileSystem(token="anon")
    filesystem.mkdir("books")
    store = Store("gs://books/store")
    chain.sample_chains(store)
    forget(store, *STAGES[3:])
    for name in store.names("readings/ocr"):
        store.delete(name)
    watch = StoreWatch(store, PARAMETERS)
    assert (watch.look().pages_done, watch.look().pages) == (0, 14)
    store.write_bytes(f"readings/ocr/{chain.EUCLID.sha256}/000001-000003-ab.jsonl", b"")
    assert watch.look().pages_done == 3


def with_progress(run: Run, progress: StoreProgress, hours: float) -> Standing:
    """Return the standing of a run whose store tells this."""

    class Told(StoreWatch):
        def look(self, since: datetime.datetime | None = None) -> StoreProgress:
            return progress

    watch = RunWatch(None, run.parameters, PRICES, PRESET)
    watch.store = Told(Store("memory://told"), {})
    return watch.standing(run, later(hours))


READING = task("recognize-pages", State.RUNNING, 1.0, iteration=0)


@pytest.mark.parametrize(
    ("since", "hours", "eta"),
    [
        (600, 2.0, 2.0 * 3600),  # 600 pages in an hour of reading, 1,200 are left
        (1200, 2.0, 3600.0),
        (10, 2.0, None),  # too few pages
        (600, 1.01, None),  # too short
    ],
)
def test_the_rest_takes_as_long_as_the_rate_since_reading_began_says(
    since: int, hours: float, eta: float | None
) -> None:
    progress = StoreProgress(shards=4, pages=3000, pages_are_known=True, pages_done=1800, pages_since=since)
    assert with_progress(run_of(READING), progress, hours).eta_seconds == (None if eta is None else pytest.approx(eta))


def test_pages_that_an_endpoint_reads_have_an_eta_too() -> None:
    progress = StoreProgress(shards=4, pages=3000, pages_are_known=True, pages_done=1800, pages_since=1200)
    by_endpoint = task("predict-pages", State.RUNNING, 1.0, iteration=0)
    assert with_progress(run_of(by_endpoint), progress, 2.0).eta_seconds == pytest.approx(3600.0)


def test_there_is_no_eta_before_a_gpu_reads_or_after_the_end() -> None:
    progress = StoreProgress(shards=4, pages=3000, pages_are_known=True, pages_done=1800, pages_since=1800)
    waiting = task("recognize-pages", State.PENDING)
    assert with_progress(run_of(waiting), progress, 2.0).eta_seconds is None
    assert with_progress(run_of(READING, state=State.CANCELLED), progress, 2.0).eta_seconds is None
    done = dataclasses.replace(progress, pages_done=3000)
    assert with_progress(run_of(READING), done, 2.0).eta_seconds is None


def test_the_cost_is_that_of_the_time_that_tasks_ran() -> None:
    run = run_of(
        task("extract-pdfs", State.SUCCEEDED, 0.0, 0.5, iteration=0),
        task("inspect-pdfs", State.CACHED, 0.5, 0.5, iteration=0),
        task("recognize-pages", State.SUCCEEDED, 0.5, 1.5, iteration=0),
        task("recognize-pages", State.RUNNING, 1.0, iteration=1),
        task("recognize-pages", State.PENDING, iteration=2),
        task("clean-documents", State.SKIPPED, 1.0, iteration=3),
    )
    gpu_hours, cpu_hours = 1.0 + 1.0, 0.5
    disk = 0.17 * 1.15 / 730
    expected = gpu_hours * (2.12081 + 3.673385 * 0.15 + 500 * disk) + 0.03
    expected += cpu_hours * (0.13402284 * 1.15 + 100 * disk)
    result = standing(run, hours=2.0)
    assert result.cost == pytest.approx(expected)
    assert f"cost    about {expected:,.2f} USD so far" in text_lines(result)


def test_a_cost_without_prices_says_what_is_missing() -> None:
    watch = RunWatch(None, {}, PRICES, PRESET, "us-east7")
    result = watch.standing(run_of(READING), later(2.0))
    assert result.cost == pytest.approx(0.03)
    assert result.unpriced == ("a2-highgpu-1g, SPOT", "Vertex AI's fee, a2-highgpu-1g", "pd-ssd, a2-highgpu-1g")


def test_a_machine_of_ones_own_costs_nothing() -> None:
    result = standing(run_of(READING), preset="local")
    assert result.cost is None
    assert "cost" not in shown(result)


def test_tasks_are_shown_by_type_with_how_many_are_in_which_state(store: Store) -> None:
    chain.sample_chains(store)
    run = run_of(
        task("discover-archives", State.CACHED, 0.0, 0.1),
        task("extract-pdfs", State.SUCCEEDED, 0.1, 0.2, iteration=0),
        task("recognize-pages", State.FAILED, 0.2, 0.3, iteration=0, error="quota exceeded"),
        state=State.FAILED,
        error="a task failed",
    )
    lines = text_lines(standing(run, store))
    assert lines[:2] == ["books  failed", "https://console/books-7"]
    rows = {line.split()[0]: [word for word in line.split() if word.isdigit()] for line in lines[7:10]}
    assert rows == {"discover-archives": ["1"], "extract-pdfs": ["1", "1"], "recognize-pages": ["1", "1"]}
    assert lines[2:4] == ["shards  2 of 2", "pages   14 of 14, 100%"]
    assert lines[5] == "recognize-pages, shard 0: quota exceeded"
    assert "a task failed" not in lines  # the task's own error tells more


def reading(state: State, iteration: int, error: str = "") -> Task:
    return task("recognize-pages", state, 0.2, 0.3, iteration=iteration, error=error)


def test_an_error_is_told_once_with_its_shards() -> None:
    run = run_of(
        *(reading(State.FAILED, shard, "out of quota") for shard in (7, 1, 4)),
        reading(State.FAILED, 2, "no such image"),
        task("plan-shards", State.FAILED, error="no archives"),
        reading(State.CANCELLED, 3, "The task was cancelled."),
        state=State.FAILED,
        error="The DAG failed because some tasks failed.",
    )
    assert standing(run).errors == [
        "recognize-pages, shards 1, 4, 7: out of quota",
        "recognize-pages, shard 2: no such image",
        "plan-shards: no archives",
    ]
    assert standing(run).failure == "recognize-pages, shards 1, 4, 7: out of quota"


def test_many_shards_and_many_errors_are_counted() -> None:
    run = run_of(*(reading(State.FAILED, shard, "quota") for shard in range(30)), state=State.FAILED)
    assert standing(run).errors == ["recognize-pages, shards 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more: quota"]
    run = run_of(*(reading(State.FAILED, shard, f"error {shard}") for shard in range(8)), state=State.FAILED)
    assert "and 3 other errors, which the console shows" in text_lines(standing(run))


def test_without_an_error_of_a_task_the_backends_own_is_told() -> None:
    run = run_of(state=State.FAILED, error="the service account may not write")
    assert standing(run).failure == "the service account may not write"
    assert "the service account may not write" in text_lines(standing(run))


@pytest.mark.parametrize(("to", "option"), [("vertex", " --to vertex"), ("kfp", " --to kfp")])
def test_a_failed_run_ends_with_the_command_that_goes_on_from_there(to: str, option: str) -> None:
    failed = standing_of(run_of(READING, state=State.FAILED), Settings(to=to))
    assert text_lines(failed)[-1] == f"`pagemill retry books-7{option}` runs what failed and what depends on it"
    assert "pagemill retry" not in shown(standing_of(run_of(READING), Settings(to=to)))


@pytest.mark.parametrize("width", [80, 60, 30])
def test_addresses_and_names_of_tasks_stay_whole_in_a_narrow_terminal(width: int) -> None:
    address = f"https://console.cloud.google.com/vertex-ai/pipelines/locations/us-central1/runs/books-7?{'p' * 60}"
    run = dataclasses.replace(run_of(READING, task("model-batch-predict", State.SUCCEEDED)), console=address)
    lines = shown(standing(run), width).splitlines()
    assert address in lines
    rows = [line for line in lines if line.startswith(("recognize-pages", "model-batch-predict"))]
    assert len(rows) == 2
    assert ("━" in rows[1]) == (width == 80)


def test_a_store_that_cannot_be_read_does_not_hide_the_tasks(tmp_path: Path) -> None:
    damaged = Store(str(tmp_path / "store"))
    chain.sample_chains(damaged)
    (folder,) = damaged.folders("manifests/discover_archives")
    damaged.write_bytes(damaged.names(folder)[0], b"{")
    text = shown(standing(run_of(READING), damaged))
    assert "recognize-pages" in text
    assert "cannot be read (JSONDecodeError)" in text
    assert "pages   not known: the run names no store" in shown(standing(run_of(READING)))


def test_the_preset_and_the_store_are_those_of_the_run(store: Store) -> None:
    chain.sample_chains(store)
    run = run_of(
        READING,
        labels=labels_for("book-dataset", "vertex-2xa100", "books"),
        parameters={**PARAMETERS, "store": store.uri},
    )
    settings = Settings(vertex={"region": "europe-west4"})
    watch = watch_of(run, settings)
    assert (watch.preset.name, watch.region) == ("vertex-2xa100", "europe-west4")
    assert standing_of(run, settings).progress.pages == 14
    assert watch_of(dataclasses.replace(run, labels={}), settings).preset.name == "vertex-a100-40"
    elsewhere = dataclasses.replace(run, parameters={"store": "nosuch://bucket"})
    assert "names no store" in standing_of(elsewhere, settings).store_problem
