"""The six tasks together: as data for a queue, in one process, and as a report."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from pagemill.decks.asking import ModelUnavailable
from pagemill.decks.keeping import ResultLost
from pagemill.decks.records import Deck, Reason, Status
from pagemill.decks.report import markdown, plain, write_markdown, write_report
from pagemill.decks.review import Review, Trouble, assemble_review, review
from pagemill.decks.specialized import When
from pagemill.decks.tasks import BY_NAME, PIPELINE, TASKS, Parameters, TaskInput, TaskOutput, run_task
from pagemill.errors import UserError
from pagemill.flow.spec import PipelineSpec, TaskSpec
from pagemill.storage import Store
from tests.decks import (
    HEALTH,
    NO_OCR,
    PARCELS,
    SECONDS,
    TOKENS_IN,
    TOKENS_OUT,
    ScriptedModel,
    context_of,
    prepared,
    scripted,
    truth_of,
)

PARAMETERS = Parameters(slides=NO_OCR)
SPECIALISTS = {"specialized_clinical", "specialized_regulatory", "specialized_science"}


@pytest.fixture
def deck(store: Store) -> Deck:
    return prepared(HEALTH, store)


def reviewed(deck: Deck, store: Store, model: ScriptedModel, parameters: Parameters = PARAMETERS) -> Review:
    return review(deck, context_of(store, model), parameters)


def run_as_a_queue_does(deck: Deck, store: Store, model: ScriptedModel) -> dict[str, TaskOutput]:
    """Run each task from JSON to JSON, as if each ran in another container."""
    outputs: dict[str, TaskOutput] = {}
    for task in TASKS:
        needs = {need: outputs[need].result for need in task.needs}
        order = TaskInput(task=task.name, deck=deck, parameters=PARAMETERS, needs=needs).model_dump_json()
        answer = run_task(TaskInput.model_validate_json(order), context_of(store, model)).model_dump_json()
        outputs[task.name] = TaskOutput.model_validate_json(answer)
    return outputs


# Tasks


def test_the_tasks_are_a_pipeline() -> None:
    spec = PipelineSpec(PIPELINE, tuple(TaskSpec(**task.spec()) for task in TASKS))
    assert sum(task.weight for task in spec.tasks) == 100
    assert spec.dependents(["visual_analysis"]) == {"extractions_and_template"} | SPECIALISTS
    assert {task.name for task in spec.tasks if task.capability == "vision"} == {"visual_analysis", "slide_feedback"}


def test_a_task_says_where_its_result_is_and_what_it_took(deck: Deck, store: Store) -> None:
    model = scripted(slide_3=["bad"])
    output = run_task(TaskInput(task="visual_analysis", deck=deck, parameters=PARAMETERS), context_of(store, model))
    assert store.exists(output.result)
    assert (output.status, output.parts, output.failed_parts, output.is_final) == (Status.OK, 10, 1, True)
    assert (output.calls, output.tokens_in, output.tokens_out) == (11, 11 * TOKENS_IN, 11 * TOKENS_OUT)
    assert output.model_seconds == 11 * SECONDS


def test_task_by_task_through_json_is_the_same_as_in_one_process(deck: Deck, store: Store, tmp_path: Path) -> None:
    one = reviewed(deck, store, scripted())
    other = Store(str(tmp_path / "other"))
    outputs = run_as_a_queue_does(prepared(HEALTH, other), other, scripted())
    queued = assemble_review(deck, {name: output.result for name, output in outputs.items()}, other)
    assert queued.content_digest == one.content_digest
    assert queued.troubles == one.troubles == ()


def test_a_skipped_task_says_why(store: Store) -> None:
    outputs = run_as_a_queue_does(prepared(PARCELS, store), store, scripted(PARCELS))
    skipped = {name for name, output in outputs.items() if output.reason is Reason.NOT_HEALTHCARE}
    assert skipped == SPECIALISTS
    assert {outputs[name].status for name in skipped} == {Status.SKIPPED}


def test_a_lost_visual_analysis_is_missed_by_name_and_made_again_without_the_rest(deck: Deck, store: Store) -> None:
    model = scripted()
    outputs = run_as_a_queue_does(deck, store, model)
    lost = outputs["visual_analysis"].result
    store.delete(lost)
    needs = {"extractions_and_template": outputs["extractions_and_template"].result}
    order = TaskInput(task="specialized_science", deck=deck, parameters=PARAMETERS, needs=needs)
    with pytest.raises(ResultLost, match=lost):
        run_task(order, context_of(store, model))

    again = run_task(TaskInput(task="visual_analysis", deck=deck, parameters=PARAMETERS), context_of(store, model))
    assert again == outputs["visual_analysis"]
    assert run_task(order, context_of(store, model)) == outputs["specialized_science"]
    assert model.counts.total() == len(set(model.counts))  # nothing was asked twice


def test_results_of_another_deck_and_names_of_other_files_are_refused(deck: Deck, store: Store) -> None:
    other = run_as_a_queue_does(prepared(PARCELS, store), store, scripted(PARCELS))["visual_analysis"].result
    order = TaskInput(task="extractions_and_template", deck=deck, needs={"visual_analysis": other})
    with pytest.raises(ValueError, match="is of another deck"):
        run_task(order, context_of(store, scripted()))
    with pytest.raises(ValidationError):
        TaskInput(
            task="extractions_and_template", deck=deck, needs={"visual_analysis": "decks/visual/../../pdf/x.json"}
        )


def test_a_task_on_its_last_attempt_takes_gaps(deck: Deck, store: Store) -> None:
    model = scripted(feedback_1=["silent", "silent"])
    order = TaskInput(task="slide_feedback", deck=deck, parameters=PARAMETERS)
    with pytest.raises(ModelUnavailable):
        run_task(order, context_of(store, model))
    output = run_task(order.model_copy(update={"accept_missing": True}), context_of(store, model))
    assert (output.failed_parts, output.is_final) == (1, False)


# All in one process


def test_a_review_runs_every_task_and_a_second_one_asks_nothing(deck: Deck, store: Store) -> None:
    model = scripted()
    first = reviewed(deck, store, model)
    assert first.troubles == ()
    assert len(first.calls) == model.counts.total() == 10 + 10 + 1 + 5 + 3
    model.asked.clear()
    assert reviewed(deck, store, model) == first
    assert model.asked == []


def test_trouble_on_the_way_changes_no_finding(deck: Deck, store: Store, tmp_path: Path) -> None:
    smooth = reviewed(deck, store, scripted())
    other = Store(str(tmp_path / "other"))
    rough = scripted(
        slide_2=["silent"], slide_7=["repaired"], feedback_4=["silent", "repaired"], extractions=["repaired"],
        section_market=["silent"], clinical=["repaired"],
    )  # fmt: skip
    reviewed(prepared(HEALTH, other), other, rough)
    settled = reviewed(deck, other, rough)
    assert settled.content_digest == smooth.content_digest


def test_progress_is_that_of_the_whole_and_never_falls(deck: Deck, store: Store) -> None:
    shares: list[float] = []
    review(deck, context_of(store, scripted(), progress=shares.append), PARAMETERS)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_task_that_fails_costs_those_that_need_it(deck: Deck, store: Store) -> None:
    shares: list[float] = []
    model = scripted(extractions=["bad"])
    found = review(deck, context_of(store, model, progress=shares.append), PARAMETERS)
    assert {each.task: (each.status, each.reason) for each in found.troubles} == {
        "extractions_and_template": (Status.FAILED, Reason.BAD_ANSWER),
        **dict.fromkeys(SPECIALISTS, (Status.SKIPPED, Reason.NEED_FAILED)),
    }
    (bad,) = (each for each in found.troubles if each.raw)
    assert (bad.raw[1], len(bad.calls), len(found.calls)) == ("I am only a model", 2, 10 + 10 + 2)
    assert found.visual is not None
    assert found.feedback is not None
    assert (found.extractions, found.specialists) == (None, ())
    assert shares[-1] == pytest.approx(1.0)

    assert reviewed(deck, store, model).troubles == ()
    assert model.counts["slide 1"] == 1


def test_specialists_see_every_deck_when_told_so(store: Store) -> None:
    always = PARAMETERS.model_copy(update={"specialists": When.ALWAYS})
    found = reviewed(prepared(PARCELS, store), store, scripted(PARCELS), always)
    assert {each.status for each in found.specialists} == {Status.OK}


def test_a_deck_that_does_not_open_is_the_user_s_matter(store: Store) -> None:
    deck = Deck(pdf_sha256="0" * 64, name="gone.pdf")
    with pytest.raises(UserError, match=r"gone\.pdf: pdf/0+\.pdf is not in the store"):
        reviewed(deck, store, scripted())


def test_a_result_that_is_gone_is_a_trouble_of_the_review(deck: Deck, store: Store) -> None:
    found = assemble_review(deck, {"slide_feedback": "decks/feedback/none.json"}, store)
    assert [(each.task, each.reason) for each in found.troubles] == [("slide_feedback", Reason.STAGE_FAILED)]


# Reports


def test_the_page_tells_what_was_found_where_and_shows_the_slides(deck: Deck, store: Store, tmp_path: Path) -> None:
    page = write_report(reviewed(deck, store, scripted()), store, tmp_path / "out" / "deck.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 10
    assert "EUR 4,200,000" in page
    assert '<q>Seed round of EUR 4.2 million, priced</q> <a href="#slide-10">' in page
    assert {int(number) for number in re.findall(r'href="#slide-(\d+)"', page)} <= set(range(1, 11))
    assert all(f'id="slide-{number}"' in page for number in range(1, 11))
    assert "Planned revenue (EUR million): 2026 0.3, 2027 1.1" in page
    assert 'class="flag"' not in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)  # it needs no other file


def test_the_page_tells_what_failed_and_why_and_flags_what_is_wrong(deck: Deck, store: Store, tmp_path: Path) -> None:
    model = scripted(slide_3=["bad"], feedback_5=["bad"], section_team=["bad"], science=["bad"])
    model.truth["extractions"]["funding_amount"]["value"] = 4.2
    model.truth["extractions"]["deck_date"]["value"] = None
    page = write_report(reviewed(deck, store, model), store, tmp_path / "deck.html").read_text()
    for what in ("Description of slide 3", "Feedback on slide 5", "Section Team and round", "Scientific hypothesis"):
        assert f'<tr><td>{what}</td><td class="poor">bad answer</td>' in page
    assert "<pre>I am only a model</pre>" in page
    assert "<td>Scientific hypothesis, in vain</td>" in page
    assert 'EUR 4.2 <span class="flag">mismatch</span> <span class="soft">the words say EUR 4200000</span>' in page
    assert "the deck does not say" in page


def test_the_page_counts_calls_tokens_and_seconds(deck: Deck, store: Store, tmp_path: Path) -> None:
    page = write_report(reviewed(deck, store, scripted()), store, tmp_path / "deck.html").read_text()
    total = page[page.index("<th>together</th>") :]
    assert re.findall(r'class="number">([^<]*)<', total) == [
        "29",
        "0",
        f"{29 * TOKENS_IN:,}",
        f"{29 * TOKENS_OUT:,}",
        "7.2",
    ]


def test_a_review_of_which_little_is_known_has_a_page(store: Store, tmp_path: Path) -> None:
    trouble = Trouble(task="visual_analysis", status=Status.FAILED, reason=Reason.MODEL_UNAVAILABLE, detail="no answer")
    bare = Review(deck=Deck(pdf_sha256="0" * 64, name="deck.pdf"), troubles=(trouble,))
    assert "model unavailable" in write_report(bare, store, tmp_path / "deck.html").read_text()
    assert "Visual analysis: model unavailable, no answer" in markdown(bare)


def test_what_models_and_decks_write_is_text_and_no_markup(deck: Deck, store: Store, tmp_path: Path) -> None:
    model = scripted()
    model.truth["slides"][0]["title"] = "<script>alert(1)</script>"
    model.truth["specialists"]["clinical"]["summary"] = "[click](http://example.com) <img src=x>"
    found = reviewed(deck, store, model)
    page = write_report(found, store, tmp_path / "deck.html").read_text()
    assert "<script>" not in page
    assert "<img src=x>" not in page
    text = write_markdown(found, tmp_path / "deck.md").read_text()
    assert "\\<script\\>" in text
    assert "\\[click\\]" in text


def test_the_markdown_tells_the_same(deck: Deck, store: Store) -> None:
    text = markdown(reviewed(deck, store, scripted()))
    assert text.startswith("# Orrivane Health\n")
    assert '- Asks for: EUR 4,200,000 "Seed round of EUR 4.2 million, priced" (slide 10)' in text
    for answer in truth_of(HEALTH)["template"].values():
        assert plain(answer["answer"]) in text
    for specialist in truth_of(HEALTH)["specialists"].values():
        assert plain(specialist["summary"]) in text


def test_skipped_specialists_are_told_in_both(store: Store, tmp_path: Path) -> None:
    found = reviewed(prepared(PARCELS, store), store, scripted(PARCELS))
    assert markdown(found).count("Skipped: not healthcare.") == 3
    assert write_report(found, store, tmp_path / "deck.html").read_text().count("Skipped: not healthcare.") == 3


def test_every_task_is_known_by_its_name() -> None:
    assert list(BY_NAME) == [task.name for task in TASKS]
