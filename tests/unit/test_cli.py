"""The `pagemill` command: its help, its exit codes and its one-line complaints."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rars
from typer.testing import CliRunner

from pagemill import __version__
from pagemill.cli import app
from pagemill.cloud.compiled import parameters_of
from pagemill.errors import UserError

DEMO = Path(__file__).parents[2] / "demo"
PAGEMILL = Path(sys.executable).with_name("pagemill")


def pagemill(*arguments, **options):
    return subprocess.run([PAGEMILL, *map(str, arguments)], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "command",
    [
        "extract",
        "ocr",
        "clean",
        "chunk",
        "inspect",
        "ledger",
        "drops",
        "compile",
        "run",
        "run book-dataset",
        "decks review",
    ],
)
def test_every_command_explains_itself(command):
    help_text = pagemill(*command.split(), "--help")
    assert help_text.returncode == 0
    assert "Usage: pagemill" in help_text.stdout
    assert command == "run" or "Example" in help_text.stdout


def test_help_imports_neither_torch_nor_kfp():
    program = """
import sys
from pagemill.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
print(sorted({"torch", "kfp", "pyarrow", "pandas", "transformers"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_version():
    assert pagemill("--version").stdout.strip() == __version__


def test_run_offers_every_parameter_of_the_pipeline():
    shown = pagemill("run", "book-dataset", "--help", env={"COLUMNS": "200", "PATH": "/usr/bin"}).stdout
    for parameter in parameters_of("book-dataset"):
        assert f"--{parameter.name.replace('_', '-')}" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["extract", "nowhere.rar", "--out", "out"], "nowhere.rar"),
        (["ocr", "nowhere.pdf", "--checkpoint", "nowhere", "--out", "out"], "nowhere"),
        (["clean", "nowhere.mmd", "--out", "out"], "nowhere"),
        (["chunk", "nowhere.mmd", "--tokenizer", "nowhere.json"], "nowhere"),
        (["inspect", "nowhere.mmd", "--tokenizer", "nowhere.json"], "nowhere"),
        (["ledger", "nowhere"], "nowhere"),
        (["drops", "nowhere"], "nowhere"),
        (["run", "book-dataset", "--source", "nowhere", "--store", "store", "--publish", "dataset"], "nowhere"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_that_names_it_and_exit_code_2(tmp_path, arguments, complaint):
    done = pagemill(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("pagemill: ")
    assert complaint in last


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max-shards", "101"),
        ("target-tokens", "5000"),
        ("max-failed-fraction", "2"),
        ("fallback", "guess"),
        ("publish", "hf://not-a-name"),
        ("passwords", "nowhere.txt"),
        ("checkpoint", "nowhere"),
        ("tokenizer", "nowhere.json"),
        ("profile", "nowhere.yaml"),
    ],
)
def test_what_a_later_task_would_refuse_is_refused_before_the_run_starts(tmp_path, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)
    options = {"source": DEMO / "samples", "store": "store", "publish": "out", "checkpoint": DEMO / "checkpoint"}
    words = [word for name, each in (options | {option: value}).items() for word in (f"--{name}", each)]
    with pytest.raises(UserError, match=re.escape(value)):
        CliRunner().invoke(app, ["run", "book-dataset", *map(str, words)], catch_exceptions=False)
    assert not (tmp_path / "store" / "runs").exists()


def test_a_pipeline_that_does_not_exist_is_a_usage_error():
    assert pagemill("run", "no-such-pipeline").returncode == 2


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_extract_takes_pdfs_by_default_and_anything_by_pattern(tmp_path):
    archive = tmp_path / "mixed.rar"
    builder = rars.RarBuilder(format="rar50", store=False)
    builder.add_bytes(b"%PDF-1.4 tiny", "books/tiny.pdf", mtime=0)
    builder.add_bytes(b"plain", "notes/read me.txt", mtime=0)
    builder.write(str(archive))

    done = pagemill("extract", archive, "--out", tmp_path / "pdfs")
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path / "pdfs") == {"manifest.jsonl", "mixed/books/tiny.pdf"}

    done = pagemill("extract", archive, "--out", tmp_path / "all", "--members", "*")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "all" / "manifest.jsonl").read_text().splitlines()]
    assert {row["name"]: row["status"] for row in rows} == {"books/tiny.pdf": "ok", "notes/read me.txt": "ok"}
    assert (tmp_path / "all/mixed/notes/read me.txt").read_bytes() == b"plain"


def test_extract_that_gets_nothing_out_is_no_success(tmp_path):
    done = pagemill("extract", DEMO / "samples" / "secret.rar", "--out", tmp_path)
    assert done.returncode == 2
    assert "wrong_password" in done.stderr.strip().splitlines()[-1]
    assert "wrong_password" in (tmp_path / "manifest.jsonl").read_text()


def test_extract_that_gets_some_of_it_out_says_how_many(tmp_path):
    done = pagemill("extract", DEMO / "samples" / "damaged.rar", "--out", tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("1 failed, 2 ok")


def test_chunk_writes_jsonl_to_the_standard_output(tmp_path):
    book = tmp_path / "book.mmd"
    book.write_text("# One\n\nA sentence here. Another there.\n\n# Two\n\n\\[ x = 1 \\]\n")
    done = pagemill("chunk", book, "--tokenizer", DEMO / "checkpoint" / "tokenizer.json", "--max-tokens", 64)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["heading_path"] for row in rows] == [["One"], ["Two"]]
    assert "".join(row["text"] for row in rows) == book.read_text()


def test_inspect_writes_a_page_and_says_where(tmp_path):
    book = tmp_path / "book.mmd"
    book.write_text("# One\n\nA sentence here.\n\n# Two\n\nAnother there.\n")
    tokenizer = DEMO / "checkpoint" / "tokenizer.json"
    done = pagemill("inspect", book, "--tokenizer", tokenizer, "--max-tokens", 64, "--overlap-tokens", 8)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{book}.html"
    assert "target 64, maximum 64, overlap 8" in (tmp_path / "book.mmd.html").read_text()


def test_ocr_then_ledger(tmp_path, demo_pdf):
    done = pagemill("ocr", demo_pdf, "--checkpoint", DEMO / "checkpoint", "--out", tmp_path / "text")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "text" / f"{demo_pdf.stem}.mmd").read_text().strip()
    counted = pagemill("ledger", tmp_path / "text" / "ledger.jsonl")
    assert counted.returncode == 0, counted.stderr
    assert "empty" in counted.stdout, "the treatise has a blank page"


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, demo_pdf):
    out = tmp_path / "text"
    command = [PAGEMILL, "ocr", demo_pdf, "--checkpoint", DEMO / "checkpoint", "--out", out]
    small_files = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]  # 4 KiB at most
    done = subprocess.run([*small_files, *command], capture_output=True, text=True)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "File too large; free some space and run it again, it goes on" in done.stderr
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_compile_check_agrees_with_what_is_committed():
    assert pagemill("compile", "--check").returncode == 0
