"""Decks in a batch: found at a source, each task run so that one deck's trouble stays its own, reported together."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from pydantic import ValidationError

from pagemill.cloud.checks import check_deck_review
from pagemill.decks.asking import ModelUnavailable
from pagemill.decks.batch import collecting, running
from pagemill.decks.batch.collecting import collect_decks, deck_items, fingerprint_of
from pagemill.decks.batch.items import deck_of
from pagemill.decks.batch.outcomes import TaskOutcome
from pagemill.decks.batch.reporting import ReviewRow, conclude_review, link_to, report_reviews
from pagemill.decks.batch.running import BatchDeck, TimeLimit, review_deck, review_parameters
from pagemill.decks.records import Deck, Reason, Status
from pagemill.decks.review import review
from pagemill.decks.tasks import BY_NAME, TASKS, Parameters
from pagemill.decks.template import keep_template, load_template
from pagemill.errors import UserError
from pagemill.storage import Store
from tests.decks import FOLDER, HEALTH, NO_OCR, PARCELS, ScriptedModel, context_of, prepared, scripted
from tests.model_server import running_model_server

PARAMETERS = Parameters(slides=NO_OCR)
ODD_NAME = 'Übung {{$}} "final" 100%/v2'.replace("/", " ")
SERVERS = {"vision_url": "http://127.0.0.1:1", "vision_model": "eye", "text_url": "http://127.0.0.1:1"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a deck of an odd name, another below it, the first once more, and a file that is no PDF."""
    folder = tmp_path / "source"
    (folder / "below").mkdir(parents=True)
    (folder / f"{ODD_NAME}.pdf").write_bytes((FOLDER / f"{HEALTH}.pdf").read_bytes())
    (folder / "below" / "Parcels.PDF").write_bytes((FOLDER / f"{PARCELS}.pdf").read_bytes())
    (folder / "zebra.pdf").write_bytes((FOLDER / f"{HEALTH}.pdf").read_bytes())
    (folder / "notes.pdf").write_text("not a deck")
    (folder / "notes.txt").write_text("no deck either")
    return folder


def answering(capability: str) -> bool:
    return True


def batch_deck(deck: Deck, store: Store, model: ScriptedModel, answers: Callable[[str], bool] = answering) -> BatchDeck:
    return BatchDeck(deck, PARAMETERS, context_of(store, model), answers)


def run_all(batch: BatchDeck) -> dict[str, TaskOutcome]:
    """Run the tasks as a pipeline does, each handing on a file."""
    outcomes: dict[str, TaskOutcome] = {}
    for task in TASKS:
        needs = [TaskOutcome.model_validate_json(outcomes[need].model_dump_json()) for need in task.needs]
        outcomes[task.name] = batch.outcome(task.name, needs)
    return outcomes


# What is at a source


def test_every_file_of_a_source_has_a_row_and_every_pdf_becomes_one_deck(source: Path, store: Store) -> None:
    manifest = collect_decks(str(source), store)
    assert [(row.name, row.status, row.reason, row.detail) for row in manifest.rows] == [
        ("below/Parcels.PDF", "ok", None, ""),
        ("notes.pdf", "failed", "not_a_pdf", ""),
        ("zebra.pdf", "ok", None, ""),
        (f"{ODD_NAME}.pdf", "skipped", "same_pdf", "zebra.pdf"),
    ]
    assert (manifest.counts["decks"], manifest.counts["rows_failed"]) == (2, 1)
    decks = [deck_of(item) for item in deck_items(manifest.rows)]
    assert [deck.name for deck in decks] == ["Parcels.PDF", "zebra.pdf"]
    assert all(store.exists(deck.pdf) for deck in decks)


def test_a_deck_s_name_survives_the_way_through_an_orchestrator(source: Path, store: Store) -> None:
    (item,) = deck_items(collect_decks(str(source / f"{ODD_NAME}.pdf"), store).rows)
    assert deck_of(item).name == f"{ODD_NAME}.pdf"
    assert item.isascii()
    assert set(item).isdisjoint('{}"$ ')


@pytest.mark.parametrize(("below", "decks"), [("*.pdf", 1), ("**/*.pdf", 2), ("below", 1), ("zebra.pdf", 1)])
def test_a_source_is_a_folder_a_glob_or_a_file(source: Path, store: Store, below: str, decks: int) -> None:
    assert collect_decks(f"{source}/{below}", store).counts["decks"] == decks


def test_a_source_may_be_elsewhere(store: Store) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/pitches/a.pdf", (FOLDER / f"{PARCELS}.pdf").read_bytes())
    manifest = collect_decks("memory://pitches", store)
    assert store.read_bytes(manifest.rows[0].deck.pdf).startswith(b"%PDF-")
    memory.rm("/pitches", recursive=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pattern": "*.pptx"}, r"holds no file that matches '\*\.pptx'"),
        ({"pattern": "notes.*"}, "none of its 2 files is a PDF"),
    ],
)
def test_a_source_without_decks_is_a_mistake(source: Path, store: Store, options: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        collect_decks(str(source), store, **options)


def test_more_decks_than_a_run_collects_are_refused_before_any_is_fetched(
    source: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAX_DECKS", 3)
    with pytest.raises(UserError, match=r"holds 4 files that match .* and a run takes 3"):
        collect_decks(str(source), store)
    assert store.names("pdf") == []


def test_the_fingerprint_follows_what_is_there(source: Path) -> None:
    before = fingerprint_of(str(source), "*.pdf")
    (source / "notes.txt").write_text("something else")
    assert fingerprint_of(str(source), "*.pdf") == before
    (source / "zebra.pdf").unlink()
    assert fingerprint_of(str(source), "*.pdf") != before


# A task of a deck


def test_a_batch_finds_what_a_review_in_one_process_finds(store: Store, tmp_path: Path) -> None:
    found = review(prepared(HEALTH, store), context_of(store, scripted()), PARAMETERS)
    other = Store(str(tmp_path / "other"))
    outcomes = run_all(batch_deck(prepared(HEALTH, other), other, scripted()))
    digests = [each.metadata["content_digest"] for each in outcomes.values()]
    assert digests == [result.content_digest for result in found.results]


def test_an_answer_that_stays_bad_is_the_trouble_of_its_deck(store: Store) -> None:
    outcomes = run_all(batch_deck(prepared(HEALTH, store), store, scripted(extractions=["bad"])))
    told = {name: (each.metadata["status"], each.metadata["reason"]) for name, each in outcomes.items()}
    assert told == {
        "visual_analysis": ("ok", ""),
        "slide_feedback": ("ok", ""),
        "extractions_and_template": ("failed", "bad_answer"),
        "specialized_clinical": ("skipped", "need_failed"),
        "specialized_regulatory": ("skipped", "need_failed"),
        "specialized_science": ("skipped", "need_failed"),
    }
    assert outcomes["extractions_and_template"].metadata["calls"] == 2
    assert outcomes["visual_analysis"].metadata.keys() == outcomes["specialized_science"].metadata.keys()


def test_a_deck_that_does_not_open_is_its_own_trouble(store: Store) -> None:
    gone = Deck(pdf_sha256="0" * 64, name="gone.pdf")
    outcome = batch_deck(gone, store, scripted()).outcome("slide_feedback", [])
    assert outcome.trouble is not None
    assert (outcome.trouble.status, outcome.trouble.reason) == (Status.FAILED, Reason.STAGE_FAILED)
    assert outcome.trouble.detail.startswith("gone.pdf: ")


def test_a_server_that_refuses_is_no_deck_s_trouble(store: Store) -> None:
    def refusing(capability: str) -> bool:
        raise UserError("eye at http://127.0.0.1:1", "it does not accept the key", "name the right one")

    with pytest.raises(UserError, match="does not accept the key"):
        batch_deck(Deck(pdf_sha256="0" * 64, name="gone.pdf"), store, scripted(), refusing).outcome(
            "visual_analysis", []
        )


def test_a_model_out_of_reach_fails_the_task_and_the_next_attempt_goes_on(store: Store) -> None:
    deck, model = prepared(HEALTH, store), scripted(slide_3=["silent"])
    with pytest.raises(ModelUnavailable):
        batch_deck(deck, store, model, lambda capability: False).outcome("visual_analysis", [])
    outcome = batch_deck(deck, store, model).outcome("visual_analysis", [])
    assert outcome.metadata["failed_parts"] == 0
    assert model.counts["slide 1"] == 1


def test_a_slide_for_which_a_model_never_answers_is_a_gap(store: Store) -> None:
    outcome = batch_deck(prepared(HEALTH, store), store, scripted(slide_3=["silent"] * 2)).outcome(
        "visual_analysis", []
    )
    assert (outcome.metadata["failed_parts"], outcome.metadata["is_final"]) == (1, 0)
    assert outcome.metadata["calls"] == 10 + 1  # of those in vain, one is in the result


def test_a_specialist_for_whom_a_model_never_answers_is_a_trouble(store: Store) -> None:
    outcomes = run_all(batch_deck(prepared(HEALTH, store), store, scripted(science=["silent"] * 2)))
    assert outcomes["specialized_science"].metadata["reason"] == "model_unavailable"
    assert outcomes["specialized_clinical"].metadata["status"] == "ok"


@pytest.mark.parametrize("lost", ["visual_analysis", "extractions_and_template", "both"])
def test_what_has_left_the_store_since_it_was_cached_is_made_again(store: Store, lost: str) -> None:
    model = scripted()
    batch = batch_deck(prepared(HEALTH, store), store, model)
    outcomes = run_all(batch)
    for name in ("visual_analysis", "extractions_and_template"):
        output = outcomes[name].output
        assert output is not None
        if lost in (name, "both"):
            store.delete(output.result)
    science = outcomes["specialized_science"].output
    assert science is not None
    store.delete(science.result)

    again = batch.outcome("specialized_science", [outcomes["extractions_and_template"]])

    assert again == outcomes["specialized_science"]
    assert max(model.counts.values()) == 1  # every answer was there


def test_a_task_that_takes_too_long_ends_and_keeps_its_answers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    deck, model = prepared(HEALTH, store), scripted()
    with monkeypatch.context() as patch:
        patch.setitem(running.BY_NAME, "slide_feedback", dataclasses.replace(BY_NAME["slide_feedback"], attempts=0))
        with pytest.raises(TimeLimit, match=r"slide_feedback: \d+% done in 0 s"):
            batch_deck(deck, store, model).outcome("slide_feedback", [])
    batch_deck(deck, store, model).outcome("slide_feedback", [])
    assert model.counts["feedback 1"] == 1


def test_an_outcome_is_an_output_or_a_trouble() -> None:
    with pytest.raises(ValidationError, match="either an output or a trouble"):
        TaskOutcome(deck=Deck(pdf_sha256="0" * 64, name="deck.pdf"))


# What is asked, and of whom


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dpi": 300}, "dpi 300: Input should be less than or equal to 150"),
        ({"max_characters": 1}, "max_characters 1: "),
        ({"specialists": "never"}, "specialists never: is not known; give one of healthcare, always"),
        ({"template": "nothing"}, "template nothing: "),
        ({"template": "nowhere://nothing"}, "template nowhere://nothing: "),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        review_parameters(**options)  # type: ignore[arg-type]


def test_a_template_in_a_store_is_named_by_its_content() -> None:
    store = Store("memory://templates")
    template = load_template().model_copy(update={"name": "mine"})
    uri = keep_template(template, store)
    assert load_template(uri) == template
    assert keep_template(template, store) == uri
    store.filesystem.rm(store.root, recursive=True)


def test_before_a_run_begins_its_servers_and_its_key_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {
        "template": "healthcare", "specialists": "always", "dpi": 96, "max_slides": 5, "slide_ocr": False,
        "max_characters": 60_000, "vision_url": "http://127.0.0.1:1", "text_url": "http://127.0.0.1:1", "model_key": "",
    }  # fmt: skip
    check_deck_review(asked, True)
    with pytest.raises(UserError, match="not an address of HTTP"):
        check_deck_review(asked | {"text_url": "localhost"}, True)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UserError, match="env:NO_SUCH_KEY: is not set"):
        check_deck_review(asked | {"model_key": "env:NO_SUCH_KEY"}, True)
    check_deck_review(asked | {"model_key": "env:NO_SUCH_KEY"}, False)
    with pytest.raises(UserError, match="model_key: not the name of a secret"):
        check_deck_review(asked | {"model_key": "hunter2"}, False)


def test_a_deck_whose_need_failed_is_skipped_without_a_model(store: Store) -> None:
    deck = prepared(HEALTH, store)
    failed = batch_deck(deck, store, scripted(extractions=["bad"])).outcome(
        "extractions_and_template", [batch_deck(deck, store, scripted()).outcome("visual_analysis", [])]
    )
    outcome = review_deck(
        "specialized_science", f"{deck.pdf_sha256}/x.pdf", store, [failed], **SERVERS, text_model="reader"
    )
    assert outcome.trouble is not None
    assert (outcome.trouble.reason, outcome.trouble.detail) == (Reason.NEED_FAILED, "extractions_and_template")


def test_a_model_that_the_server_lacks_fails_the_task_and_a_broken_deck_does_not(store: Store) -> None:
    store.write_bytes(f"pdf/{'0' * 64}.pdf", b"%PDF-1.7 and no more")
    with running_model_server() as service:
        order = {"vision_url": service.endpoint, "slide_ocr": False}
        with pytest.raises(UserError, match="it has no such model"):
            review_deck("visual_analysis", f"{'0' * 64}/a.pdf", store, vision_model="unknown", **order)
        outcome = review_deck("visual_analysis", f"{'0' * 64}/a.pdf", store, vision_model="llava:13b", **order)
    assert outcome.trouble is not None
    assert outcome.trouble.detail.startswith("a.pdf: cannot be opened")


# What is told of it


def test_a_batch_is_told_on_one_page_and_in_a_row_for_every_file(source: Path, store: Store, tmp_path: Path) -> None:
    files = collect_decks(str(source), store)
    models = {"zebra.pdf": scripted(), "Parcels.PDF": scripted(PARCELS, extractions=["bad"])}
    reviews = []
    for item in deck_items(files.rows):
        deck = deck_of(item)
        prepared(HEALTH if deck.name == "zebra.pdf" else PARCELS, store)
        outcomes = run_all(batch_deck(deck, store, models[deck.name]))
        row = conclude_review(deck, outcomes.values(), store, tmp_path / "page")
        row.write(str(tmp_path / "row.json"))
        reviews.append(ReviewRow.read(str(tmp_path / "row.json")))

    figures = report_reviews(files, reviews, store, tmp_path / "index", tmp_path / "rows")

    rows = {row["name"]: row for row in map(json.loads, (tmp_path / "rows").read_text().splitlines())}
    assert [row["status"] for row in rows.values()] == ["failed", "failed", "ok", "skipped"]
    assert len({tuple(row) for row in rows.values()}) == 1  # the same columns
    health, parcels = rows["zebra.pdf"], rows["below/Parcels.PDF"]
    assert (health["startup_name"], health["funding_amount"], health["funding_currency"]) == (
        "Orrivane Health", "4200000", "EUR",
    )  # fmt: skip
    assert (health["healthcare"], health["slides"], health["calls"], health["flags"]) == ("yes", 10, 29, 0)
    assert (parcels["reason"], parcels["startup_name"]) == ("bad_answer", None)
    assert parcels["tasks"]["specialized_science"]["reason"] == "need_failed"
    assert (figures["files"], figures["files_not_pdf"], figures["decks"], figures["decks_failed"]) == (4, 1, 2, 1)
    page = (tmp_path / "index").read_text()
    for row in (health, parcels):
        assert store.read_bytes(row["report"]).startswith(b"<!DOCTYPE html>")
        assert store.read_json(row["review"])["deck"]["pdf_sha256"] == row["pdf_sha256"]
        assert f'href="{link_to(store.uri_of(row["report"]))}"' in page
    assert "extractions and template: bad answer" in page
    assert "same pdf as zebra.pdf" in page
    assert "EUR 4,200,000" in page


def test_a_report_in_a_bucket_has_an_address_that_browsers_open() -> None:
    assert link_to("gs://bucket/a b.html") == "https://storage.cloud.google.com/bucket/a%20b.html"
    assert link_to("/store/a.html") == "file:///store/a.html"
