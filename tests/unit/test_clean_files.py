"""Texts in files are cleaned and judged without a store; what was left out is said."""

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagemill.cli import app
from pagemill.errors import UserError
from pagemill.records import PageRecord, Status
from pagemill.text import chunk_file, clean_files
from tests.bytewise import bytewise_tokenizer

STORY = [
    "The Voyage 7\n\nThe old captain watched the rain fall on the har-",
    "The Voyage 8\n\nbour and thought of the storms that he had seen, of which he",
    "The Voyage 9\n\nremembered only the first and the last. Write to him at captain@harbour.org.",
]
CLEAN = (
    "The old captain watched the rain fall on the harbour and thought of the storms that he had seen, of which he "
    "remembered only the first and the last. Write to him at [EMAIL]."
)
GARBAGE = "zzxq " + " ".join("".join(random.Random(n).choices("#x9$%kq;wtrpsdfg|/-~X0", k=7)) for n in range(200))


def facts(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


def test_form_feeds_part_the_pages_of_a_text(tmp_path):
    (tmp_path / "voyage.mmd").write_text("\f".join(STORY))
    (found,) = clean_files([tmp_path / "voyage.mmd"], tmp_path / "clean")
    assert found.path == tmp_path / "clean" / "voyage.mmd"
    assert found.path.read_text() == CLEAN
    known = facts(found.path)
    assert known["language"] == "en"
    assert known["page_labels"] == ["7", "8", "9"]
    assert known["page_ends"][-1] == len(CLEAN)
    assert (known["removed"]["running_lines"], known["masked"]["email"]) == (3, 1)
    assert (known["profile"], len(known["profile_sha256"])) == ("books", 64)


def test_each_pdf_of_a_ledger_is_a_book_with_its_pages_in_order(tmp_path):
    rows = [
        PageRecord(name, number, Status.OK, None, "nougat", 1, text, 10, 0.1)
        for name in ("b" * 64, "a" * 64)
        for number, text in reversed(list(enumerate(STORY, 1)))
    ]
    broken = PageRecord("c" * 64, 0, Status.FAILED, None, "nougat", 1, "", 0, 0.0)
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(json.dumps(row.to_dict()) + "\n" for row in [*rows, broken]))
    first, second, empty = clean_files([ledger], tmp_path / "clean")
    assert [first.path.stem, second.path.stem] == ["a" * 64, "b" * 64]
    assert first.path.read_text() == second.path.read_text() == CLEAN
    assert (empty.judged.dropped_by, empty.path.exists()) == ("no_text", False)


def test_a_book_is_called_as_its_text_is_in_the_folder_that_ocr_filled(tmp_path):
    row = PageRecord("a" * 64, 1, Status.OK, None, "nougat", 1, CLEAN, 10, 0.1)
    (tmp_path / "ledger.jsonl").write_text(json.dumps(row.to_dict()) + "\n")
    (tmp_path / ".pagemill").mkdir()
    (tmp_path / ".pagemill" / "texts.json").write_text(json.dumps({"voyage.mmd": "a" * 64}))
    (found,) = clean_files([tmp_path / "ledger.jsonl"], tmp_path / "clean")
    assert found.path.name == "voyage.mmd"


def test_the_chunks_of_a_clean_text_know_their_pages(tmp_path):
    long_pages = [f"{page}\n\nPage {number} ends with a sentence of its own." for number, page in enumerate(STORY, 1)]
    (tmp_path / "voyage.mmd").write_text("\f".join(long_pages))
    (found,) = clean_files([tmp_path / "voyage.mmd"], tmp_path / "clean")

    def cut() -> list[dict]:
        return list(chunk_file(found.path, bytewise_tokenizer(), target_tokens=60, max_tokens=120))

    rows = cut()
    assert {row["page_start"] for row in rows} == {1, 2, 3}
    for row in rows:
        assert f"Page {row['page_end']}" in row["text"] or "Page" not in row["text"]
    found.path.write_text(found.path.read_text() + " Changed by hand.")
    assert {
        row["page_start"] for row in chunk_file(found.path, bytewise_tokenizer(), target_tokens=60, max_tokens=120)
    } == {0}


def test_a_page_that_breaks_a_rule_is_left_out_and_shown(tmp_path):
    (tmp_path / "voyage.mmd").write_text("\f".join([STORY[0], GARBAGE, *STORY[1:]]))
    result = CliRunner().invoke(app, ["clean", str(tmp_path / "voyage.mmd"), "--out", str(tmp_path / "clean")])
    assert result.exit_code == 0
    assert "left out page 2 by garbage_page (garbage_score" in result.stdout
    assert "zzxq" in result.stdout
    assert "zzxq" not in (tmp_path / "clean" / "voyage.mmd").read_text()
    assert facts(tmp_path / "clean" / "voyage.mmd")["page_dropped"] == ["", "garbage_page", "", ""]


def test_a_book_that_is_left_out_has_no_text_but_a_reason(tmp_path):
    (tmp_path / "noise.mmd").write_text("12")
    (found,) = clean_files([tmp_path / "noise.mmd"], tmp_path / "clean")
    assert not found.path.exists()
    assert facts(found.path)["dropped_by"] == "no_text"
    assert found.summary().startswith("left out")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.mmd", None, "absent.mmd: cannot be read"),
        ("latin.mmd", "Caf\xe9".encode("latin-1"), "latin.mmd: is no UTF-8 text"),
        ("absent.jsonl", None, "absent.jsonl: cannot be read"),
        ("ledger.jsonl", b'{"page": 1}\n', "ledger.jsonl: line 1 is no page record"),
        ("ledger.jsonl", b"not json\n", "ledger.jsonl: line 1 is no page record"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(clean_files([tmp_path / name], tmp_path / "clean"))


def test_no_text_overwrites_another_one(tmp_path):
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        (folder / "voyage.mmd").write_text(STORY[0])
    with pytest.raises(UserError, match="would both become voyage"):
        list(clean_files([tmp_path / "voyage.mmd", tmp_path / "other" / "voyage.mmd"], tmp_path / "clean"))
    with pytest.raises(UserError, match="would be overwritten"):
        list(clean_files([tmp_path / "voyage.mmd"], tmp_path))


def test_a_profile_that_is_not_there_is_the_users_mistake(tmp_path):
    (tmp_path / "voyage.mmd").write_text(STORY[0])
    with pytest.raises(UserError, match="profile nosuch: cannot be read"):
        list(clean_files([tmp_path / "voyage.mmd"], tmp_path / "clean", profile="nosuch"))
