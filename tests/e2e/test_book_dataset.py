"""The compiled pipeline on the demo's archives: what was typeset comes out, and everything is accounted for."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pagemill.manifest import Manifest
from pagemill.records import DatasetFile, MemberRecord, PdfRecord
from tests.e2e.conftest import DEMO, PAGEMILL, Place

PAGES = {(page["pdf_sha256"], page["page"]): page for page in map(json.loads, (DEMO / "truth.jsonl").open())}

METADATA = {  # the output of each task that carries metadata
    "discover-archives": "archives",
    "extract-pdfs": "members",
    "inspect-pdfs": "pdfs",
    "recognize-pages": "pages",
    "clean-documents": "documents",
    "chunk-documents": "chunks",
    "find-duplicates": "duplicates",
    "build-dataset": "dataset",
    "publish-dataset": "publication",
    "report-run": "report",
}


def rows(place, config):
    return [
        row
        for file in sorted(place.dataset.glob(f"data/{config}/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]


def manifest_rows(place, stage, row):
    files = place.store.glob(f"manifests/{stage}/*/*.json")
    return [each for file in files for each in Manifest.read(file, row).rows]


def assert_right(ledger, pages):
    """Compare ledger rows with what was typeset; of a page that loops, with what comes before the loop."""
    read = {(row["pdf_sha256"], row["page"]): row for row in ledger}
    for page, typeset in pages.items():
        if typeset.get("loops"):
            assert read[page]["status"] == "truncated"
            assert read[page]["text"].startswith(typeset["text"])
        else:
            assert read[page]["text"] == typeset["text"]


def executed(log):
    """The tasks that a run really executed, by its log."""
    return Counter(re.findall(r"Executing task '([\w-]+)'", log))


def test_the_dataset_holds_the_text_that_was_typeset(finished):
    assert_right(rows(finished, "pages"), PAGES)


def test_every_page_that_went_in_has_exactly_one_row(finished):
    pdfs = {pdf.pdf_sha256: pdf for pdf in manifest_rows(finished, "inspect_pdfs", PdfRecord)}
    went_in = {(pdf, page) for pdf, record in pdfs.items() for page in range(1, record.num_pages + 1)}
    went_in |= {(pdf, 0) for pdf, record in pdfs.items() if record.num_pages == 0}
    ledger = Counter((row["pdf_sha256"], row["page"]) for row in rows(finished, "pages"))
    assert ledger == Counter(went_in)


def test_the_ledger_of_a_run_is_that_of_its_dataset(finished):
    run = max(finished.runs.glob("book-dataset-*"))
    shown = [
        subprocess.run([PAGEMILL, "ledger", place], check=True, capture_output=True, text=True).stdout
        for place in (run, finished.dataset)
    ]
    assert shown[0] == shown[1]


def test_bad_members_pdfs_and_pages_appear_with_their_reasons(finished):
    members = {(each.archive, each.reason) for each in manifest_rows(finished, "extract_pdfs", MemberRecord)}
    assert ("damaged.rar", "checksum_mismatch") in members or ("damaged.rar", "damaged_member") in members
    assert ("damaged.rar", None) in members, "the sound member of the damaged archive comes out"
    assert {"not_a_pdf"} <= {reason for _, reason in members}
    reasons = {row["reason"] for row in rows(finished, "pages")}
    assert {"broken_pdf", "password_protected", "no_pages", "page_too_large", "blank_page"} <= reasons


def test_a_chunk_leads_back_to_page_pdf_and_archive(finished):
    documents = {row["id"]: row for row in rows(finished, "documents")}
    pages = {(row["pdf_sha256"], row["page"]) for row in rows(finished, "pages")}
    chunks = rows(finished, "chunks")
    assert chunks
    for chunk in chunks:
        document = documents[chunk["doc_id"]]
        origin = document["metadata"]
        assert document["text"][chunk["char_start"] : chunk["char_end"]] == chunk["text"]
        assert (origin["pdf_sha256"], chunk["page_start"]) in pages
        assert (finished.store / "pdf" / f"{origin['pdf_sha256']}.pdf").is_file()
        assert origin["archive_sha256"] in {
            each.archive_sha256 for each in manifest_rows(finished, "extract_pdfs", MemberRecord)
        }


def test_the_dataset_loads_with_datasets(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    files = str(finished.dataset / "data" / "chunks" / "*.parquet")
    loaded = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == len(rows(finished, "chunks"))


def test_the_report_tells_of_failures_and_stands_alone(finished):
    report = max(finished.runs.glob("book-dataset-*/report.html")).read_text()
    assert "damaged.rar" in report
    assert "password_protected" in report
    assert "<svg" in report
    assert not re.search(r"""(src|href)=["']https?://""", report)


def test_a_password_is_nowhere_but_in_its_file(finished):
    words = [word.encode() for word in (DEMO / "passwords.txt").read_text().split()]
    for path in finished.folder.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".jsonl", ".txt", ".html", ".md", ""}:
            content = path.read_bytes()
            assert not [word for word in words if word in content], path


@pytest.mark.parametrize("task", METADATA)
def test_the_metadata_of_an_artifact_is_what_its_component_documents(finished, task):
    outputs = [json.loads(path.read_text()) for path in finished.runs.glob(f"*/**/{task}/executor_output.json")]
    keys = {key for output in outputs for key in output["artifacts"][METADATA[task]]["artifacts"][0]["metadata"]}
    assert keys
    assert not [key for key in keys if not re.fullmatch("|".join(documented_keys(task)), key)]


def documented_keys(task):
    """The keys after `Metadata:` in a component's docstring, `<…>` standing for any word."""
    name = task.replace("-", "_")
    text = " ".join(getattr(import_module(f"pagemill.components.{name}"), name).python_func.__doc__.split())
    return [re.sub("<[a-z]+>", r"\\w+", key) for key in re.search(r"Metadata: ([^.]+)\.", text)[1].split(", ")]


def test_a_second_run_executes_nothing_but_the_report_and_writes_nothing(finished):
    before = finished.files()
    done = finished.run("--max-shards", "3")
    assert executed(finished.log()).keys() == {"report-run"}
    assert done.stdout.count("cached ") == 6 + 3 * 5, "six tasks beside the loop and five in each shard"
    assert finished.files() == before


def test_too_many_failures_stop_the_run_before_it_publishes(finished, tmp_path):
    place = Place(tmp_path, store_uri=str(finished.store))
    shutil.copytree(finished.runs, place.runs)  # with the cache: what both runs have in common is not done again
    done = place.run("--max-shards", "3", "--max-failed-fraction", "0.01", check=False)
    assert done.returncode == 2
    assert "failed" in done.stderr.strip().splitlines()[-1]
    assert executed(place.log()).keys() == {"check-failures", "report-run"}
    assert not place.dataset.exists()
    assert (max(place.runs.glob("book-dataset-*")) / "report.html").is_file()


@pytest.fixture
def two_archives(tmp_path):
    """A source of two small archives, each a shard of its own."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("science-rar4.rar", "novels.rar"):
        shutil.copy2(DEMO / "samples" / name, source)
    return Place(tmp_path, source)


def test_after_a_failed_shard_and_a_kill_only_what_is_missing_is_done(finished, two_archives):
    novel = next(
        each
        for each in manifest_rows(finished, "extract_pdfs", MemberRecord)
        if each.archive == "novels.rar" and each.sha256
    )
    obstacle = two_archives.store / "pdf" / f"{novel.sha256}.pdf"
    obstacle.mkdir(parents=True)  # no file can take this name now, as on a broken disk
    assert two_archives.run(check=False).returncode == 1
    assert executed(two_archives.log())["recognize-pages"] == 1, "the other shard went to its end"

    obstacle.rmdir()
    before = ledger(two_archives.store)
    with subprocess.Popen(two_archives.command(), start_new_session=True, stdout=subprocess.DEVNULL) as run:
        read = wait_for_pages(two_archives.store, len(before) + 4)
        os.killpg(run.pid, signal.SIGKILL)
    killed = executed((two_archives.runs / f".log-{run.pid}").read_text())
    kept = {page: row for page, row in ledger(two_archives.store).items() if page in read}
    assert kept.keys() > before.keys()

    two_archives.run()
    last = executed(two_archives.log())
    assert set(killed.values()) == set(last.values()) == {1}
    assert killed.keys() | last.keys() == {
        *("extract-pdfs", "inspect-pdfs", "recognize-pages", "clean-documents", "chunk-documents"),
        *("find-duplicates", "build-dataset", "check-failures", "publish-dataset", "report-run"),
    }
    after = ledger(two_archives.store)
    assert {page: after[page] for page in kept} == kept, (
        "rows carry their measured seconds: equal rows were not read again"
    )
    read = rows(two_archives, "pages")
    in_these = {(row["pdf_sha256"], row["page"]) for row in read}
    assert_right(read, {page: typeset for page, typeset in PAGES.items() if page in in_these})


def ledger(store: Path):
    """All that was read so far, of unfinished books too."""
    found = {}
    for path in store.glob("readings/**/*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # its book was joined meanwhile
            rows = map(json.loads, path.read_text().splitlines())
            found |= {(row["pdf_sha256"], row["page"]): row for row in rows}
    return found


def wait_for_pages(store: Path, number: int):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if len(read := ledger(store)) >= number:
            return read
        time.sleep(0.05)
    raise AssertionError("no page was read")


def test_build_manifest_counts_what_the_dataset_holds(finished):
    (path,) = finished.store.glob("manifests/build_dataset/*/*.json")
    counts = Manifest.read(path, DatasetFile).counts
    statuses = Counter(row["status"] for row in rows(finished, "pages"))
    assert {name: counts.get(f"pages_{name}", 0) for name in statuses} == statuses
    assert counts["chunks"] == len(rows(finished, "chunks"))
    assert counts["documents"] == len(rows(finished, "documents"))
