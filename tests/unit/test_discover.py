"""Discovery: what lies at a source, grouped into archives, before anything is downloaded."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.archives import discover_archives, fingerprint_of
from pagemill.archives.volumes import group_volumes, missing_names, parse_volume_name, positions, sibling_name
from pagemill.errors import UserError
from pagemill.manifest import Manifest, find_manifest
from pagemill.records import Archive
from pagemill.storage import Store
from tests.servers import gcs_server, web_server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


def put(folder: Path, *names: str, size_bytes: int = 10) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size_bytes)


def names(manifest: Manifest[Archive]) -> list[str]:
    return [archive.name for archive in manifest.rows]


def volume_names(archive: Archive) -> list[str]:
    return [volume.uri.rsplit("/", 1)[-1] for volume in archive.volumes]


def test_a_folder_is_searched_to_its_depths_and_only_for_archives(folder: Path, store: Store) -> None:
    put(folder, "b.rar", "a/deep/one.rar", "notes.txt", "c.zip")
    assert names(discover_archives(str(folder), store)) == ["a/deep/one.rar", "b.rar"]


def test_a_volume_tells_its_size_version_and_time(folder: Path, store: Store) -> None:
    put(folder, "b.rar", size_bytes=123)
    os.utime(folder / "b.rar", (1_700_000_000, 1_700_000_000))
    (volume,) = discover_archives(str(folder), store).rows[0].volumes
    assert volume.uri == f"file://{folder}/b.rar"
    assert (volume.size_bytes, volume.modified) == (123, "2023-11-14T22:13:20+00:00")
    assert volume.version


def test_counts(folder: Path, store: Store) -> None:
    put(folder, "a.rar", "b.part1.rar", "b.part3.rar")
    counts = discover_archives(str(folder), store).counts
    assert counts == {"rows": 2, "archives": 2, "volumes": 3, "bytes": 30, "archives_incomplete": 1}


def test_new_style_volumes_are_ordered_by_number_not_by_letter(folder: Path, store: Store) -> None:
    put(folder, *(f"set.part{number}.rar" for number in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)))
    (archive,) = discover_archives(str(folder), store).rows
    assert volume_names(archive) == [f"set.part{number}.rar" for number in range(1, 11)]
    assert archive.missing == ()


def test_old_style_volumes_in_mixed_case(folder: Path, store: Store) -> None:
    put(folder, "Book.R01", "Book.RAR", "book.r00")
    (archive,) = discover_archives(str(folder), store).rows
    assert volume_names(archive) == ["Book.RAR", "book.r00", "Book.R01"]


def test_missing_volumes_are_named_before_anything_is_downloaded(folder: Path, store: Store) -> None:
    put(folder, "set.part02.rar", "set.part05.rar", "old.r01")
    old, new = discover_archives(str(folder), store).rows
    assert (new.name, new.missing) == ("set.part01.rar", ("set.part01.rar", "set.part03.rar", "set.part04.rar"))
    assert (old.name, old.missing) == ("old.rar", ("old.rar", "old.r00"))


def test_sets_of_one_name_in_two_folders_stay_apart(folder: Path, store: Store) -> None:
    put(folder, "x/set.part1.rar", "y/set.part2.rar")
    assert [len(archive.volumes) for archive in discover_archives(str(folder), store).rows] == [1, 1]


def test_a_single_file_brings_its_volumes_along_and_nothing_else(folder: Path, store: Store) -> None:
    put(folder, "set.part1.rar", "set.part2.rar", "other.rar")
    for named in ("set.part1.rar", "set.part2.rar"):
        (archive,) = discover_archives(str(folder / named), store).rows
        assert volume_names(archive) == ["set.part1.rar", "set.part2.rar"]


def test_a_glob_as_source(folder: Path, store: Store) -> None:
    put(folder, "math/a.rar", "math/more/b.rar", "art/c.rar")
    assert names(discover_archives(f"{folder}/m*/*.rar", store)) == ["math/a.rar"]
    assert names(discover_archives(f"{folder}/**/*.rar", store)) == ["art/c.rar", "math/a.rar", "math/more/b.rar"]


def test_a_file_whose_name_looks_like_a_glob(folder: Path, store: Store) -> None:
    put(folder, "book [1].rar", "book 1.rar")
    assert names(discover_archives(str(folder / "book [1].rar"), store)) == ["book [1].rar"]


def test_the_pattern_chooses_among_first_volumes(folder: Path, store: Store) -> None:
    put(folder, "math-1.rar", "art.rar", "math-2.part1.rar", "math-2.part2.rar")
    assert names(discover_archives(str(folder), store, pattern="MATH*.rar")) == ["math-1.rar", "math-2.part1.rar"]


def test_the_same_content_gives_the_same_manifest(folder: Path, store: Store) -> None:
    put(folder, "a.rar", "b.rar")
    first, second = (discover_archives(str(folder), store) for _ in range(2))
    assert first == second
    assert first.name == second.name
    assert first.parameters["fingerprint"] == fingerprint_of(str(folder), "*.rar")


def test_a_changed_file_changes_the_fingerprint(folder: Path) -> None:
    put(folder, "a.rar", "b.rar")
    before = fingerprint_of(str(folder), "*.rar")
    put(folder, "b.rar", size_bytes=11)
    assert fingerprint_of(str(folder), "*.rar") != before


def test_the_state_that_a_source_is_expected_in_finds_its_manifest_again(folder: Path, store: Store) -> None:
    put(folder, "a.rar")
    monday, tuesday = (discover_archives(str(folder), store, source_fingerprint=day) for day in ("monday", "tuesday"))
    assert monday.rows == tuesday.rows
    assert find_manifest(store, "discover_archives", Archive, [], {"source_fingerprint": "monday"}) == monday


def test_a_password_in_a_url_is_refused_and_not_repeated(store: Store) -> None:
    with pytest.raises(UserError) as refused:
        discover_archives("https://me:hunter2@example.org/books/", store)
    assert "hunter2" not in str(refused.value)
    assert "https://example.org/books/" in str(refused.value)


def test_missing_volumes_are_named_in_the_log(folder: Path, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    put(folder, "set.part1.rar", "set.part3.rar")
    discover_archives(str(folder), store)
    assert "set.part1.rar: lacks set.part2.rar" in caplog.text


def test_fingerprint_of_writes_nothing(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.rar")
    fingerprint_of(str(folder), "*.rar")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.rar", "source"]


@pytest.mark.parametrize("source", ["/no/such/folder", "/no/such/*.rar", "nosuch://protocol/x", "memory://nothing"])
def test_a_source_that_is_not_there(source: str, store: Store) -> None:
    with pytest.raises(UserError, match=source.split("*")[0]):
        discover_archives(source, store)


def test_a_source_without_archives(folder: Path, store: Store) -> None:
    put(folder, "a.zip")
    with pytest.raises(UserError, match="holds no archive"):
        discover_archives(str(folder), store)


def test_a_web_index(store: Store) -> None:
    with web_server() as web:
        web.files = {"/books/b.rar": b"12345", "/books/a.part1.rar": b"1", "/books/a.part3.rar": b"3", "/c.rar": b"0"}
        a, b = discover_archives(web.url("/books/"), store).rows
    assert (a.name, a.missing) == ("a.part1.rar", ("a.part2.rar",))
    assert b.volumes[0].uri == web.url("/books/b.rar")
    assert b.volumes[0].version == "827ccb0eea8a706c4c34a16891f84e7b"
    assert (b.volumes[0].size_bytes, b.volumes[0].modified) == (5, "2023-11-14T22:13:20+00:00")


@pytest.mark.parametrize("shows_index", [True, False])
def test_a_web_file(store: Store, shows_index: bool) -> None:
    with web_server() as web:
        web.shows_index = shows_index
        web.files = {"/my books/a b.rar": b"12345", "/my books/c.rar": b"1"}
        (archive,) = discover_archives(web.url("/my books/a b.rar"), store).rows
    assert (archive.name, archive.size_bytes) == ("a b.rar", 5)


def test_a_web_page_that_is_not_there(store: Store) -> None:
    with web_server() as web, pytest.raises(UserError, match="does not exist"):
        discover_archives(web.url("/nothing.rar"), store)


def test_a_web_server_that_is_down(store: Store) -> None:
    with web_server() as web:
        address = web.url("/books/")
    with pytest.raises(UserError, match="cannot be read"):
        discover_archives(address, store)


def test_a_bucket(store: Store) -> None:
    import gcsfs

    with gcs_server():
        bucket = gcsfs.GCSFileSystem(token="anon", project="books", skip_instance_cache=True)
        bucket.mkdir("library")
        bucket.pipe("library/math/a.part1.rar", b"123")
        bucket.pipe("library/math/a.part2.rar", b"45")
        bucket.pipe("library/art/b.rar", b"6")
        (archive,) = discover_archives("gs://library/math", store).rows
        with pytest.raises(UserError, match="does not exist"):
            discover_archives("gs://library/nothing", store)
    assert [volume.uri for volume in archive.volumes] == [f"gs://library/math/a.part{n}.rar" for n in (1, 2)]
    assert archive.size_bytes == 5
    assert all(volume.version and volume.modified for volume in archive.volumes)


@pytest.mark.parametrize(
    ("name", "number"),
    [("a.rar", 1), ("a.r00", 2), ("a.R99", 101), ("a.s00", 102), ("a.part007.RAR", 7), ("a.part1.exe", 1)],
)
def test_volume_numbers(name: str, number: int) -> None:
    volume = parse_volume_name(name)
    assert volume is not None
    assert volume.number == number


@pytest.mark.parametrize("name", ["a.zip", "rar", ".rar", "a.r0", "a.rar.txt", "a.pdf"])
def test_names_of_other_files(name: str) -> None:
    assert parse_volume_name(name) is None


@settings(max_examples=60)
@given(st.sampled_from(["book.part01.rar", "Book.rar", "a b.PART1.RAR"]), st.sets(st.integers(1, 300), min_size=1))
def test_any_set_is_grouped_ordered_and_its_gaps_are_named(first: str, numbers: set[int]) -> None:
    volume = parse_volume_name(first)
    assert volume is not None
    (group,) = group_volumes(sibling_name(volume, number) for number in numbers)
    assert [each.number for each in group] == sorted(numbers)
    missing = missing_names(group)
    assert len(missing) == max(numbers) - len(numbers)
    assert positions(len(group), missing) == sorted(numbers)
