"""Runs of the light engine in processes of their own, which can be killed at any moment."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pagemill.ocr.readings import Readings
from pagemill.storage import Store
from tests.light_books import LEAFLET, inspected, long_book, rows_of

ROOT = Path(__file__).parents[1]
PAGES = 110
BOOK = long_book(PAGES)
PROGRAM = """
import json, sys
from pagemill.manifest import Manifest
from pagemill.ocr import recognize_pages
from pagemill.records import PdfRecord
from pagemill.storage import Store
pdfs, store, checkpoint, options = sys.argv[1:]
recognize_pages(Manifest.read(pdfs, PdfRecord), Store(store), checkpoint=checkpoint, engine="tests.light_engine",
                batch_size=4, **json.loads(options))
"""


def ledger(store: Store, pages) -> list[tuple]:
    rows = rows_of(store, pages, BOOK) + rows_of(store, pages, LEAFLET)
    return [(row.pdf_sha256, row.page, row.status, row.reason, row.text) for row in rows]


def start(store: Store, folder: Path, **options) -> subprocess.Popen:
    """Start to read the books in a process of its own."""
    pdfs = folder / "pdfs.json"
    inspected(store, BOOK, LEAFLET).write(pdfs)
    arguments = [sys.executable, "-c", PROGRAM, str(pdfs), store.uri, str(folder), json.dumps(options)]
    return subprocess.Popen(arguments, cwd=ROOT, stderr=(folder / "talk.txt").open("a"))


def descendants(pid: int) -> list[int]:
    """Return the processes below one, children first."""
    try:
        listed = [file.read_text().split() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    children = [int(child) for each in listed for child in each]
    return children + [pid for child in children for pid in descendants(child)]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def pages_kept(store: Store) -> int:
    """Return how many pages are safe so far."""
    kept = 0
    for folder in store.folders("readings"):
        readings = Readings(store, folder)
        kept += sum(len(readings.kept(book)) for book in readings.begun())
        kept += sum(len(readings.rows(book)) for book in readings.whole())
    return kept


def wait_for_pages(store: Store, process: subprocess.Popen, pages: int) -> None:
    while process.poll() is None and pages_kept(store) < pages:
        time.sleep(0.01)
