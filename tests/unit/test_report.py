"""The report of a run: the ledger's numbers on one page that needs nothing else, however far the run came."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from pagemill.archives.shards import balance
from pagemill.costs.comparison import compare
from pagemill.costs.prices import load_prices
from pagemill.documents import drops_name
from pagemill.manifest import Manifest
from pagemill.plots import bar_chart
from pagemill.records import BookRecord, Drop, Reason
from pagemill.report import report_run, shown_value, without_secrets
from pagemill.runs import find_run
from pagemill.storage import Store
from tests import chain

PARAMETERS: dict[str, Any] = {
    "source": "/in",
    "pattern": "*.rar",
    "source_fingerprint": "1",
    "max_shards": 2,
    "checkpoint": "/models/demo",
    "target_tokens": "512",
    "name": "books",
}
SHARD_STAGES = (
    "fetch_archives",
    "extract_pdfs",
    "inspect_pdfs",
    "recognize_pages",
    "clean_documents",
    "chunk_documents",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def report(store: Store, tmp_path: Path, **how: Any) -> html.HtmlElement:
    out = report_run(store, tmp_path / "out/report.html", **{"parameters": PARAMETERS, **how})
    return html.fromstring(out.read_text(encoding="utf-8"))


def tile(page: html.HtmlElement, what: str) -> tuple[int, str]:
    (element,) = page.xpath(f"//div[@class='tile'][text()='{what}']")
    number = int(element.findtext("b").replace(",", ""))
    return number, element.findtext("div") or ""


def table(page: html.HtmlElement, name: str) -> list[list[str]]:
    rows = page.xpath(f"//table[@id='{name}']/tbody/tr")
    return [[cell.text_content().strip() for cell in row.xpath("td|th")] for row in rows]


def chart_labels(page: html.HtmlElement, title: str) -> list[str]:
    (figure,) = page.xpath(f"//figure[figcaption='{title}']")
    return [text.text_content() for text in figure.xpath(".//*[local-name()='text']")]


def forget(store: Store, *stages: str) -> None:
    """Remove the manifests of stages, as if the run had not come so far."""
    for stage in stages:
        for folder in store.folders(f"manifests/{stage}"):
            for name in store.names(folder):
                store.delete(name)


def test_the_samples_are_planned_as_the_plan_would() -> None:
    assert [[archive.name for archive in shard] for shard in balance(chain.sample_archives(), 2)] == [
        ["a.rar"],
        ["b.rar"],
    ]


def test_a_finished_run_shows_the_numbers_of_the_ledger(store: Store, tmp_path: Path) -> None:
    dataset = chain.build(store, chain.sample_chains(store))
    page = report(store, tmp_path, status="SUCCEEDED")
    assert page.findtext(".//h1/span") == "done"
    assert tile(page, "archives") == (2, "in 2 shards")
    assert tile(page, "members") == (dataset.counts["members"], "1 failed")
    assert tile(page, "PDFs") == (dataset.counts["pdfs"], "1 failed")
    assert tile(page, "pages") == (dataset.counts["pages"], "2 failed")
    assert tile(page, "documents")[0] == dataset.counts["documents"]
    assert tile(page, "chunks") == (dataset.counts["chunks"], f"{dataset.counts['tokens']} tokens")


def test_what_failed_is_listed_with_its_reason(store: Store, tmp_path: Path) -> None:
    chain.build(store, chain.sample_chains(store))
    page = report(store, tmp_path)
    assert table(page, "failed-members") == [["a.rar", "books/torn.pdf", "checksum_mismatch", "crc32 0 | not <1>"]]
    assert table(page, "failed-pdfs") == [["b.rar", "broken.pdf", "broken_pdf", ""]]
    assert sorted(table(page, "failed-pages")) == [
        ["a.rar", "books/euclid.pdf", "2", "repetition_from_start"],
        ["b.rar", "broken.pdf", "all", "broken_pdf"],
    ]


def test_what_rules_left_out_is_counted_and_shown_by_examples(store: Store, tmp_path: Path) -> None:
    shards = chain.sample_chains(store)
    assert table(report(store, tmp_path), "filtered") == []
    documents = Manifest.load(store, shards[0].parents[0], BookRecord)
    drops = [Drop(chain.EUCLID.sha256, page, "garbage_page", f"garbage_score 0.{page}", "<x>") for page in (5, 6)]
    book = Drop(chain.EUCLID.sha256, 0, "no_text", "characters 3 is below 20", "")
    name = f"documents/{documents.config_key}/{chain.EUCLID.sha256}.json"
    store.write_jsonl(drops_name(name), (drop.to_dict() for drop in [*drops, book]))
    assert table(report(store, tmp_path), "filtered") == [
        ["garbage_page", "2", "0", "books/euclid.pdf", "5", "garbage_score 0.5", "<x>"],
        ["", "", "", "books/euclid.pdf", "6", "garbage_score 0.6", "<x>"],
        ["no_text", "0", "1", "books/euclid.pdf", "all", "characters 3 is below 20", ""],
    ]


def test_the_charts_show_what_was_counted(store: Store, tmp_path: Path) -> None:
    chain.build(store, chain.sample_chains(store))
    page = report(store, tmp_path)
    labels = chart_labels(page, "Pages by status and reason")
    assert {"ok", "truncated repetition", "failed broken_pdf", "7"} <= set(labels)
    drops = chart_labels(page, "Left out, by reason")
    assert {"blank_page", "checksum_mismatch", "duplicate_text", "not_a_pdf"} <= set(drops)
    speeds = chart_labels(page, "Pages per second by stage")
    assert set(SHARD_STAGES) <= set(speeds)
    assert "1.75" in speeds  # 9 + 5 pages in twice 4 seconds of recognize_pages
    assert "4 to 7" in chart_labels(page, "Tokens of the chunks")


def test_the_estimate_stands_beside_what_was_measured(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    page = report(store, tmp_path, preset="vertex-2xa100")
    assert page.xpath("//h2[text()='Estimate and fact']")
    pages, speed, gpu_seconds, cost = table(page, "comparison")
    assert pages == ["pages", "14", "14"]
    # 6 pages in 19.5 s on an A10G, scaled by memory; 14 pages in two shards of 4 s on two GPUs
    assert speed == ["pages a second and GPU", "0.80 (0.31 to 1.33)", "0.88"]
    assert gpu_seconds[0] == "seconds of GPUs"
    assert gpu_seconds[2] == "16"
    # likely: 14 pages read by two GPUs, two starts of machine and model
    machine_seconds = 14 / 2 / (6 / 19.5 * 1555 / 600) + 2 * (180 + 90)
    assert gpu_seconds[1].startswith(f"{2 * machine_seconds:,.0f} (")
    per_hour = 7.34677 * 1.15 + 1000 * 0.17 * 1.15 / 730
    assert cost[0] == "cost of a2-highgpu-2g, USD"
    assert cost[1].startswith(f"{machine_seconds / 3600 * per_hour:.2f} (")
    assert cost[2] == f"{8 / 3600 * per_hour:.2f}"
    assert "list prices of 2026-08-20 in us-central1" in page.text_content()


def test_ones_own_machine_has_a_speed_alone(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    page = report(store, tmp_path)
    assert table(page, "comparison") == [["pages a second", "1.75"]]
    assert not page.xpath("//h2[text()='Estimate and fact']")


def test_what_a_server_elsewhere_read_is_not_held_against_machines_that_the_run_did_not_have(store: Store) -> None:
    chain.sample_chains(store)
    run = find_run(store, PARAMETERS)
    for shard in run.shards:
        read = shard.manifests["recognize_pages"]
        settings = {**read.settings, "device": "remote", "instances_per_gpu": 0}
        shard.manifests["recognize_pages"] = dataclasses.replace(read, settings=settings)
    elsewhere = compare(run, "vertex-a100-40", load_prices())
    assert elsewhere is not None
    assert elsewhere.rows == (("pages a second", "", "1.75"),)


def test_a_preset_that_is_not_known_and_a_run_that_read_nothing_are_compared_with_nothing(store: Store) -> None:
    chain.sample_chains(store)
    unknown = compare(find_run(store, PARAMETERS), "one-of-tomorrow", load_prices())
    assert unknown is not None
    assert unknown.rows == (("pages a second", "", "1.75"),)
    forget(store, *SHARD_STAGES[3:])
    assert compare(find_run(store, PARAMETERS), "gke-a100", load_prices()) is None


def test_a_comparison_says_which_prices_are_missing(store: Store) -> None:
    chain.sample_chains(store)
    elsewhere = compare(find_run(store, PARAMETERS), "gke-a100", load_prices(), region="us-east7")
    assert elsewhere is not None
    assert "There is no price for a2-highgpu-1g, SPOT, pd-balanced, a2-highgpu-1g." in elsewhere.remark


def test_every_shard_shows_how_far_it_came(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    assert [row[0] for row in table(report(store, tmp_path), "shards")] == ["a.rar", "b.rar"]
    forget(store, "recognize_pages")
    page = report(store, tmp_path, status="FAILED", error="no space left on device")
    for _, *states in table(page, "shards"):
        assert [state.split()[0] for state in states[:3]] == ["done"] * 3
        assert states[3:] == ["not finished", "not reached", "not reached"]
    assert page.findtext(".//h1/span") == "failed"
    assert page.findtext(".//pre") == "no space left on device"


@pytest.mark.parametrize("stopped_at", range(len(SHARD_STAGES)))
def test_a_run_that_stopped_anywhere_has_a_report(store: Store, tmp_path: Path, stopped_at: int) -> None:
    chain.sample_chains(store)
    forget(store, *SHARD_STAGES[stopped_at:])
    page = report(store, tmp_path, status="FAILED", error="it stopped")
    assert {len(row) for row in table(page, "shards")} == {1 + len(SHARD_STAGES)}
    assert tile(page, "members")[0] == (8 if stopped_at > 1 else 0)
    assert tile(page, "PDFs")[0] == (5 if stopped_at > 2 else 0)
    assert tile(page, "pages")[0] == (12 if stopped_at > 2 else 0)  # their ledgers are in the store already
    assert not page.xpath("//pre[contains(., 'incomplete')]")


def test_a_run_that_was_killed_while_reading_shows_the_pages_it_has(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    forget(store, "recognize_pages")
    for name in store.names("pages/ocr") + store.names("readings/ocr"):
        store.delete(name)
    rows = chain.page_rows(chain.EUCLID)
    part = f"readings/ocr/{chain.EUCLID.sha256}/000001-000002-a.jsonl"
    store.write_jsonl(part, (row.to_dict() for row in rows[:2]))
    store.write_jsonl(f"readings/ocr/{chain.FAUST.sha256}.jsonl", (r.to_dict() for r in chain.page_rows(chain.FAUST)))
    store.write_jsonl(f"readings/other/{chain.FAUST.sha256}.jsonl", (r.to_dict() for r in chain.page_rows(chain.FAUST)))
    assert tile(report(store, tmp_path), "pages") == (4, "1 failed")


def test_a_run_that_found_no_archives_has_a_report(store: Store, tmp_path: Path) -> None:
    page = report(store, tmp_path, status="FAILED", error="/in: holds no archive; check the source")
    assert page.findtext(".//pre").startswith("/in: holds no archive")
    assert tile(page, "archives") == (0, "in 0 shards")
    assert "No archives were discovered" in page.text_content()


def test_another_runs_manifests_are_not_taken(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    page = report(store, tmp_path, parameters={**PARAMETERS, "target_tokens": "256"})
    for _, *states in table(page, "shards"):
        assert states[5] == "not finished"


def test_parameters_may_come_as_the_pipeline_gives_them(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    page = report(store, tmp_path, parameters={**PARAMETERS, "max_shards": "2.0", "target_tokens": "512.0"})
    assert len(table(page, "shards")) == 2
    assert all("not" not in state for _, *states in table(page, "shards") for state in states)


@pytest.mark.parametrize("max_shards", ["0", "many", None])
def test_parameters_that_made_the_run_fail_do_not_make_the_report_fail(
    store: Store, tmp_path: Path, max_shards: str | None
) -> None:
    chain.sample_chains(store)
    page = report(store, tmp_path, parameters={**PARAMETERS, "max_shards": max_shards}, status="FAILED", error="why")
    assert page.findtext(".//pre").startswith("why\nThis report is incomplete.")


def test_a_damaged_store_does_not_make_the_report_fail(store: Store, tmp_path: Path) -> None:
    chain.sample_chains(store)
    store.delete(f"pages/ocr/{chain.EUCLID.sha256}.jsonl")
    page = report(store, tmp_path)
    assert "This report is incomplete. FileNotFoundError" in page.findtext(".//pre")
    assert len(table(page, "shards")) == 2


def test_the_page_needs_nothing_else(store: Store, tmp_path: Path) -> None:
    chain.build(store, chain.sample_chains(store))
    page = report(store, tmp_path)
    links = page.xpath("//@src | //@href | //@*[local-name()='href'] | //@data | //@action | //@poster")
    assert all(link.startswith("#") for link in links)
    assert not page.xpath("//script | //link | //iframe | //object | //embed | //img")
    text = (tmp_path / "out/report.html").read_text()
    assert not re.search(r"@import|url\((?!#)", text)
    assert not re.search(r"https?://", text)


def test_equal_runs_have_equal_pages(store: Store, tmp_path: Path) -> None:
    chain.build(store, chain.sample_chains(store))
    one, two = (
        report_run(store, tmp_path / name, parameters=PARAMETERS, preset="gke-a100").read_bytes()
        for name in ("1.html", "2.html")
    )
    assert one == two


def test_names_in_archives_stay_text(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<script>alert(1)</script>\udce9 $x^2$.pdf"
    torn = chain.member("a.rar", hostile, "", chain.Status.FAILED, Reason.DAMAGED_MEMBER)
    monkeypatch.setitem(chain.OTHER_MEMBERS, 0, [torn])
    chain.sample_chains(store)
    page = report(store, tmp_path)
    assert not page.xpath("//script")
    assert table(page, "failed-members")[0][1] == "<script>alert(1)</script>? $x^2$.pdf"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("hf_token", "hf_abcdefghijkl", "(set)"),
        ("token", "", "(not set)"),
        ("passwords", "env:RAR_PASSWORDS", "(set)"),
        ("client_secret", "s3cret", "(set)"),
        ("target_tokens", 512, "512"),
        ("max_tokens", "1024", "1024"),
        ("tokenizer", "/models/tokenizer.json", "/models/tokenizer.json"),
        ("source", "https://me:s3cret@example.org/books/", "https://***@example.org/books/"),
        (
            "source",
            "https://example.org/a.rar?X-Signature=s3cret&part=1",
            "https://example.org/a.rar?X-Signature=***&part=1",
        ),
        ("private", True, "true"),
    ],
)
def test_secrets_are_not_shown(name: str, value: object, shown: str) -> None:
    assert shown_value(name, value) == shown


def test_secrets_in_an_error_are_not_shown() -> None:
    assert without_secrets("401 for hf_abcdefghijklmnop at gs://b") == "401 for hf_*** at gs://b"


def test_no_secret_reaches_the_page(store: Store, tmp_path: Path) -> None:
    parameters = {**PARAMETERS, "hf_token": "s3cret", "publish": "https://me:s3cret@example.org"}
    report(store, tmp_path, parameters=parameters, error="GET https://me:s3cret@example.org failed")
    assert "s3cret" not in (tmp_path / "out/report.html").read_text()


def test_a_chart_is_the_same_each_time_and_takes_any_label() -> None:
    labels = ["plain", "a$b$ <i>", "_underscored_"]
    one, two = (bar_chart(labels, [1, 2000, 0], ["#111111"] * 3, axis="pages", title="t") for _ in range(2))
    assert one == two
    assert "a$b$ &lt;i&gt;" in one
    assert "2,000" in one
    assert "currentColor" in one
    assert "http" not in one


def test_a_logarithmic_chart_has_plain_numbers_on_its_axis() -> None:
    drawn = bar_chart(["fast", "slow"], [2000.0, 0.5], ["#111111"] * 2, axis="speed", title="t", logarithmic=True)
    labels = set(re.findall(r">([^<>\n]+)</text>", drawn))
    assert {"1", "10", "100", "1,000"} <= labels
    assert not any("$" in label for label in labels)
