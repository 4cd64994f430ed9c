"""Publishing to folders on any file system: what is written, what is left alone, what is refused."""

import hashlib
import os
from pathlib import Path

import pytest

from pagemill.dataset.publish import publish_dataset
from pagemill.errors import UserError
from pagemill.storage import Store
from tests.built_dataset import CARD, FILES, FIRST_SHARD, JSONL, built


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_folder_holds_all_files_and_their_checksums(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    publication = publish_dataset(built(store), store, publish=str(folder))

    checksums = "".join(f"{hashlib.sha256(FILES[path]).hexdigest()}  {path}\n" for path in sorted(FILES))
    assert files_in(folder) == FILES | {"SHA256SUMS": checksums.encode()}
    assert (publication.uri, publication.files, publication.files_sent) == (str(folder), 4, 4)
    assert publication.bytes_sent == sum(map(len, FILES.values()))


def test_a_second_publication_writes_nothing(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    first = publish_dataset(built(store), store, publish=str(folder))
    for path in folder.rglob("*"):
        os.utime(path, ns=(0, 0))
    second = publish_dataset(built(store), store, publish=str(folder))

    assert second.revision == first.revision
    assert (second.files_sent, second.bytes_sent) == (0, 0)
    assert {path.stat().st_mtime_ns for path in folder.rglob("*")} == {0}


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_only_what_changed_is_written_and_stale_shards_go(store: Store, tmp_path: Path, scheme: str) -> None:
    folder = f"{scheme}://{tmp_path}/published"
    first = publish_dataset(built(store), store, publish=folder)
    Store(folder).write_bytes("data/chunks/of-the-owner.txt", b"mine")
    revised = {"README.md": CARD, FIRST_SHARD: b"FIRST shard", JSONL: FILES[JSONL]}
    second = publish_dataset(built(store, revised), store, publish=folder)

    target = Store(folder)
    assert (second.files_sent, second.bytes_sent) == (1, len(b"FIRST shard"))
    assert second.revision != first.revision
    assert target.names("data/chunks") == ["data/chunks/of-the-owner.txt", FIRST_SHARD]
    assert target.read_bytes(FIRST_SHARD) == b"FIRST shard"
    assert len(target.read_bytes("SHA256SUMS").splitlines()) == 3


def test_a_damaged_copy_is_written_anew(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    publish_dataset(built(store), store, publish=str(folder))
    (folder / FIRST_SHARD).write_bytes(FILES[FIRST_SHARD].upper())
    publication = publish_dataset(built(store), store, publish=str(folder))

    assert publication.files_sent == 1
    assert (folder / FIRST_SHARD).read_bytes() == FILES[FIRST_SHARD]


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_an_interrupted_publication_is_neither_trusted_nor_left_behind(
    store: Store, tmp_path: Path, scheme: str
) -> None:
    folder = f"{scheme}://{tmp_path}/interrupted"
    publish_dataset(built(store), store, publish=folder)
    documents, pages = "data/documents/train-00000-of-00001.parquet", "data/pages/train-00000-of-00001.parquet"
    larger = built(store, FILES | {FIRST_SHARD: b"FIRST shard", documents: b"d", pages: b"p"})
    store.write_bytes(larger.rows[-1].stored, b"damaged")
    with pytest.raises(OSError, match="damaged"):
        publish_dataset(larger, store, publish=folder)
    target = Store(folder)
    assert (target.read_bytes(FIRST_SHARD), target.read_bytes(documents)) == (b"FIRST shard", b"d")
    publication = publish_dataset(built(store), store, publish=folder)

    assert publication.files_sent == 1
    assert target.read_bytes(FIRST_SHARD) == FILES[FIRST_SHARD]
    assert not target.exists(documents)
    assert len(target.read_bytes("SHA256SUMS").splitlines()) == 4


def test_a_list_of_checksums_deletes_nothing_outside_the_datasets_own_folders(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    (tmp_path / "outside").write_text("mine")
    (folder / "thesis.pdf").write_text("mine")
    climbing = ["../outside", "data/../../outside", str(tmp_path / "outside")]
    paths = [*climbing, "thesis.pdf", "data", "data/chunks", "."]
    (folder / "SHA256SUMS").write_text("".join(f"{'1' * 64}  {path}\n" for path in paths))
    publish_dataset(built(store), store, publish=str(folder))

    assert (tmp_path / "outside").read_text() == (folder / "thesis.pdf").read_text() == "mine"


@pytest.mark.parametrize("target", ["", "nothing://folder"])
def test_what_is_no_folder_is_refused(store: Store, target: str) -> None:
    with pytest.raises(UserError, match="hf://<user>/<name>"):
        publish_dataset(built(store), store, publish=target)


def test_a_file_is_no_folder(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="not a folder"):
        publish_dataset(built(store), store, publish=str(tmp_path / "file"))
