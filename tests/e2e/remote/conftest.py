"""What tests of reading elsewhere share: books, a real server that reads them, and what a worker makes of them."""

import dataclasses
import shutil

import gcsfs
import pytest
import tenacity

from pagemill.ocr import recognize_pages
from pagemill.ocr.remote import endpoint, predict_pages
from pagemill.storage import Store
from tests import light_engine, pdfs
from tests.light_books import BLANK, BROKEN, FOLDED, digest, inspected, rows_of
from tests.light_engine import numbered
from tests.remote import door_to
from tests.servers import gcs_server
from tests.serving import serving

BOOK = pdfs.book([numbered(page, f"#lorem({4 * page})") if page != 3 else BLANK for page in range(1, 7)])
LEAFLET = pdfs.book([numbered(8, "First side"), numbered(9, "Second side")])
BOOKS = (BOOK, LEAFLET, BROKEN, FOLDED)
BEHAVIOUR = {"loops": (1,), "silent": (2,), "bad": (4,)}
RESOURCE = "projects/mill/locations/europe-west4/endpoints/7"
AGAIN = (503, {"Retry-After": "0"})


@pytest.fixture(scope="package")
def bucket():
    """A bucket, gs://library."""
    with gcs_server():
        gcsfs.GCSFileSystem(token="anon", project="books", skip_instance_cache=True).mkdir("library")
        yield "gs://library"


@pytest.fixture(scope="package")
def server(tmp_path_factory, bucket):
    with serving(tmp_path_factory.mktemp("server"), **BEHAVIOUR) as one:
        yield one


@pytest.fixture(scope="package")
def checkpoint(server):
    return str(server.log.parent / "light")


@pytest.fixture(scope="package")
def given(tmp_path_factory):
    """The books as the stages before leave them: a store to copy, and its manifest."""
    store = Store(str(tmp_path_factory.mktemp("given") / "store"))
    return store, inspected(store, *BOOKS)


@pytest.fixture(scope="package")
def by_worker(tmp_path_factory, given, checkpoint):
    """What a worker makes of the books: its store, and its manifests by how it reads again."""
    store = Store(str(shutil.copytree(given[0].root, tmp_path_factory.mktemp("by-worker") / "store")))
    made = {
        retry: recognize_pages(given[1], store, checkpoint=checkpoint, engine=light_engine.ENGINE, retry=retry)
        for retry in ("failed", "none")
    }
    return store, made


@pytest.fixture
def door(server):
    with door_to(server.url) as one:
        yield one


@pytest.fixture
def store(tmp_path, given):
    return Store(str(shutil.copytree(given[0].root, tmp_path / "store")))


@pytest.fixture
def read(given, store, door, checkpoint):
    """Reads some of the books, or all, through the door."""

    def call(*books, **options):
        return predict_pages(
            of(given, *books), store, **{"endpoint": door.address, "checkpoint": checkpoint, **options}
        )

    return call


@pytest.fixture
def shard(request, given, bucket):
    """Brings the books into a folder of the bucket; returns the manifest of some of them, and the store."""

    def copy(*books):
        store = Store(f"{bucket}/{request.node.name}")
        for folder in ("pdf", *given[0].folders("inspections")):
            for name in given[0].names(folder):
                store.write_bytes(name, given[0].read_bytes(name))
        return of(given, *books), store

    return copy


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(endpoint, "BACKOFF", tenacity.wait_none())
    monkeypatch.setattr(endpoint, "SHORTEST_WAIT_SECONDS", 0.0)


def of(given, *books):
    """The manifest of some of the books, or of all."""
    wanted = {digest(content) for content in books or BOOKS}
    return dataclasses.replace(given[1], rows=tuple(pdf for pdf in given[1].rows if pdf.pdf_sha256 in wanted))


def ledger(store, manifest, content) -> list[dict]:
    """The ledger of a book, but for the time that each page took."""
    return [{**row.to_dict(), "seconds": 0} for row in rows_of(store, manifest, content)]


def outcomes(store, manifest, content) -> dict[int, tuple]:
    return {row.page: (row.status, row.reason) for row in rows_of(store, manifest, content)}


def assert_same(store, manifest, by_worker, *books, retry="none"):
    """The ledgers are those of a worker."""
    worker_store, made = by_worker
    for content in books:
        assert ledger(store, manifest, content) == ledger(worker_store, made[retry], content)
