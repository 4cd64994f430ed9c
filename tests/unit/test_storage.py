"""The store: files appear whole or not at all, under names that mean the same on every file system."""

import hashlib
import json
import multiprocessing
import signal
import string
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.storage import Store, digest, open_store

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(max_size=3), json_values, max_size=3)
names = st.lists(st.text(string.ascii_letters + string.digits + "-_.=", min_size=1, max_size=6), min_size=1, max_size=3)


@pytest.fixture(params=["path", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store that does not exist yet, on each kind of file system."""
    uris = {
        "path": str(tmp_path / "store"),
        "file": f"file://{tmp_path}/store",
        "memory": f"memory://{uuid.uuid4().hex}/store",
    }
    return Store(uris[request.param])


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestFiles:
    def test_what_is_written_can_be_read(self, store: Store) -> None:
        store.write_bytes("raw/ab.rar", b"content")
        assert store.exists("raw/ab.rar")
        assert store.read_bytes("raw/ab.rar") == b"content"
        assert store.size_bytes("raw/ab.rar") == 7

    def test_writing_again_replaces(self, store: Store) -> None:
        store.write_bytes("name", b"a longer first content")
        store.write_bytes("name", b"second")
        assert store.read_bytes("name") == b"second"

    def test_an_empty_file_is_a_file(self, store: Store) -> None:
        store.write_bytes("empty", b"")
        assert store.exists("empty")
        assert store.size_bytes("empty") == 0

    def test_nothing_is_there_at_first(self, store: Store) -> None:
        assert not store.exists("raw/ab.rar")
        assert store.names("raw") == store.folders() == []
        with pytest.raises(FileNotFoundError):
            store.read_bytes("raw/ab.rar")
        with pytest.raises(FileNotFoundError):
            store.size_bytes("raw/ab.rar")

    @pytest.mark.parametrize("uri", ["nosuch://place/store", "abfs://needs/a/package"])
    def test_a_file_system_that_is_not_there_is_told_in_a_line(self, uri: str) -> None:
        with pytest.raises(UserError, match=f"store {uri}: cannot be used"):
            open_store(uri)

    def test_a_folder_is_not_a_file(self, store: Store) -> None:
        store.write_bytes("raw/ab.rar", b"content")
        assert not store.exists("raw")

    def test_deleting_twice_is_deleting_once(self, store: Store) -> None:
        store.write_bytes("raw/ab.rar", b"content")
        store.delete("raw/ab.rar")
        store.delete("raw/ab.rar")
        assert not store.exists("raw/ab.rar")

    def test_streams_are_read_piece_by_piece(self, store: Store) -> None:
        store.write_bytes("name", b"0123456789")
        with store.reading("name") as stream:
            assert (stream.read(4), stream.read(4), stream.read()) == (b"0123", b"4567", b"89")

    def test_the_uri_of_a_name_opens_the_same_file(self, store: Store) -> None:
        store.write_bytes("raw/ab.rar", b"content")
        folder, _, name = store.uri_of("raw/ab.rar").rpartition("/")
        assert Store(folder).read_bytes(name) == b"content"

    @given(names)
    @settings(max_examples=25, deadline=None)
    def test_any_plain_name_will_do(self, parts: list[str]) -> None:
        store, name = Store(f"memory://{uuid.uuid4().hex}"), "/".join(f"n{part}" for part in parts)
        store.write_bytes(name, b"content")
        assert store.read_bytes(name) == b"content"
        assert store.names("/".join(f"n{part}" for part in parts[:-1])) == [name]


class TestListing:
    def test_names_and_folders_are_sorted_and_one_level_deep(self, store: Store) -> None:
        for name in ("b/2", "b/10", "b/c/1", "a/1", "top"):
            store.write_bytes(name, b"")
        assert store.names("b") == ["b/10", "b/2"]
        assert store.folders("b") == ["b/c"]
        assert store.folders() == ["a", "b"]
        assert store.names("") == ["top"]

    def test_unfinished_files_are_not_listed(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        with store.staging() as staged:
            staged.write_bytes(b"half")
            assert store.names("") == []

    def test_files_of_another_process_are_seen(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        assert store.names("pdf") == []
        writing = "import sys; from pagemill.storage import Store; Store(sys.argv[1]).write_bytes('pdf/a', b'')"
        subprocess.run([sys.executable, "-c", writing, str(tmp_path)], check=True)
        assert store.names("pdf") == ["pdf/a"]


class TestWholeOrNotAtAll:
    def test_a_file_appears_when_the_block_ends(self, store: Store) -> None:
        with store.writing("pdf/a") as stream:
            stream.write(b"whole")
            assert not store.exists("pdf/a")
        assert store.read_bytes("pdf/a") == b"whole"

    def test_a_block_that_fails_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(TypeError), store.writing("pdf/a") as stream:
            stream.writelines([b"half", "not bytes"])
        assert not store.exists("pdf/a")

    def test_a_block_that_fails_leaves_the_file_that_was_there(self, store: Store) -> None:
        store.write_bytes("pdf/a", b"old")
        with pytest.raises(TypeError), store.writing("pdf/a") as stream:
            stream.writelines([b"new", "not bytes"])
        assert store.read_bytes("pdf/a") == b"old"

    def test_rows_that_fail_halfway_leave_nothing(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError):
            store.write_jsonl("rows", ({"share": 1 / number} for number in (2, 1, 0)))
        assert not store.exists("rows")

    def test_temporary_files_are_removed(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        store.write_bytes("pdf/a", b"whole")
        with pytest.raises(RuntimeError), store.writing("pdf/b"):
            raise RuntimeError
        assert files_below(tmp_path) == ["pdf/a"]

    def test_a_writer_that_is_killed_leaves_no_file_of_that_name(self, tmp_path: Path) -> None:
        killed = (
            "import os, signal, sys; from pagemill.storage import Store\n"
            "with Store(sys.argv[1]).writing('pdf/a') as stream:\n"
            "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)"
        )
        ended = subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert not Store(str(tmp_path)).exists("pdf/a")
        assert Store(str(tmp_path)).names("") == []

    def test_two_writers_of_one_name_leave_one_whole_file(self, tmp_path: Path) -> None:
        contents = [bytes([number]) * 200_000 for number in range(4)]
        with multiprocessing.get_context("forkserver").Pool(2) as pool:
            pool.starmap(Store(str(tmp_path)).write_bytes, [("pdf/a", content) for content in contents])
        assert Store(str(tmp_path)).read_bytes("pdf/a") in contents
        assert files_below(tmp_path) == ["pdf/a"]


class TestStagingAndLocal:
    def test_a_staged_file_is_adopted_under_a_name_found_later(self, store: Store) -> None:
        with store.staging() as staged:
            staged.write_bytes(b"content")
            store.adopt(staged, f"pdf/{hashlib.sha256(b'content').hexdigest()}")
        assert store.read_bytes(f"pdf/{hashlib.sha256(b'content').hexdigest()}") == b"content"
        assert not staged.exists()

    def test_a_staged_file_that_is_not_adopted_goes(self, store: Store) -> None:
        with store.staging() as staged:
            staged.write_bytes(b"content")
        assert not staged.exists()

    def test_a_local_store_stages_on_its_own_disk(self, tmp_path: Path) -> None:
        with Store(str(tmp_path / "store")).staging() as staged:
            assert staged.parent == tmp_path / "store"

    def test_a_file_is_had_as_a_local_path(self, store: Store) -> None:
        store.write_bytes("pdf/a", b"content")
        with store.local("pdf/a") as path:
            assert path.read_bytes() == b"content"
        assert store.read_bytes("pdf/a") == b"content"

    def test_a_local_file_is_not_copied(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        store.write_bytes("pdf/a", b"content")
        with store.local("pdf/a") as path:
            assert path == tmp_path / "pdf" / "a"

    def test_a_remote_files_copy_goes_with_the_block(self) -> None:
        store = Store(f"memory://{uuid.uuid4().hex}")
        store.write_bytes("pdf/a", b"content")
        with store.local("pdf/a") as path:
            pass
        assert not path.exists()

    def test_a_file_that_is_missing_has_no_remote_copy(self) -> None:
        with pytest.raises(FileNotFoundError), Store(f"memory://{uuid.uuid4().hex}").local("pdf/a"):
            pass


class TestJson:
    @given(json_values)
    @settings(max_examples=25, deadline=None)
    def test_values_come_back(self, value: Any) -> None:
        store = Store(f"memory://{uuid.uuid4().hex}")
        store.write_json("value", value)
        assert store.read_json("value") == value

    @given(st.lists(json_objects, max_size=4))
    @settings(max_examples=25, deadline=None)
    def test_rows_come_back_in_order(self, rows: list[dict[str, Any]]) -> None:
        store = Store(f"memory://{uuid.uuid4().hex}")
        store.write_jsonl("rows", rows)
        assert list(store.read_jsonl("rows")) == rows
        assert store.read_bytes("rows").count(b"\n") == len(rows)

    def test_equal_values_are_equal_bytes(self, store: Store) -> None:
        store.write_json("one", {"a": 1, "b": 2})
        store.write_json("other", {"b": 2, "a": 1})
        assert store.read_bytes("one") == store.read_bytes("other")

    def test_damaged_json_is_an_error(self, store: Store) -> None:
        store.write_bytes("value", b'{"half": ')
        with pytest.raises(json.JSONDecodeError):
            store.read_json("value")


class TestDigest:
    def test_it_is_the_sha256_of_canonical_json(self) -> None:
        assert digest({"b": [1, "ä"], "a": None}) == hashlib.sha256(rb'{"a":null,"b":[1,"\u00e4"]}').hexdigest()

    @given(json_objects)
    @settings(max_examples=25, deadline=None)
    def test_the_order_of_names_does_not_matter(self, value: dict[str, Any]) -> None:
        assert digest(dict(reversed(value.items()))) == digest(value)

    def test_other_values_have_other_digests(self) -> None:
        values = [None, 0, 1, "1", [], [1], {}, {"a": 1}, {"a": "1"}]
        assert len({digest(value) for value in values}) == len(values)

    def test_what_is_not_json_is_an_error(self) -> None:
        with pytest.raises(TypeError):
            digest({"path": Path("a")})
