"""Manifests and stages: the same work is done once, and its result is found again."""

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill import __version__
from pagemill.manifest import Manifest, Outcome, Stage, find_manifest
from pagemill.records import BookRecord, Reason, Status, Volume
from pagemill.storage import Store

VOLUMES = Stage("list_volumes", 1, Volume)
BOOKS = Stage("read_books", 3, BookRecord)
A, B = Volume("file:///a", 1, ""), Volume("file:///b", 2, "")
GOOD = BookRecord("aa", "pages/k/aa.jsonl", 12, Status.OK)
BAD = BookRecord("bb", "", 0, Status.FAILED, Reason.BROKEN_PDF, "no trailer")
plain_values = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
parameters = st.dictionaries(st.text(max_size=4), plain_values, max_size=4)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


class Work:
    """The body of a stage, which counts how often it runs."""

    def __init__(self, *rows: Any, **counts: int) -> None:
        self.rows, self.counts, self.runs = rows, counts, 0

    def __call__(self) -> Outcome[Any]:
        self.runs += 1
        return Outcome(self.rows, self.counts)


def read_books(
    store: Store, parents: list[Manifest[Any]], settings: Mapping[str, Any], **parameters: Any
) -> Manifest[BookRecord]:
    return BOOKS.once(store, parents, parameters, Work(GOOD), settings)


class TestOnce:
    def test_work_is_done_once(self, store: Store) -> None:
        work = Work(A, B)
        first = VOLUMES.once(store, [], {"pattern": "*.rar"}, work)
        second = VOLUMES.once(store, [], {"pattern": "*.rar"}, work)

        assert work.runs == 1
        assert second == first
        assert second.rows == (A, B)
        assert (second.seconds, second.finished) == (first.seconds, first.finished)

    def test_work_is_done_once_across_processes(self, tmp_path: Path) -> None:
        VOLUMES.once(Store(str(tmp_path)), [], {}, Work(A))
        again = Work(B)
        assert VOLUMES.once(Store(str(tmp_path)), [], {}, again).rows == (A,)
        assert again.runs == 0

    def test_the_second_time_nothing_is_written(self, store: Store, tmp_path: Path) -> None:
        manifest = VOLUMES.once(store, [], {}, Work(A))
        written = (tmp_path / manifest.name).stat().st_mtime_ns
        VOLUMES.once(store, [], {}, Work(A))
        assert (tmp_path / manifest.name).stat().st_mtime_ns == written

    @pytest.mark.parametrize(
        "other",
        [
            lambda store, parent, work: Stage("other_stage", 1, Volume).once(store, [parent], {"dpi": 96}, work),
            lambda store, parent, work: Stage("list_volumes", 2, Volume).once(store, [parent], {"dpi": 96}, work),
            lambda store, parent, work: VOLUMES.once(store, [parent], {"dpi": 200}, work),
            lambda store, parent, work: VOLUMES.once(store, [parent], {"dpi": 96, "more": True}, work),
            lambda store, parent, work: VOLUMES.once(store, [], {"dpi": 96}, work),
            lambda store, parent, work: VOLUMES.once(store, [parent, parent], {"dpi": 96}, work),
        ],
        ids=["stage", "version", "parameter", "further parameter", "no parents", "more parents"],
    )
    def test_other_work_is_done_anew(self, store: Store, other: Callable[..., Manifest[Volume]]) -> None:
        parent = BOOKS.once(store, [], {}, Work(GOOD))
        first = VOLUMES.once(store, [parent], {"dpi": 96}, Work(A))
        second = other(store, parent, Work(B))
        assert second.rows == (B,)
        assert second.name != first.name

    def test_settings_do_not_make_other_work(self, store: Store) -> None:
        VOLUMES.once(store, [], {}, Work(A), {"workers": 1})
        again = Work(A)
        assert VOLUMES.once(store, [], {}, again, {"workers": 8}).settings == {"workers": 1}
        assert again.runs == 0

    def test_the_order_of_parents_does_not_matter(self, store: Store) -> None:
        one, other = (VOLUMES.once(store, [], {"part": part}, Work(A)) for part in (1, 2))
        assert read_books(store, [one, other], {}).name == read_books(store, [other, one], {}).name

    def test_work_that_fails_leaves_no_manifest(self, store: Store) -> None:
        def body() -> Outcome[Volume]:
            raise ConnectionError("the network is down")

        with pytest.raises(ConnectionError):
            VOLUMES.once(store, [], {}, body)
        assert VOLUMES.once(store, [], {}, Work(A)).rows == (A,)

    def test_parameters_that_are_not_json_are_refused_before_the_work(self, store: Store) -> None:
        work = Work(A)
        with pytest.raises(TypeError):
            VOLUMES.once(store, [], {"path": Path("a")}, work)
        assert work.runs == 0


class TestManifest:
    def test_it_says_what_was_made_of_what(self, store: Store) -> None:
        parent = VOLUMES.once(store, [], {}, Work(A))
        manifest = BOOKS.once(store, [parent], {"dpi": 96}, Work(GOOD, BAD, pages=12), {"workers": 2})

        assert (manifest.stage, manifest.version, manifest.parents) == ("read_books", 3, (parent.name,))
        assert (manifest.parameters, manifest.settings) == ({"dpi": 96}, {"workers": 2})
        assert manifest.counts == {"rows": 2, "rows_failed": 1, "rows_ok": 1, "pages": 12}
        assert manifest.seconds >= 0
        assert manifest.finished.endswith("+00:00")

    def test_it_lies_in_the_store_under_its_name(self, store: Store) -> None:
        manifest = BOOKS.once(store, [], {"dpi": 96}, Work(GOOD, BAD))
        assert manifest.name == f"manifests/read_books/root/{manifest.config_key}.json"
        assert Manifest.load(store, manifest.name, BookRecord) == manifest

    def test_its_key_is_known_before_the_work(self, store: Store) -> None:
        key = BOOKS.config_key({"dpi": 96, "max_tokens": 4096})
        assert BOOKS.once(store, [], {"max_tokens": 4096, "dpi": 96}, Work(GOOD)).config_key == key

    def test_it_goes_to_a_file_and_back(self, store: Store, tmp_path: Path) -> None:
        manifest = BOOKS.once(store, [], {"dpi": 96}, Work(GOOD, BAD), {"workers": 2})
        manifest.write(tmp_path / "artifacts" / "books")
        read = Manifest.read(tmp_path / "artifacts" / "books", BookRecord)
        assert read == manifest
        assert (read.settings, read.seconds, read.finished) == (manifest.settings, manifest.seconds, manifest.finished)

    def test_equal_manifests_may_have_been_measured_differently(self, tmp_path: Path) -> None:
        one, other = (Store(str(tmp_path / name)) for name in ("one", "other"))
        assert read_books(one, [], {"workers": 1}) == read_books(other, [], {"workers": 2})

    def test_its_lineage_is_what_an_artifact_carries(self, store: Store) -> None:
        manifest = BOOKS.once(store, [], {"dpi": 96}, Work(GOOD, pages=12))
        assert manifest.lineage() == {
            "manifest": manifest.name,
            "stage": "read_books",
            "stage_version": 3,
            "pagemill_version": __version__,
            "config_digest": manifest.config_key,
            "parameters": '{"dpi": 96}',
            "seconds": round(manifest.seconds, 3),
            "rows": 1,
            "rows_ok": 1,
            "pages": 12,
        }

    def test_a_manifest_without_rows_is_one(self, store: Store) -> None:
        manifest = VOLUMES.once(store, [], {}, Work())
        assert (manifest.rows, manifest.counts) == ((), {"rows": 0})
        assert Manifest.load(store, manifest.name, Volume) == manifest

    def test_one_that_is_missing_is_an_error(self, store: Store) -> None:
        with pytest.raises(FileNotFoundError):
            Manifest.load(store, "manifests/read_books/root/none.json", BookRecord)

    def test_rows_of_another_kind_are_an_error(self, store: Store) -> None:
        manifest = BOOKS.once(store, [], {}, Work(GOOD))
        with pytest.raises(TypeError):
            Manifest.load(store, manifest.name, Volume)

    @given(parameters)
    @settings(max_examples=40, deadline=None)
    def test_parameters_come_back_whatever_they_are(self, parameters: dict[str, Any]) -> None:
        store = Store(f"memory://{uuid.uuid4().hex}")
        manifest = VOLUMES.once(store, [], parameters, Work(A))
        assert Manifest.load(store, manifest.name, Volume).parameters == parameters
        assert json.loads(str(manifest.lineage()["parameters"])) == parameters

    @given(parameters, parameters)
    @settings(max_examples=40, deadline=None)
    def test_keys_agree_when_parameters_do(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
        assert (VOLUMES.config_key(one) == VOLUMES.config_key(other)) is same


class TestFind:
    def test_it_finds_by_parents_and_parameters(self, store: Store) -> None:
        parents = [VOLUMES.once(store, [], {}, Work(A))]
        coarse, fine = (read_books(store, parents, {}, dpi=dpi) for dpi in (96, 200))
        assert find_manifest(store, "read_books", BookRecord, parents, {"dpi": 96}) == coarse
        assert find_manifest(store, "read_books", BookRecord, parents, {"dpi": 200}) == fine
        assert find_manifest(store, "read_books", BookRecord, parents, {"dpi": 300}) is None
        assert find_manifest(store, "read_books", BookRecord, [], {"dpi": 96}) is None
        assert find_manifest(store, "other_stage", BookRecord, parents, {"dpi": 96}) is None

    def test_what_lost_its_type_on_the_way_is_recognised(self, store: Store) -> None:
        manifest = read_books(store, [], {}, dpi=96, fallback=True, checkpoint="small")
        wanted = {"dpi": "96", "fallback": "True", "checkpoint": "small"}
        assert find_manifest(store, "read_books", BookRecord, [], wanted) == manifest

    def test_settings_decide_between_equals_but_rule_nothing_out(self, store: Store) -> None:
        small = read_books(store, [], {"checkpoint": "/models/small"}, checkpoint_sha256="ab")
        base = read_books(store, [], {"checkpoint": "/models/base"}, checkpoint_sha256="cd")
        for wanted, found in (("/models/small", small), ("/models/base", base)):
            assert find_manifest(store, "read_books", BookRecord, [], {"checkpoint": wanted}) == found
        assert find_manifest(store, "read_books", BookRecord, [], {"checkpoint": "/moved/small"}) in (small, base)

    def test_names_that_the_stage_does_not_know_are_passed_over(self, store: Store) -> None:
        manifest = read_books(store, [], {}, dpi=96)
        assert find_manifest(store, "read_books", BookRecord, [], {"publish": "out"}) == manifest

    def test_the_latest_of_several_is_taken(self, store: Store) -> None:
        for dpi, finished in ((96, "2026-01-02"), (200, "2026-01-03"), (300, "2026-01-01")):
            manifest = read_books(store, [], {}, dpi=dpi)
            store.write_json(manifest.name, manifest.to_dict() | {"finished": finished})
        found = find_manifest(store, "read_books", BookRecord, [], {})
        assert found is not None
        assert found.parameters == {"dpi": 200}
