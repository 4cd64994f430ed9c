"""Fetching: whatever the network does, the store ends with the bytes that were listed, under their digest."""

import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from pagemill import download
from pagemill.archives import FetchError, discover_archives, fetch_archives, plan_shards, read_shard
from pagemill.manifest import Manifest
from pagemill.records import Archive, FetchedArchive
from pagemill.storage import Store, digest
from tests.hub import USER
from tests.hub_server import running_hub
from tests.servers import WebServer, gcs_server, web_server

BOOK = random.Random(7).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RETRY_FIRST_SECONDS", 0.0)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.files["/books/b.rar"] = BOOK
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def listed(source: str, store: Store) -> Manifest[Archive]:
    (name,) = plan_shards(discover_archives(source, store), store, max_shards=1)
    return read_shard(name, store)


def fetched(source: str, store: Store, attempts: int = 3) -> Manifest[FetchedArchive]:
    return fetch_archives(listed(source, store), store, attempts=attempts)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def litter(store: Store) -> list[str]:
    return sorted(path.name for path in Path(store.root).glob(".tmp-*"))


def test_a_local_folder(tmp_path: Path, store: Store) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.rar").write_bytes(b"alpha")
    manifest = fetched(str(tmp_path / "source"), store)
    (row,) = manifest.rows
    assert row.volumes == (f"raw/{sha256(b'alpha')}.rar",)
    assert (row.sha256, row.size_bytes, row.missing) == (sha256(b"alpha"), 5, ())
    assert store.read_bytes(row.volumes[0]) == b"alpha"
    assert manifest.counts == {"rows": 1, "archives": 1, "volumes": 1, "bytes": 5}
    assert litter(store) == []


def test_a_set_is_known_by_its_volumes_and_says_which_are_missing(tmp_path: Path, store: Store) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number, modified in ((1, 1_700_000_000), (3, 1_600_000_000)):
        (source / f"a.part{number}.rar").write_bytes(b"%d" % number)
        os.utime(source / f"a.part{number}.rar", (modified, modified))
    (row,) = fetched(str(source), store).rows
    assert row.sha256 == digest([sha256(b"1"), sha256(b"3")])
    assert row.missing == ("a.part2.rar",)
    assert row.modified == "2023-11-14T22:13:20+00:00"


def test_a_web_file_comes_in_one_request(web: WebServer, store: Store) -> None:
    (row,) = fetched(web.url("/books/"), store).rows
    assert store.read_bytes(row.volumes[0]) == BOOK
    assert web.downloads == [("/books/b.rar", "")]


def test_a_second_shard_with_the_same_volume_downloads_nothing(web: WebServer, store: Store) -> None:
    fetched(web.url("/books/"), store)
    web.files["/books/c.rar"] = b"another"
    fetched(web.url("/books/"), store)
    assert web.downloads == [("/books/b.rar", ""), ("/books/c.rar", "")]


def test_two_volumes_of_the_same_bytes_are_kept_once(web: WebServer, store: Store) -> None:
    web.files["/books/copy.rar"] = BOOK
    first, second = fetched(web.url("/books/"), store).rows
    assert first.volumes == second.volumes
    assert len(store.names("raw")) == 1


def test_a_dropped_connection_is_taken_up_where_it_broke(web: WebServer, store: Store) -> None:
    web.drop_after_bytes = [1_500_000, 1_000_000]
    (row,) = fetched(web.url("/books/"), store).rows
    assert row.sha256 == sha256(BOOK)
    spans = [span for _, span in web.downloads]
    offsets = [int(span.removeprefix("bytes=").rstrip("-")) for span in spans[1:]]
    assert len(spans) == 3
    assert 0 < offsets[0] <= 1_500_000
    assert offsets[0] < offsets[1] <= 2_500_000


def test_without_ranges_it_starts_over(web: WebServer, store: Store) -> None:
    web.honours_ranges = False
    web.drop_after_bytes = [1_000_000]
    (row,) = fetched(web.url("/books/"), store).rows
    assert row.sha256 == sha256(BOOK)
    assert len(web.downloads) == 2


def test_a_server_that_is_busy_is_asked_again(web: WebServer, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    web.failures = [503, 429]
    with caplog.at_level(logging.WARNING):
        (row,) = fetched(web.url("/books/"), store).rows
    assert row.sha256 == sha256(BOOK)
    assert "attempt 1 failed" in caplog.text


def test_after_all_attempts_it_gives_up_and_keeps_what_came(web: WebServer, store: Store) -> None:
    web.drop_after_bytes = [1_000_000]
    web.failures = []
    shard = listed(web.url("/books/"), store)
    with pytest.raises(FetchError, match="not fetched after 1 attempts"):
        fetch_archives(shard, store, attempts=1)
    assert store.names("raw") == []
    (row,) = fetch_archives(shard, store, attempts=1).rows
    assert row.sha256 == sha256(BOOK)
    assert web.downloads[-1][1].startswith("bytes=")
    assert litter(store) == []


def test_a_volume_that_vanished_after_it_was_listed(web: WebServer, store: Store) -> None:
    shard = listed(web.url("/books/"), store)
    del web.files["/books/b.rar"]
    with pytest.raises(FetchError, match=r"b\.rar: not fetched after 2 attempts"):
        fetch_archives(shard, store, attempts=2)


@pytest.mark.parametrize("tells_version", [True, False])
@pytest.mark.parametrize("other", [BOOK + b"more", BOOK[:-1]])
def test_a_volume_that_changed_after_it_was_listed(
    web: WebServer, store: Store, other: bytes, tells_version: bool
) -> None:
    web.tells_version = tells_version
    shard = listed(web.url("/books/"), store)
    web.files["/books/b.rar"] = other
    with pytest.raises(FetchError, match=r"changed since it was listed|where the listing says"):
        fetch_archives(shard, store, attempts=2)
    assert store.names("raw") == []


def test_a_local_file_that_changed_after_it_was_listed(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.rar").write_bytes(b"alpha")
    shard = listed(str(tmp_path / "a.rar"), store)
    (tmp_path / "a.rar").write_bytes(b"alphabet")
    with pytest.raises(FetchError, match=r"changed since it was listed"):
        fetch_archives(shard, store, attempts=1)


def test_a_volume_whose_raw_file_was_cleared_away_is_fetched_again(web: WebServer, store: Store) -> None:
    (row,) = fetched(web.url("/books/"), store).rows
    store.delete(row.volumes[0])
    web.files["/books/c.rar"] = b"another"
    fetched(web.url("/books/"), store)
    assert store.read_bytes(row.volumes[0]) == BOOK


KILLED = """
import sys
from pagemill.archives import fetch_archives, read_shard
from pagemill.storage import Store
store = Store(sys.argv[1])
fetch_archives(read_shard(sys.argv[2], store), store)
"""


def test_a_killed_process_is_taken_up_by_the_next(web: WebServer, store: Store) -> None:
    web.hold_after_bytes = 2_000_000
    (name,) = plan_shards(discover_archives(web.url("/books/"), store), store)
    process = subprocess.Popen([sys.executable, "-c", KILLED, store.root, name])
    while not any(path.stat().st_size >= 1_000_000 for path in Path(store.root).glob(".tmp-fetch-*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    web.hold_after_bytes = None
    (row,) = fetch_archives(read_shard(name, store), store).rows
    assert row.sha256 == sha256(BOOK)
    offset = int(web.downloads[-1][1].removeprefix("bytes=").rstrip("-"))
    assert 1_000_000 <= offset <= 2_000_000
    assert litter(store) == []


def test_a_bucket_as_source_and_as_store() -> None:
    import gcsfs

    with gcs_server():
        bucket = gcsfs.GCSFileSystem(token="anon", project="books", skip_instance_cache=True)
        bucket.mkdir("library")
        bucket.pipe("library/a.rar", BOOK)
        store = Store("gs://library/store")
        (row,) = fetched("gs://library/a.rar", store).rows
        assert store.read_bytes(row.volumes[0]) == BOOK
        assert row.sha256 == sha256(BOOK)


FROM_THE_HUB = """
import json, sys
from pagemill.archives import discover_archives, fetch_archives, plan_shards, read_shard
from pagemill.storage import Store
store = Store(sys.argv[1])
found = discover_archives(sys.argv[2], store)
(name,) = plan_shards(found, store)
fetched = fetch_archives(read_shard(name, store), store)
print(json.dumps([found.rows[0].to_dict(), fetched.rows[0].to_dict()]))
"""


def test_a_dataset_repository(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, because the client reads the Hub's address when it is imported."""
    with running_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        hub_api = HfApi(endpoint=hub.endpoint, token=hub.token)
        hub_api.create_repo(f"{USER}/library", repo_type="dataset")
        hub_api.upload_file(
            path_or_fileobj=BOOK, path_in_repo="math/b.rar", repo_id=f"{USER}/library", repo_type="dataset"
        )
        hub_variables = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1"}
        source = f"hf://datasets/{USER}/library@main/math"
        command = [sys.executable, "-c", FROM_THE_HUB, store.root, source]
        answer = subprocess.run(command, env=os.environ | hub_variables, capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr.decode()
    found, row = json.loads(answer.stdout)
    (volume,) = found["volumes"]
    assert volume["uri"] == f"hf://datasets/{USER}/library@main/math/b.rar"
    assert volume["version"] == sha256(BOOK)
    assert row["sha256"] == sha256(BOOK)
