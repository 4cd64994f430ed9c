"""Inspection: one row a distinct PDF, one a page, and a reason for whatever cannot be read."""

import dataclasses
import hashlib
import os
import re
import signal
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pikepdf import Array

from pagemill.manifest import Manifest
from pagemill.pages import document, inspect
from pagemill.pages.document import Examination, PdfFacts, examine, iso_date, printable_share, text_layer
from pagemill.pages.inspect import inspect_pdfs, read_inspections
from pagemill.records import MemberRecord, PageInspection, PdfRecord, Reason, Status
from pagemill.storage import Store
from tests import pdfs

BOOK = pdfs.book(["First page", "Second page", "#rect()"], title="A Title", author="An Author")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def member(content: bytes, path: str = "book.pdf", archive: str = "a.rar", **changes: object) -> MemberRecord:
    row = MemberRecord(
        archive=archive,
        archive_sha256="0" * 64,
        member_path=path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        status=Status.OK,
        modified="2024-05-06T07:08:09+00:00",
    )
    return dataclasses.replace(row, **changes)  # type: ignore[arg-type]


def manifest_of(rows: list[MemberRecord]) -> Manifest[MemberRecord]:
    return Manifest("extract_pdfs", 1, (), {"members": [row.to_dict() for row in rows]}, tuple(rows), {})


def inspected(store: Store, *contents: bytes, **parameters: float) -> Manifest[PdfRecord]:
    """Put PDFs into the store and inspect them."""
    for content in contents:
        store.write_bytes(f"pdf/{hashlib.sha256(content).hexdigest()}.pdf", content)
    members = [member(content, f"{number}.pdf") for number, content in enumerate(contents)]
    return inspect_pdfs(manifest_of(members), store, workers=1, **parameters)  # type: ignore[arg-type]


def inspect_one(store: Store, content: bytes, **parameters: float) -> tuple[PdfRecord, list[PageInspection]]:
    pdfs_found = inspected(store, content, **parameters)
    (row,) = pdfs_found.rows
    return row, list(read_inspections(pdfs_found, row.pdf_sha256, store))


def facts_of(folder: Path, content: bytes) -> PdfFacts:
    """Examine a PDF in this process."""
    path = folder / "book.pdf"
    path.write_bytes(content)
    facts, _ = examine(Examination(str(path), max_pages=100, max_page_points=1_000))
    return facts


def test_a_sound_book_is_described_with_all_its_pages(store: Store) -> None:
    row, pages = inspect_one(store, BOOK)

    assert row == PdfRecord(
        pdf_sha256=hashlib.sha256(BOOK).hexdigest(),
        archive="a.rar",
        archive_sha256="0" * 64,
        member_path="0.pdf",
        size_bytes=len(BOOK),
        num_pages=3,
        status=Status.OK,
        title="A Title",
        author="An Author",
        added="2024-05-06T07:08:09+00:00",
    )
    assert pages == [
        PageInspection(page=1, width_points=420, height_points=595, text_characters=9, printable_share=1.0),
        PageInspection(page=2, width_points=420, height_points=595, text_characters=10, printable_share=1.0),
        PageInspection(page=3, width_points=420, height_points=595, text_characters=0, printable_share=0.0),
    ]


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", Reason.BROKEN_PDF, "not readable as a PDF"),
        (b"%PDF-1.7 and nothing more", Reason.BROKEN_PDF, "not readable as a PDF"),
        (pdfs.truncated(BOOK), Reason.BROKEN_PDF, "not readable as a PDF"),
        (pdfs.without_pages(), Reason.NO_PAGES, "the PDF has no page"),
        (pdfs.encrypted(BOOK, user_password="secret"), Reason.PASSWORD_PROTECTED, "the PDF wants a password"),
        (pdfs.with_unknown_encryption(BOOK), Reason.PASSWORD_PROTECTED, "the PDF is encrypted in an unknown way"),
    ],
)
def test_a_pdf_that_cannot_be_read_is_a_row_with_the_reason(
    store: Store, content: bytes, reason: Reason, detail: str
) -> None:
    row, pages = inspect_one(store, content)

    assert (row.status, row.reason, row.detail, row.num_pages) == (Status.FAILED, reason, detail, 0)
    assert pages == []


def test_the_reason_of_one_pdf_does_not_stick_to_the_next(store: Store) -> None:
    found = inspected(store, b"broken", pdfs.without_pages(), BOOK, pdfs.encrypted(BOOK, "secret"))

    assert [row.reason for row in found.rows] == [Reason.BROKEN_PDF, Reason.NO_PAGES, None, Reason.PASSWORD_PROTECTED]


def test_an_encrypted_pdf_with_the_empty_password_is_read(store: Store) -> None:
    row, pages = inspect_one(store, pdfs.encrypted(BOOK, user_password=""))

    assert (row.status, row.encrypted, row.num_pages, row.title) == (Status.OK, True, 3, "A Title")
    assert pages[0].text_characters == 9


def test_too_many_pages_fail_the_pdf_and_say_how_many(store: Store) -> None:
    row, pages = inspect_one(store, BOOK, max_pages=2)

    assert (row.status, row.reason, row.num_pages, row.detail) == (Status.FAILED, Reason.TOO_MANY_PAGES, 3, "3 pages")
    assert pages == []


def test_a_page_of_ten_thousand_inches_is_named_and_the_others_are_kept(store: Store) -> None:
    found = inspected(
        store, pdfs.saved(pdfs.blank([(420, 595), (720_000, 720_000), (14_400, 3), (595, 2_147_483_648)]))
    )

    reasons = [page.reason for page in read_inspections(found, found.rows[0].pdf_sha256, store)]
    assert reasons == [None, Reason.PAGE_TOO_LARGE, None, Reason.PAGE_TOO_LARGE]
    assert found.rows[0].status == Status.OK
    assert found.counts["pages_too_large"] == 2


def test_a_page_that_is_promised_and_missing_is_named(store: Store) -> None:
    row, pages = inspect_one(store, pdfs.with_missing_page())

    assert (row.status, row.num_pages) == (Status.OK, 2)
    assert [page.reason for page in pages] == [None, Reason.RENDER_FAILED]


def test_the_size_is_that_of_the_page_as_it_is_seen(store: Store) -> None:
    _, (rotated, *_) = inspect_one(store, pdfs.with_page(BOOK, Rotate=90))
    _, (cropped, *_) = inspect_one(store, pdfs.with_page(BOOK, CropBox=Array([10, 20, 110, 220])))

    assert (rotated.width_points, rotated.height_points) == (595, 420)
    assert (cropped.width_points, cropped.height_points) == (100, 200)


def test_text_that_nobody_can_read_is_counted_and_not_printable(store: Store) -> None:
    _, (page,) = inspect_one(store, pdfs.with_unreadable_text())

    assert page.text_characters > 0
    assert page.printable_share == 0.0


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("A\0B\ntitle\t of  \x07 three", "A B title of three"),
        ("Titel mit Umlauten äöü 数学", "Titel mit Umlauten äöü 数学"),
        (b"\xfe\xff\xd8\x00\x00A", "A"),
        ("", ""),
        ("x" * 5_000, "x" * 1_000),
    ],
)
def test_a_title_is_one_clean_line(tmp_path: Path, title: str | bytes, clean: str) -> None:
    assert facts_of(tmp_path, pdfs.with_information(BOOK, Title=title)).title == clean


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("D:20010203040506+02'30'", "2001-02-03T04:05:06+02:30"),
        ("D:20010203040506Z00'00'", "2001-02-03T04:05:06+00:00"),
        ("D:20010203040506-05", "2001-02-03T04:05:06-05:00"),
        ("20010203", "2001-02-03T00:00:00"),
        ("D:1999", "1999-01-01T00:00:00"),
        ("D:20011345", ""),
        ("last Tuesday", ""),
        ("", ""),
    ],
)
def test_the_creation_date_is_iso_8601(tmp_path: Path, date: str, iso: str) -> None:
    assert facts_of(tmp_path, pdfs.with_information(BOOK, CreationDate=date)).created == iso


@settings(deadline=None)
@given(st.datetimes(timezones=st.none() | st.sampled_from([UTC, timezone(-timedelta(hours=3, minutes=30))])))
def test_every_date_that_a_pdf_can_hold_is_read(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    zone = re.sub(r"(\d\d)(\d\d)$", r"\1'\2'", moment.strftime("%z"))

    written = f"D:{moment.year:04}{moment:%m%d%H%M%S}{zone}"

    assert iso_date(written) == moment.isoformat()


@settings(deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"\AD:\d{0,14}[Z+-]?[\d']{0,6}\Z"))
def test_any_text_is_a_date_or_none(text: str) -> None:
    iso = iso_date(text)

    assert iso == "" or datetime.fromisoformat(iso).isoformat() == iso


@settings(deadline=None)
@given(st.text(max_size=40))
def test_the_printable_share_is_a_share(text: str) -> None:
    assert 0.0 <= printable_share(text) <= 1.0


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0.0), (" \n", 0.0), ("plain text", 1.0), ("数学 a\u200cb", 1.0), ("a\x01\ue000\ufffd", 0.25)],
)
def test_printable_is_what_a_reader_could_see(text: str, share: float) -> None:
    assert printable_share(text) == share


def test_a_pdf_that_several_members_hold_is_one_row_from_the_first_of_them(store: Store) -> None:
    digest = hashlib.sha256(BOOK).hexdigest()
    store.write_bytes(f"pdf/{digest}.pdf", BOOK)
    rows = [
        member(BOOK, "z.pdf", "b.rar"),
        member(BOOK, "y.pdf", "a.rar"),
        member(BOOK, "a.pdf", "b.rar"),
        member(b"", "failed.pdf", "a.rar", status=Status.FAILED, reason=Reason.DAMAGED_MEMBER, sha256=""),
        member(b"text", "readme.txt", "a.rar", status=Status.SKIPPED, reason=Reason.NOT_A_PDF),
    ]

    found = inspect_pdfs(manifest_of(rows), store, workers=1)

    assert [(row.pdf_sha256, row.archive, row.member_path) for row in found.rows] == [(digest, "a.rar", "y.pdf")]


def test_no_member_gives_no_row(store: Store) -> None:
    assert inspect_pdfs(manifest_of([]), store).rows == ()


def test_the_counts_sum_up_what_was_found(store: Store) -> None:
    found = inspected(store, BOOK, pdfs.scanned(), pdfs.encrypted(BOOK, ""), b"broken")

    assert found.counts == {
        "rows": 4,
        "rows_failed": 1,
        "rows_ok": 3,
        "pdfs": 4,
        "pdfs_encrypted": 1,
        "pdfs_without_text_layer": 1,
        "pages": 7,
        "pages_too_large": 0,
        "pages_with_text_layer": 4,
    }


def test_a_rerun_with_other_members_opens_only_the_pdfs_that_are_new(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inspected(store, BOOK, b"broken")
    opened: list[str] = []
    really = inspect.in_children

    def watched(function, items, **settings):  # type: ignore[no-untyped-def]
        return really(function, (opened.append(item.path) or item for item in items), **settings)

    monkeypatch.setattr(inspect, "in_children", watched)
    second = inspected(store, BOOK, b"broken", pdfs.scanned())

    assert len(opened) == 1
    assert second.rows[:2] == first.rows
    assert second.config_key == first.config_key


def test_the_same_work_again_is_done_already(store: Store) -> None:
    first = inspected(store, BOOK)
    store.delete(f"pdf/{first.rows[0].pdf_sha256}.pdf")

    members = manifest_of([member(BOOK, "0.pdf")])
    assert inspect_pdfs(members, store, workers=2) == first


def test_a_store_that_is_not_a_local_folder_serves_as_well() -> None:
    store = Store("memory://inspect-test")
    row, pages = inspect_one(store, BOOK)

    assert (row.num_pages, len(pages)) == (3, 3)


def crash_on_broken(examination: Examination) -> inspect.Inspection:
    if Path(examination.path).read_bytes() == b"broken":
        os.kill(os.getpid(), signal.SIGSEGV)
    return examine(examination)


def fail_oddly(examination: Examination) -> inspect.Inspection:
    raise ArithmeticError("page tree\nof odd shape")


def test_a_book_with_a_page_that_never_ends_is_looked_at_again_without_text_layers(store: Store) -> None:
    found = inspected(store, pdfs.with_endless_page(BOOK), BOOK, time_limit_seconds=3.0)

    endless, sound = found.rows
    assert (endless.status, endless.num_pages, endless.title) == (Status.OK, 3, "A Title")
    assert endless.detail == "text layers not read: time_limit, no answer within 3 s"
    assert [
        (page.width_points, page.text_characters) for page in read_inspections(found, endless.pdf_sha256, store)
    ] == [
        (420, 0),
        (420, 0),
        (420, 0),
    ]
    assert (sound.detail, found.counts["pages_with_text_layer"]) == ("", 2)


def test_a_pdf_that_crashes_its_child_fails_alone_and_is_tried_again_by_the_next_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(inspect, "examine", crash_on_broken)
        found = inspected(store, b"broken", BOOK)

    crashed, sound = found.rows
    assert (crashed.status, crashed.reason, crashed.detail) == (Status.FAILED, Reason.CRASHED, "killed by SIGSEGV")
    assert list(read_inspections(found, crashed.pdf_sha256, store)) == []
    assert sound.status == Status.OK

    again = inspected(store, b"broken", BOOK, pdfs.scanned())
    assert again.rows[0].reason == Reason.BROKEN_PDF


def test_what_no_one_foresaw_in_a_pdf_is_its_own_fault(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "examine", fail_oddly)

    row, pages = inspect_one(store, BOOK)

    assert (row.reason, row.detail, pages) == (Reason.BROKEN_PDF, "ArithmeticError: page tree of odd shape", [])


def test_a_missing_pdf_is_no_fault_of_the_data(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        inspect_pdfs(manifest_of([member(BOOK)]), store, workers=1)


def test_the_text_layer_has_lines_and_keeps_the_hyphen_of_a_broken_word(tmp_path: Path) -> None:
    words = "Extraordinary characteristics notwithstanding, internationalization characteristically demonstrates"
    markup = f"#set page(width: 10cm)\n#set text(hyphenate: true)\n#set par(justify: true)\n{words}"
    path = tmp_path / "book.pdf"
    path.write_bytes(pdfs.typeset(markup))

    text = text_layer(str(path), 1)

    assert "-\n" in text
    assert not set(text) & {"\0", "\x02", "\r"}
    assert text.replace("-\n", "").replace(" \n", " ").replace("\n", " ") == words


@pytest.mark.parametrize("page", [0, 4])
def test_the_text_layer_of_a_page_that_is_not_there_is_an_error(tmp_path: Path, page: int) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(BOOK)

    with pytest.raises(document.PdfFault, match=f"page {page} is not one of 3"):
        text_layer(str(path), page)
