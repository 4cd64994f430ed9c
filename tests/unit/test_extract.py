"""Extraction: every member of every archive is accounted for, and nothing hostile gets anywhere."""

import hashlib
import json
import logging
import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path

import pikepdf
import pytest
import rars
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagemill.archives import extract_members, extract_pdfs, safe_member_path
from pagemill.archives import reading as reading_module
from pagemill.archives.backends import BACKENDS, Backend
from pagemill.archives.checksums import Blake2sp
from pagemill.archives.fetch import FETCH
from pagemill.archives.names import TakenPaths
from pagemill.archives.passwords import read_passwords
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome
from pagemill.records import FetchedArchive, MemberRecord, Reason, Status
from pagemill.storage import Store
from tests import rar5_store as rar5


def make_pdf(title: str, padding_bytes: int = 0) -> bytes:
    """Make a real PDF of one page, with a stream to make it larger."""
    document = pikepdf.new()
    document.add_blank_page(page_size=(200, 300))
    document.docinfo["/Title"] = title
    noise = b"".join(hashlib.sha256(f"{title} {number}".encode()).digest() for number in range(padding_bytes // 32))
    document.Root.Padding = document.make_stream(noise)
    path = Path(os.environ["PYTEST_TMP"]) / "made.pdf"
    document.save(path, deterministic_id=True)
    return path.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def _folder_for_pdfs(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["PYTEST_TMP"] = str(tmp_path_factory.mktemp("pdfs"))


@pytest.fixture(scope="module")
def books() -> dict[str, bytes]:
    return {f"shelf/book {number}.pdf": make_pdf(f"Book {number}", 20_000) for number in range(4)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def passwords(tmp_path: Path) -> str:
    path = tmp_path / "passwords.txt"
    path.write_text("not this one\nsésame 密\nanother\n", encoding="utf-8")
    return str(path)


def pack(members: dict[str, bytes], **options: object) -> bytes:
    builder = rars.RarBuilder(**options)
    for name, content in members.items():
        builder.add_bytes(content, name)
    return bytes(builder.to_bytes())


def fetched(
    store: Store, *volumes: bytes, missing: Sequence[str] = (), name: str = "a.rar"
) -> Manifest[FetchedArchive]:
    """Put an archive's volumes into the store, as fetching does."""
    names = tuple(f"raw/{hashlib.sha256(volume).hexdigest()}.rar" for volume in volumes)
    for stored, volume in zip(names, volumes, strict=True):
        store.write_bytes(stored, volume)
    row = FetchedArchive(name, names[0], names, tuple(missing), sum(map(len, volumes)), "2024-01-01T00:00:00+00:00")
    return FETCH.record(store, (), {"name": name, "volumes": names}, Outcome([row]), {}, 0.0)


def extracted(store: Store, *volumes: bytes, missing: Sequence[str] = (), **options: object) -> list[MemberRecord]:
    return list(extract_pdfs(fetched(store, *volumes, missing=missing), store, **options).rows)  # type: ignore[arg-type]


def outcomes(rows: Sequence[MemberRecord]) -> dict[str, Reason | None]:
    return {row.member_path: row.reason for row in rows}


def contents(rows: Sequence[MemberRecord], store: Store) -> dict[str, bytes]:
    """Read back what came out, checking it against its digest."""
    found = {row.member_path: (row, store.read_bytes(f"pdf/{row.sha256}.pdf")) for row in rows if row.status == "ok"}
    assert all(hashlib.sha256(content).hexdigest() == row.sha256 for row, content in found.values())
    return {path: content for path, (_, content) in found.items()}


# Sound archives of every kind


@pytest.mark.parametrize("options", [{}, {"solid": True}, {"store": True}], ids=["plain", "solid", "stored"])
@pytest.mark.parametrize("version", ["rar15", "rar20", "rar29", "rar40", "rar50", "rar70"])
def test_every_version_of_rar(store: Store, books: dict[str, bytes], version: str, options: dict[str, bool]) -> None:
    rows = extracted(store, pack(books, format=version, **options))
    assert contents(rows, store) == books
    assert all(row.reason is None and row.modified for row in rows)


@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize("version", ["rar15", "rar20", "rar29", "rar40", "rar50", "rar70"])
def test_encrypted_members(store: Store, books: dict[str, bytes], passwords: str, version: str, solid: bool) -> None:
    archive = pack(books, format=version, password="sésame 密" if version != "rar15" else "another", solid=solid)
    assert contents(extracted(store, archive, passwords=passwords), store) == books


@pytest.mark.parametrize("version", ["rar40", "rar50", "rar70"])
def test_encrypted_headers(store: Store, books: dict[str, bytes], passwords: str, version: str) -> None:
    archive = pack(books, format=version, password="another", encrypt_headers=True)
    assert contents(extracted(store, archive, passwords=passwords), store) == books


def test_a_set_of_volumes(store: Store) -> None:
    pdf = make_pdf("Split", 5_000)
    rows = extracted(store, *rar5.volumes("split.pdf", pdf, [1000, 2000]))
    assert contents(rows, store) == {"split.pdf": pdf}


@pytest.mark.parametrize("version", ["rar50", "rar70"])
@pytest.mark.parametrize("password", [None, "another"])
def test_a_set_of_compressed_volumes(
    store: Store, books: dict[str, bytes], tmp_path: Path, passwords: str, version: str, password: str | None
) -> None:
    builder = rars.RarBuilder(format=version, volume_size=30_000, password=password)
    for name, content in books.items():
        builder.add_bytes(content, name)
    volumes = [path.read_bytes() for path in builder.write_volumes(str(tmp_path / "v.part1.rar"))]
    assert len(volumes) > 2
    assert contents(extracted(store, *volumes, passwords=passwords), store) == books


def test_a_store_in_a_bucket_or_in_memory(books: dict[str, bytes]) -> None:
    store = Store("memory://extract")
    assert contents(extracted(store, pack(books, solid=True)), store) == books


# What counts as a PDF, and what is kept


def test_a_pdf_is_told_by_its_first_bytes_not_by_its_name(store: Store, books: dict[str, bytes]) -> None:
    pdf = next(iter(books.values()))
    members = {
        "cover.jpg": pdf,
        "late.bin": b" " * 1000 + pdf,
        "fake.pdf": b"<html>",
        "empty.pdf": b"",
        "x.txt": b"x" * 5000,
    }
    rows = extracted(store, pack(members))
    assert sorted(contents(rows, store)) == ["cover.jpg", "late.bin"]
    assert {path for path, reason in outcomes(rows).items() if reason is Reason.NOT_A_PDF} == {
        "fake.pdf",
        "empty.pdf",
        "x.txt",
    }
    assert all(row.sha256 == "" and row.status is Status.SKIPPED for row in rows if row.reason)


def test_the_same_pdf_twice_is_kept_once_and_counted_twice(store: Store, books: dict[str, bytes]) -> None:
    pdf = next(iter(books.values()))
    manifest = extract_pdfs(fetched(store, pack({"a.pdf": pdf, "b.pdf": pdf})), store)
    assert store.names("pdf") == [f"pdf/{hashlib.sha256(pdf).hexdigest()}.pdf"]
    assert manifest.counts == {
        "rows": 2,
        "rows_ok": 2,
        "archives": 1,
        "members": 2,
        "pdfs": 2,
        "pdfs_distinct": 1,
        "bytes_extracted": 2 * len(pdf),
    }


def test_an_archive_is_not_unpacked_twice(
    store: Store, books: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(books)
    first = extract_pdfs(fetched(store, archive), store)
    monkeypatch.setattr("pagemill.archives.extract.Walk", None)
    assert extract_pdfs(fetched(store, archive), store) == first
    again = extract_pdfs(fetched(store, archive, name="copy.rar"), store)
    assert [(row.archive, row.sha256) for row in again.rows] == [("copy.rar", row.sha256) for row in first.rows]


def test_nothing_is_left_in_the_store_but_pdfs_and_rows(store: Store, books: dict[str, bytes]) -> None:
    extracted(store, pack({**books, "notes.txt": b"x" * 5000}))
    assert store.folders() == ["manifests", "members", "pdf", "raw"]
    assert not list(Path(store.root).glob(".tmp-*"))


# Archives inside archives


def nest(content: bytes, depth: int) -> bytes:
    archive = pack({"book.pdf": content})
    for level in range(depth):
        archive = pack({f"level {level}.dat": archive})
    return archive


def test_archives_inside_archives(store: Store) -> None:
    pdf = make_pdf("Inner")
    rows = extracted(store, nest(pdf, 2))
    assert contents(rows, store) == {"level 1.dat/level 0.dat/book.pdf": pdf}


def test_archives_that_are_nested_too_deep(store: Store) -> None:
    rows = extracted(store, nest(make_pdf("Inner"), 3), max_depth=2)
    assert outcomes(rows) == {"level 2.dat/level 1.dat/level 0.dat": Reason.NESTED_TOO_DEEP}


def test_a_damaged_archive_inside_a_sound_one(store: Store, books: dict[str, bytes]) -> None:
    inner = pack(books, store=True)
    rows = extracted(store, pack({"inner.rar": inner[: len(inner) // 2], "own.pdf": make_pdf("Own")}))
    assert outcomes(rows)["inner.rar"] is Reason.DAMAGED_ARCHIVE
    assert {"own.pdf", "inner.rar/shelf/book 0.pdf"} <= contents(rows, store).keys()


# Hostile names and links

HOSTILE_NAMES = [
    "../../escape.pdf",
    "/etc/passwd.pdf",
    "C:\\Windows\\x.pdf",
    "..\\..\\back.pdf",
    "new\nline.pdf",
    "bell\x07.pdf",
    "con.pdf",
    "-rf.pdf",
    "@list.pdf",
    "star*.pdf",
    '"quoted".pdf',
    " spaced .pdf ",
    "a" * 400 + ".pdf",
    ".",
    "..",
]


def test_hostile_names_never_leave_the_store(store: Store, tmp_path: Path) -> None:
    pdfs = [make_pdf(f"Hostile {number}") for number in range(len(HOSTILE_NAMES))]
    archive = rar5.archive(*(rar5.member(name, pdf) for name, pdf in zip(HOSTILE_NAMES, pdfs, strict=True)))
    rows = extracted(store, archive)
    assert list(contents(rows, store).values()) == pdfs
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_links_are_never_followed(store: Store) -> None:
    pdf = make_pdf("Target")
    links = [rar5.link(f"link {kind.name}.pdf", "/etc/passwd", kind) for kind in rar5.Link]
    rows = extracted(store, rar5.archive(rar5.member("a.pdf", pdf), *links, rar5.member("z.pdf", pdf)))
    assert sorted(contents(rows, store)) == ["a.pdf", "z.pdf"]
    assert [row.reason for row in rows if row.status is Status.SKIPPED] == [Reason.LINK] * len(rar5.Link)


def test_folders_make_no_row(store: Store) -> None:
    assert extracted(store, rar5.archive(rar5.folder("shelf"))) == []


def test_two_members_of_one_name_both_appear(store: Store) -> None:
    one, two = make_pdf("One"), make_pdf("Two")
    rows = extracted(store, rar5.archive(rar5.member("a.pdf", one), rar5.member("A.pdf", two)))
    assert contents(rows, store) == {"a.pdf": one, "A (2).pdf": two}


def test_compressed_namesakes_both_appear(store: Store, books: dict[str, bytes]) -> None:
    one, two = list(books.values())[:2]
    archive = pack({"a.pdf": one, "b.pdf": two})
    rows = extracted(store, rename_member(archive, b"b.pdf", b"a.pdf"))
    assert contents(rows, store) == {"a.pdf": one, "a (2).pdf": two}


def rename_member(archive: bytes, old: bytes, new: bytes) -> bytes:
    """Put another name of the same length into a RAR 5 header and mend the header's CRC32."""
    at = archive.index(old)
    start = max(index for index in range(at - 80, at) if _is_header(archive, index, at))
    size = archive[start + 4]
    header = archive[start + 4 : start + 5 + size].replace(old, new)
    return archive[:start] + zlib.crc32(header).to_bytes(4, "little") + header + archive[start + 5 + size :]


def _is_header(archive: bytes, index: int, at: int) -> bool:
    size = archive[index + 4]
    checksum = int.from_bytes(archive[index : index + 4], "little")
    return index + 5 + size > at and checksum == zlib.crc32(archive[index + 4 : index + 5 + size])


# Damage and lies


@pytest.mark.parametrize("solid", [False, True])
def test_a_flipped_byte_costs_what_it_touches(store: Store, books: dict[str, bytes], solid: bool) -> None:
    archive = bytearray(pack(books, solid=solid))
    at = len(archive) * 5 // 8  # within the third of four members
    archive[at] ^= 0xFF
    rows = extracted(store, bytes(archive))
    assert len(rows) == 4
    names = list(books)
    good = contents(rows, store)
    assert {names[0], names[1]} <= good.keys()
    assert outcomes(rows)[names[2]] in (Reason.DAMAGED_MEMBER, Reason.CHECKSUM_MISMATCH)
    assert solid or names[3] in good


def test_a_truncated_archive_yields_what_is_whole(store: Store, books: dict[str, bytes]) -> None:
    archive = pack(books)
    rows = extracted(store, archive[: len(archive) * 5 // 8])
    assert list(contents(rows, store)) == list(books)[:2]
    assert outcomes(rows)[""] is Reason.DAMAGED_ARCHIVE


def test_an_unreadable_header_makes_a_row_for_the_archive(store: Store) -> None:
    first, second = rar5.member("a.pdf", make_pdf("A")), bytearray(rar5.member("b.pdf", make_pdf("B")))
    second[6] ^= 0xFF
    rows = extracted(store, rar5.archive(first, bytes(second)))
    assert outcomes(rows) == {"": Reason.DAMAGED_ARCHIVE, "a.pdf": None}


def test_a_wrong_checksum(store: Store) -> None:
    rows = extracted(
        store, rar5.archive(rar5.member("a.pdf", make_pdf("A"), crc32=7), rar5.member("b.pdf", make_pdf("B")))
    )
    assert outcomes(rows) == {"a.pdf": Reason.CHECKSUM_MISMATCH, "b.pdf": None}
    assert rows[0].sha256 == ""


@pytest.mark.parametrize("declared", [3, 10_000])
def test_a_wrong_size(store: Store, declared: int) -> None:
    lie = rar5.member("a.pdf", make_pdf("A"), declared_size=declared)
    rows = extracted(store, rar5.archive(lie, rar5.member("b.pdf", make_pdf("B"))))
    assert outcomes(rows) == {"a.pdf": Reason.SIZE_MISMATCH, "b.pdf": None}


def test_a_tebibyte_that_is_not_there(store: Store) -> None:
    lie = rar5.member("a.pdf", b"%PDF-", declared_size=1 << 40)
    assert outcomes(extracted(store, rar5.archive(lie))) == {"a.pdf": Reason.MEMBER_TOO_LARGE}


@pytest.mark.parametrize("content", [b"", b"Rar!", b"PK\x03\x04" * 100, b"%PDF-1.7"])
def test_what_is_not_an_archive(store: Store, content: bytes) -> None:
    (row,) = extracted(store, content)
    assert (row.member_path, row.status, row.reason) == ("", Status.FAILED, Reason.UNSUPPORTED_FORMAT)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_damage_raises_or_passes_for_sound(data: st.DataObject) -> None:
    """Whatever is done to an archive's bytes, what comes out `ok` is what went in."""
    pdf = b"%PDF-1.4 " + bytes(range(256)) * 8
    archive = bytearray(rar5.archive(rar5.member("a.pdf", pdf), rar5.member("b.pdf", pdf[::-1] + b"%PDF-")))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(8, len(archive) - 1))] = data.draw(st.integers(0, 255))
    store = Store("memory://damage")
    rows = extracted(store, bytes(archive[: data.draw(st.integers(0, len(archive)))]))
    assert set(contents(rows, store).values()) <= {pdf}


# Passwords


@pytest.mark.parametrize("version", ["rar20", "rar29", "rar50"])
@pytest.mark.parametrize("given", [[], ["wrong"]])
def test_no_password_fits(
    store: Store, books: dict[str, bytes], tmp_path: Path, version: str, given: list[str]
) -> None:
    (tmp_path / "pw").write_text("\n".join(given))
    rows = extracted(store, pack(books, format=version, password="right"), passwords=str(tmp_path / "pw"))
    assert set(outcomes(rows).values()) == {Reason.WRONG_PASSWORD}
    assert len(rows) == len(books)
    assert store.names("pdf") == []


def test_no_password_opens_encrypted_headers(store: Store, books: dict[str, bytes], passwords: str) -> None:
    archive = pack(books, password="unknown", encrypt_headers=True)
    assert outcomes(extracted(store, archive, passwords=passwords)) == {"": Reason.WRONG_PASSWORD}


def test_short_encrypted_members_are_never_a_tools_error_message(store: Store, passwords: str) -> None:
    rows = extracted(store, pack({"short.pdf": b"%PDF-1.4 tiny"}, password="unknown"), passwords=passwords)
    assert outcomes(rows) == {"short.pdf": Reason.WRONG_PASSWORD}


def test_passwords_from_the_environment(store: Store, books: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_PASSWORDS", "one\r\ntwo")
    rows = extracted(store, pack(books, password="two"), passwords="env:ARCHIVE_PASSWORDS")
    assert contents(rows, store) == books


@pytest.mark.parametrize("where", ["/no/such/file", "env:NO_SUCH_VARIABLE"])
def test_passwords_that_are_not_there(store: Store, where: str) -> None:
    with pytest.raises(UserError, match=r"NO_SUCH_VARIABLE|/no/such/file"):
        extracted(store, rar5.archive(), passwords=where)


def test_passwords_that_are_not_utf8_are_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"secret\xff")
    with pytest.raises(UserError) as caught:
        read_passwords(str(tmp_path / "pw"))
    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)


def test_passwords_appear_nowhere(
    store: Store,
    passwords: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[str] = []
    start = reading_module.running

    def noting(command: Sequence[str], *rest: object) -> object:
        commands.append(str(command))
        return start(command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reading_module, "running", noting)
    with caplog.at_level(logging.DEBUG):
        for version in ("rar15", "rar29", "rar50"):
            for password in ("another", "hidden"):
                extracted(store, pack({"a.pdf": make_pdf("A")}, format=version, password=password), passwords=passwords)
    written = b"".join(path.read_bytes() for path in Path(store.root).rglob("*.json*"))
    assert len(commands) > 3
    for password in ("another", "not this one", "sésame"):
        assert password not in caplog.text
        assert password not in "".join(commands)
        assert json.dumps(password)[1:-1].encode() not in written
        assert password not in repr(read_passwords(passwords))


# Limits


def test_too_many_members(store: Store) -> None:
    pdf = make_pdf("Many")
    rows = extracted(store, rar5.archive(*(rar5.member(f"{number}.pdf", pdf) for number in range(5))), max_members=3)
    assert outcomes(rows) == {"": Reason.TOO_MANY_MEMBERS, "0.pdf": None, "1.pdf": None, "2.pdf": None}


@pytest.mark.parametrize("solid", [False, True])
def test_a_member_that_is_too_large_costs_no_other(store: Store, books: dict[str, bytes], solid: bool) -> None:
    large = make_pdf("Large", 200_000)
    archive = pack({"large.pdf": large, **books}, solid=solid)
    rows = extracted(store, archive, max_member_bytes=100_000)
    assert outcomes(rows)["large.pdf"] is Reason.MEMBER_TOO_LARGE
    assert contents(rows, store) == books


def test_an_archive_that_is_too_large(store: Store, books: dict[str, bytes]) -> None:
    size = len(next(iter(books.values())))
    rows = extracted(store, pack(books), max_archive_bytes=2 * size + 100)
    assert list(outcomes(rows).values()) == [None, None, Reason.ARCHIVE_TOO_LARGE, Reason.ARCHIVE_TOO_LARGE]


def test_the_limit_of_bytes_counts_archives_inside(store: Store) -> None:
    pdf = make_pdf("Inner", 20_000)
    archive = nest(pdf, 1)
    rows = extracted(store, archive, max_archive_bytes=len(pdf) + 1000)
    assert outcomes(rows) == {"level 0.dat/book.pdf": Reason.ARCHIVE_TOO_LARGE}


def test_a_bomb(store: Store) -> None:
    bomb = b"%PDF-1.4" + bytes(20 << 20)
    rows = extracted(store, pack({"bomb.pdf": bomb, "a.pdf": make_pdf("A")}), max_ratio=100)
    assert outcomes(rows) == {"bomb.pdf": Reason.RATIO_TOO_HIGH, "a.pdf": None}


def test_no_time_at_all(store: Store, books: dict[str, bytes]) -> None:
    rows = extracted(store, pack(books), time_limit_seconds=0.0)
    assert set(outcomes(rows).values()) == {Reason.TIME_LIMIT}


def test_a_program_that_hangs_is_killed_with_its_children(
    store: Store, books: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "hangs"
    script.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {tmp_path}/child\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(reading_module, "sevenzip", lambda: str(script))
    rows = extracted(store, pack(books), time_limit_seconds=1.0)
    assert set(outcomes(rows).values()) == {Reason.TIME_LIMIT}
    child = int((tmp_path / "child").read_text())
    assert not is_running(child)


def is_running(process: int) -> bool:
    """Say whether a process is there and more than a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Missing volumes


def three_volumes(pdfs: Sequence[bytes]) -> list[bytes]:
    """Pack a whole PDF into each of three volumes, and one over the edges of the first and second."""
    first, second = pdfs[3][:500], pdfs[3][500:]
    edge = {"declared_size": len(pdfs[3])}
    before = rar5.member("edge.pdf", first, crc32=zlib.crc32(first), split=rar5.SPLIT_AFTER, **edge)
    after = rar5.member("edge.pdf", second, crc32=zlib.crc32(pdfs[3]), split=rar5.SPLIT_BEFORE, **edge)
    return [
        rar5.archive(rar5.member("0.pdf", pdfs[0]), before, volume=0, last=False),
        rar5.archive(after, rar5.member("1.pdf", pdfs[1]), volume=1, last=False),
        rar5.archive(rar5.member("2.pdf", pdfs[2]), volume=2),
    ]


@pytest.mark.parametrize(
    ("lost", "whole"),
    [(1, ["1.pdf", "2.pdf"]), (2, ["0.pdf", "2.pdf"]), (3, ["0.pdf", "1.pdf", "edge.pdf"])],
)
def test_a_missing_volume_costs_what_lies_in_it(store: Store, lost: int, whole: list[str]) -> None:
    volumes = three_volumes([make_pdf(f"Volume {number}", 1000) for number in range(4)])
    del volumes[lost - 1]
    missing = [f"a.part{lost}.rar"] if lost < 3 else []  # that the last one is missing, no listing tells
    rows = extracted(store, *volumes, missing=missing)
    assert sorted(contents(rows, store)) == whole
    others = {row.reason for row in rows if row.status is not Status.OK}
    assert others == {Reason.MISSING_VOLUME}
    assert "" in outcomes(rows)


# Backends


def test_a_backend_that_gives_wrong_bytes_is_not_believed(
    store: Store, books: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "liar"
    script.write_text("#!/bin/sh\nprintf '%%PDF-1.4 ERROR: Wrong passw'\n")
    script.chmod(0o755)
    monkeypatch.setattr(reading_module, "sevenzip", lambda: str(script))
    liar = Backend("liar", lambda: str(script), lambda program, request: [program])
    monkeypatch.setattr(reading_module, "BACKENDS", (liar,))
    rows = extracted(store, pack(books))
    assert {row.status for row in rows} == {Status.FAILED}
    assert store.names("pdf") == []


@pytest.mark.parametrize("name", ["7zz", "rars"])
@pytest.mark.parametrize("solid", [False, True])
def test_each_backend_reads_members_one_by_one(
    store: Store, books: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, name: str, solid: bool
) -> None:
    monkeypatch.setattr(reading_module, "sevenzip", lambda: None)
    monkeypatch.setattr(reading_module, "BACKENDS", [backend for backend in BACKENDS if backend.name == name])
    assert contents(extracted(store, pack(books, solid=solid)), store) == books


def test_without_any_program_stored_members_still_come_out(
    store: Store, books: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "sevenzip", lambda: None)
    monkeypatch.setattr(reading_module, "BACKENDS", ())
    assert contents(extracted(store, pack(books, store=True)), store) == books
    assert set(outcomes(extracted(store, pack(books))).values()) == {Reason.UNSUPPORTED_FORMAT}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "dd0e891776933f43c7d032b08a917e25741f8aa9a12c12e1cac8801500f2ca4f"),
        (bytes(range(256)) * 9, None),
    ],
)
def test_blake2sp(content: bytes, expected: str | None) -> None:
    whole, piecewise = Blake2sp(), Blake2sp()
    whole.update(content)
    for start in range(0, len(content), 100):
        piecewise.update(content[start : start + 100])
    result = whole.digest()
    assert result == piecewise.digest()
    assert expected is None or result.hex() == expected


# Names


@settings(max_examples=300)
@given(st.text() | st.text(alphabet="./\\:ac\x00\n \u202e\ud800", max_size=30))
@example("con")
@example("a" * 300 + ".pdf")
@example("x/" * 3000)
def test_a_safe_path_is_safe_and_stays_as_it_is(name: str) -> None:
    path = safe_member_path(name)
    parts = path.split("/")
    assert path
    assert all(part and part not in (".", "..") and len(part.encode()) <= 255 for part in parts)
    assert not Path(path).is_absolute()
    assert not any(ord(letter) < 32 or letter in '\\:\x7f"*?<>|' for letter in path)
    assert safe_member_path(path) == path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b.pdf", "a/b.pdf"),
        ("../../x.pdf", "x.pdf"),
        ("/etc/x.pdf", "etc/x.pdf"),
        ("C:\\a\\b.pdf", "a/b.pdf"),
        ("\\\\server\\share\\x", "server/share/x"),
        ("a\x00b\n.pdf", "a_b_.pdf"),
        ("aux.pdf", "_aux.pdf"),
        ("dots...", "dots"),
        ("", "unnamed"),
        ("Ünïcödé 密.pdf", "Ünïcödé 密.pdf"),
        ("é" * 200 + ".pdf", "é" * 125 + ".pdf"),
    ],
)
def test_safe_paths(name: str, path: str) -> None:
    assert safe_member_path(name) == path


@settings(max_examples=100)
@given(st.lists(st.text(alphabet="aA/.", max_size=6), max_size=12))
def test_claimed_paths_can_all_be_files_of_one_folder(names: list[str]) -> None:
    taken = TakenPaths()
    paths = [taken.claim(name).casefold() for name in names]
    assert len(set(paths)) == len(paths)
    assert not any(one.startswith(f"{other}/") for one in paths for other in paths)
    assert all(safe_member_path(path) == path for path in paths)


# Into a folder


def manifest_lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def files_in(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir())


def test_pdfs_into_a_folder(tmp_path: Path, books: dict[str, bytes]) -> None:
    (tmp_path / "my.books.rar").write_bytes(pack({**books, "notes.txt": b"x"}))
    out = tmp_path / "deep/out"
    rows = extract_members([tmp_path / "my.books.rar"], out)
    assert files_in(out) == ["manifest.jsonl", *(f"my.books/{name}" for name in books)]
    assert all((out / "my.books" / name).read_bytes() == content for name, content in books.items())
    assert len(rows) == 5
    first, last = manifest_lines(out)[0], manifest_lines(out)[-1]
    assert first["name"] == "shelf/book 0.pdf"
    assert first["sha256"] == hashlib.sha256(books["shelf/book 0.pdf"]).hexdigest()
    assert (last["name"], last["size"], last["status"], last["reason"]) == ("notes.txt", 1, "skipped", "not_a_pdf")


def test_members_by_a_glob(tmp_path: Path, books: dict[str, bytes]) -> None:
    (tmp_path / "a.rar").write_bytes(pack({**books, "Notes/Read.TXT": b"x", "inner.rar": pack(books)}))
    out = tmp_path / "out"
    rows = extract_members([tmp_path / "a.rar"], out, members="*.txt")
    assert files_in(out) == ["a/Notes/Read.TXT", "manifest.jsonl"]
    assert outcomes(rows)["inner.rar"] is Reason.NOT_SELECTED
    extract_members([tmp_path / "a.rar"], out, members="*")
    assert len(files_in(out)) == 7
    assert (out / "a/inner.rar").is_file()


def test_volumes_of_one_set_are_one_archive(tmp_path: Path) -> None:
    pdf = make_pdf("Split", 5_000)
    volumes = []
    for number, content in enumerate(rar5.volumes("split.pdf", pdf, [1000, 2000]), start=1):
        volumes.append(tmp_path / f"set.part{number}.rar")
        volumes[-1].write_bytes(content)
    for named in (volumes, volumes[:1], volumes[2:]):
        (row,) = extract_members(named, tmp_path / "out")
        assert (row.member_path, row.archive) == ("split.pdf", "set.part1.rar")
    assert (tmp_path / "out/set/split.pdf").read_bytes() == pdf


def test_two_archives_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.rar").write_bytes(rar5.archive(rar5.member("b.pdf", make_pdf(folder))))
    extract_members([tmp_path / "x/a.rar", tmp_path / "y/a.rar"], tmp_path / "out")
    assert files_in(tmp_path / "out") == ["a (2)/b.pdf", "a/b.pdf", "manifest.jsonl"]


def test_hostile_members_stay_in_the_folder(tmp_path: Path) -> None:
    pdf = make_pdf("Hostile")
    links = [rar5.link("shelf", "/tmp"), rar5.link("hard.pdf", "/etc/passwd", rar5.Link.HARD)]
    members = [rar5.member(name, pdf) for name in [*HOSTILE_NAMES, "shelf/x.pdf"]]
    (tmp_path / "a.rar").write_bytes(rar5.archive(*links, *members))
    out = tmp_path / "out"
    extract_members([tmp_path / "a.rar"], out, members="*")
    assert {path.name for path in tmp_path.iterdir()} == {"a.rar", "out"}
    kinds = [path.lstat().st_mode for path in out.rglob("*")]
    assert all(stat.S_ISREG(mode) or stat.S_ISDIR(mode) for mode in kinds)
    assert len(files_in(out)) == len(members) + 1


def test_links_in_the_folder_are_not_followed_out_of_it(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (out / "a").mkdir(parents=True)
    (outside / "kept.pdf").write_bytes(b"mine")
    (out / "a/shelf").symlink_to(outside)
    (out / "a/file.pdf").symlink_to(outside / "kept.pdf")
    (out / "manifest.jsonl").symlink_to(outside / "manifest.jsonl")
    pdf = make_pdf("New")
    (tmp_path / "a.rar").write_bytes(rar5.archive(rar5.member("shelf/kept.pdf", pdf), rar5.member("file.pdf", pdf)))
    rows = extract_members([tmp_path / "a.rar"], out)
    assert outcomes(rows) == {"shelf/kept.pdf": Reason.LINK, "file.pdf": None}
    assert files_in(outside) == ["kept.pdf"]
    assert (outside / "kept.pdf").read_bytes() == b"mine"
    assert (out / "a/file.pdf").read_bytes() == pdf


def test_extracting_again_replaces_what_is_there(tmp_path: Path, books: dict[str, bytes]) -> None:
    (tmp_path / "a.rar").write_bytes(pack(books))
    first = extract_members([tmp_path / "a.rar"], tmp_path / "out")
    assert extract_members([tmp_path / "a.rar"], tmp_path / "out") == first
    assert len(files_in(tmp_path / "out")) == 5


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a file"):
        extract_members([tmp_path / "none.rar"], tmp_path / "out")


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(rar5.archive())
    with pytest.raises(UserError, match="is not a folder"):
        extract_members([tmp_path / "a.rar"], tmp_path / "a.rar")
