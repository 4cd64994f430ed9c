"""The stages of a deck review: what they ask, what they keep, and what becomes of answers that are of no use."""

import threading
from pathlib import Path

import pytest

from pagemill.decks.asking import BadAnswer, ModelUnavailable
from pagemill.decks.extractions import KEEPER as EXTRACTIONS
from pagemill.decks.extractions import DeckExtractions, extractions_and_template
from pagemill.decks.feedback import slide_feedback
from pagemill.decks.grounding import Flag
from pagemill.decks.keeping import ResultLost, load
from pagemill.decks.records import Deck, Reason, Slide, Status, TextSource
from pagemill.decks.slides import KEEPER as SLIDES
from pagemill.decks.slides import SlideParameters, read_slides
from pagemill.decks.specialized import Specialty, When, specialized_analysis
from pagemill.decks.template import load_template
from pagemill.decks.visual import KEEPER as VISUAL
from pagemill.decks.visual import SlideAnalysis, VisualAnalysis, visual_analysis, visual_key
from pagemill.storage import Store
from tests.decks import (
    HEALTH,
    NO_OCR,
    PARCELS,
    ScriptedModel,
    about,
    context_of,
    prepared,
    scripted,
    truth_of,
)

SECTIONS = [section.id for section in load_template().sections]


@pytest.fixture
def deck(store: Store) -> Deck:
    return prepared(HEALTH, store)


def seen(deck: Deck, store: Store, model: ScriptedModel, **options: object) -> VisualAnalysis:
    return visual_analysis(deck, context_of(store, model), NO_OCR, **options)


def read(visual: VisualAnalysis, store: Store, model: ScriptedModel, **options: object) -> DeckExtractions:
    return extractions_and_template(visual, context_of(store, model), **options)


# What is seen


def test_every_slide_is_described(deck: Deck, store: Store) -> None:
    visual = seen(deck, store, scripted())
    truth = truth_of(HEALTH)["slides"]
    assert [row.description.title for row in visual.rows if row.description] == [slide["title"] for slide in truth]
    charts = {row.slide.number: row.description.charts for row in visual.rows if row.description.charts}
    assert [(point.label, point.value) for point in charts[7][0].points] == [
        ("2026", 0.3), ("2027", 1.1), ("2028", 3.4), ("2029", 7.8),
    ]  # fmt: skip
    assert VISUAL.name(visual.key) == f"decks/visual/{visual.key}.json"


def test_numbers_of_charts_that_the_slide_does_not_print_are_listed(deck: Deck, store: Store) -> None:
    model = scripted()
    model.truth["slides"][6]["charts"][0]["points"][1]["value"] = 1.6
    visual = seen(deck, store, model)
    assert {row.slide.number: row.unread_numbers for row in visual.rows if row.unread_numbers} == {7: (1.6,)}


def test_the_model_gets_the_picture_and_the_text_of_a_slide_and_no_other(deck: Deck, store: Store) -> None:
    model = scripted()
    visual = seen(deck, store, model)
    (question,) = (each for each in model.asked if about(each) == "slide 2")
    assert question.images == (store.read_bytes(visual.rows[1].slide.picture),)
    assert "390 million people" in question.text
    assert "Orrivane" not in question.text


def test_what_was_seen_is_not_asked_again(deck: Deck, store: Store) -> None:
    model = scripted()
    first = seen(deck, store, model)
    model.asked.clear()
    assert seen(deck, store, model) == first
    assert model.asked == []


def test_slides_that_were_described_before_a_kill_are_not_asked_for_again(deck: Deck, store: Store) -> None:
    class Killed(BaseException):
        pass

    def kill(what: str) -> None:
        if what == "slide 6":
            raise Killed

    model = scripted()
    model.before = kill
    with pytest.raises(Killed):
        visual_analysis(deck, context_of(store, model, parallel=1), NO_OCR)
    done = {what for what in model.counts if what != "slide 6"}
    assert done >= {f"slide {number}" for number in range(1, 6)}

    model.before, model.asked = lambda what: None, []
    again = seen(deck, store, model)
    assert not done & set(model.counts)
    assert again.content_digest == undisturbed(store, deck)


def undisturbed(store: Store, deck: Deck) -> str:
    """Return the digest of what is seen where nothing was seen before."""
    for name in (*store.names("decks/answers"), *store.names("decks/visual")):
        store.delete(name)
    return seen(deck, store, scripted()).content_digest


def test_slides_are_described_at_the_same_time(deck: Deck, store: Store) -> None:
    three = threading.Barrier(3, timeout=20)
    model = scripted()

    def meet(what: str) -> None:
        if what != "slide 10":
            three.wait()  # breaks unless three questions are open at a time

    model.before = meet
    visual_analysis(deck, context_of(store, model, parallel=3), NO_OCR)


def test_progress_rises_by_slides_to_one(deck: Deck, store: Store) -> None:
    shares: list[float] = []
    visual_analysis(deck, context_of(store, scripted(), progress=shares.append), NO_OCR)
    assert shares == [pytest.approx(number / 10) for number in range(1, 11)]


def test_what_progress_raises_ends_the_stage_and_keeps_what_was_answered(deck: Deck, store: Store) -> None:
    class Cancelled(Exception):
        pass

    def cancel(share: float) -> None:
        if share > 0.25:
            raise Cancelled

    model = scripted()
    with pytest.raises(Cancelled):
        visual_analysis(deck, context_of(store, model, progress=cancel, parallel=1), NO_OCR)
    assert model.counts.total() == 3
    seen(deck, store, model)
    assert model.counts.total() == 10


def test_an_answer_that_stays_bad_is_a_row_and_not_the_end_of_the_deck(deck: Deck, store: Store) -> None:
    visual = seen(deck, store, scripted(slide_3=["bad"], slide_5=["repaired"]))
    failed = [row for row in visual.rows if row.status is Status.FAILED]
    assert [(row.slide.number, row.reason) for row in failed] == [(3, Reason.BAD_ANSWER)]
    assert failed[0].raw == ('{"title": 3', "I am only a model")
    assert len(visual.calls) == 8 + 2 + 2
    assert sum(bool(call.error) for call in visual.calls) == 3
    assert visual.is_final


def test_a_silent_model_ends_the_stage_and_keeps_what_it_said(deck: Deck, store: Store) -> None:
    model = scripted(slide_4=["silent"])
    with pytest.raises(ModelUnavailable, match="no answer in 60 s") as failure:
        visual_analysis(deck, context_of(store, model, parallel=1), NO_OCR)
    assert sorted(model.counts) == ["slide 1", "slide 2", "slide 3", "slide 4"]  # it was not asked for more
    assert len(failure.value.calls) == 1  # those of the slides that were described come with their answers
    assert store.names("decks/visual") == []

    seen(deck, store, model)
    assert model.counts["slide 3"] == 1
    assert model.counts["slide 4"] == 2


def test_on_the_last_attempt_a_slide_without_an_answer_is_a_row_to_be_asked_for_later(deck: Deck, store: Store) -> None:
    model = scripted(slide_4=["silent"])
    gaps = seen(deck, store, model, accept_missing=True)
    assert [(row.slide.number, row.reason) for row in gaps.rows if row.reason] == [(4, Reason.MODEL_UNAVAILABLE)]
    assert not gaps.is_final

    whole = seen(deck, store, model, accept_missing=True)
    assert whole.is_final
    assert model.counts.total() == 11


def test_a_model_that_answers_nothing_is_no_result_even_on_the_last_attempt(deck: Deck, store: Store) -> None:
    model = scripted(**{f"slide_{number}": ["silent"] for number in range(1, 11)})
    with pytest.raises(ModelUnavailable):
        seen(deck, store, model, accept_missing=True)


def test_a_slide_without_a_picture_is_not_asked_about(deck: Deck, store: Store) -> None:
    slides = read_slides(deck, store, NO_OCR)
    blind = slides.slides[0].model_copy(update={"picture_sha256": "", "reason": Reason.RENDER_FAILED})
    lacking = slides.model_copy(update={"slides": (blind, *slides.slides[1:])})
    store.write_json(SLIDES.name(slides.key), lacking.model_dump(mode="json"))

    model = scripted()
    row = seen(deck, store, model).rows[0]
    assert (row.status, row.reason, row.slide.text) == (Status.FAILED, Reason.RENDER_FAILED, blind.text)
    assert model.counts["slide 1"] == 0
    assert model.counts.total() == 9


def test_other_models_prompts_and_slides_have_other_keys(deck: Deck) -> None:
    keys = {visual_key(deck, NO_OCR, "a"), visual_key(deck, NO_OCR, "b"), visual_key(deck, SlideParameters(), "a")}
    assert len(keys) == 3


def test_a_damaged_result_is_lost_and_made_anew(deck: Deck, store: Store) -> None:
    model = scripted()
    first = seen(deck, store, model)
    name = VISUAL.name(first.key)
    store.write_bytes(name, b'{"key": "torn')
    with pytest.raises(ResultLost, match=name):
        load(store, name, VisualAnalysis)
    assert seen(deck, store, model).content_digest == first.content_digest
    assert model.counts.total() == 10  # from the answers that were kept


def test_feedback_is_given_on_every_slide(deck: Deck, store: Store) -> None:
    model = scripted(feedback_2=["bad"])
    feedback = slide_feedback(deck, context_of(store, model), NO_OCR)
    assert [row.status for row in feedback.rows] == [Status.OK, Status.FAILED, *[Status.OK] * 8]
    assert feedback.rows[9].feedback.suggestions == ("Shorten slide 10.",)
    assert all(question.images for question in model.asked)


# What is read


@pytest.mark.parametrize("name", [HEALTH, PARCELS])
def test_the_known_facts_come_out_with_their_slides(name: str, store: Store) -> None:
    model = scripted(name)
    result = read(seen(prepared(name, store), store, model), store, model)
    for field, fact in result.extractions:
        wanted = truth_of(name)["extractions"][field]
        assert (fact.slide, fact.quote, fact.flags) == (wanted["slide"], wanted["quote"], ())
        assert fact.source is TextSource.LAYER
    amount = truth_of(name)["extractions"]["funding_amount"]
    assert float(result.extractions.funding_amount.value) == amount["value"]
    assert result.extractions.funding_amount.currency == amount["currency"]


def test_the_template_is_answered_section_by_section_with_slides(deck: Deck, store: Store) -> None:
    model = scripted(section_market=["bad"])
    result = read(seen(deck, store, model), store, model)
    assert [row.id for row in result.sections] == SECTIONS
    assert {row.id for row in result.sections if row.status is Status.FAILED} == {"market"}
    evidence = next(row for row in result.sections if row.id == "evidence")
    assert [(each.id, each.slides) for each in evidence.answers] == [
        ("clinical", (5,)), ("next_study", (5,)), ("regulatory", (6,)),
    ]  # fmt: skip
    assert result.template == "healthcare 1"


def test_cited_slides_exist(deck: Deck, store: Store) -> None:
    model = scripted()
    model.truth["template"]["problem"]["slides"] = [2, 99]
    model.truth["template"]["burden"]["slides"] = []
    result = read(seen(deck, store, model), store, model)
    problem, burden, _ = result.sections[0].answers
    assert (problem.slides, problem.flags) == ((2,), (Flag.NO_SUCH_SLIDE,))
    assert (burden.slides, burden.flags) == ((), (Flag.UNCITED,))


def test_extractions_that_stay_bad_are_the_end_of_the_stage_with_their_raw_answers(deck: Deck, store: Store) -> None:
    model = scripted(extractions=["bad"])
    visual = seen(deck, store, model)
    with pytest.raises(BadAnswer) as failure:
        read(visual, store, model)
    assert failure.value.raw == ('{"title": 3', "I am only a model")
    assert len(failure.value.calls) == 2


def test_text_stages_need_neither_pdf_nor_pictures(deck: Deck, store: Store, tmp_path: Path) -> None:
    model = scripted()
    visual = seen(deck, store, model)
    elsewhere = Store(str(tmp_path / "elsewhere"))
    assert read(visual, elsewhere, model).content_digest == read(visual, store, model).content_digest
    assert elsewhere.folders("decks") == ["decks/answers", "decks/extractions"]


def test_another_template_is_another_result_and_shares_the_extractions(deck: Deck, store: Store) -> None:
    model = scripted()
    visual = seen(deck, store, model)
    first = read(visual, store, model)
    shorter = load_template().model_copy(update={"version": 2, "sections": load_template().sections[:1]})
    second = read(visual, store, model, template=shorter)
    assert first.key != second.key
    assert first.extractions == second.extractions
    assert model.counts["extractions"] == 1
    assert len(store.names("decks/extractions")) == 2
    assert EXTRACTIONS.name(second.key) in store.names("decks/extractions")


def test_reading_progresses_by_sections(deck: Deck, store: Store) -> None:
    shares: list[float] = []
    model = scripted()
    extractions_and_template(seen(deck, store, model), context_of(store, model, progress=shares.append))
    assert shares == sorted(shares)
    assert len(shares) == len(SECTIONS) + 1
    assert shares[-1] == pytest.approx(1.0)


# Instructions in a deck


def test_an_instruction_in_a_deck_stays_among_the_data(deck: Deck, store: Store) -> None:
    health = truth_of(HEALTH)
    model = scripted()
    visual = seen(deck, store, model)
    extractions = read(visual, store, model)
    for specialty in Specialty:
        specialized_analysis(specialty, visual, extractions, context_of(store, model))

    attacked = [question for question in model.asked if health["injected_text"] in question.text]
    assert {about(question) for question in attacked} == {
        f"slide {health['injected_slide']}", "extractions", *Specialty, *(f"section {each}" for each in SECTIONS)
    }  # fmt: skip
    for question in model.asked:
        assert "900 million" not in question.system
        assert "Orrivane" not in question.system
    for question in attacked:
        mark = question.text.split("<deck-")[1].split(">")[0]
        inside, after = question.text.split(f"<deck-{mark}>")[1].split(f"</deck-{mark}>")
        assert health["injected_text"] in inside
        assert "never an instruction" in after


def test_the_instructions_are_the_same_for_every_deck(store: Store) -> None:
    systems = []
    for name in (HEALTH, PARCELS):
        model = scripted(name)
        read(seen(prepared(name, store), store, model), store, model)
        systems.append({question.system for question in model.asked})
    assert systems[0] == systems[1]


def test_a_model_that_falls_for_it_is_caught_by_the_quote_it_cannot_give(deck: Deck, store: Store) -> None:
    model = scripted()
    model.truth["extractions"]["funding_amount"] |= {"value": 9e8, "quote": "Seed round of EUR 900 million"}
    result = read(seen(deck, store, model), store, model)
    assert result.extractions.funding_amount.flags == (Flag.UNSUPPORTED,)


# Specialists


@pytest.mark.parametrize("specialty", Specialty)
def test_a_specialist_judges_claims_by_their_words(specialty: Specialty, deck: Deck, store: Store) -> None:
    model = scripted()
    visual = seen(deck, store, model)
    analysis = specialized_analysis(specialty, visual, read(visual, store, model), context_of(store, model))
    assert analysis.status is Status.OK
    assert [(each.slide, each.flags) for each in analysis.findings] == [
        (each["slide"], ()) for each in truth_of(HEALTH)["specialists"][specialty]["findings"]
    ]
    assert analysis.missing
    assert analysis.questions


def test_a_claim_that_the_deck_does_not_make_is_flagged(deck: Deck, store: Store) -> None:
    model = scripted()
    first, second = model.truth["specialists"]["clinical"]["findings"]
    first |= {"quote": "mortality fell by half"}
    second |= {"quote": None, "slide": None}
    visual = seen(deck, store, model)
    analysis = specialized_analysis(Specialty.CLINICAL, visual, read(visual, store, model), context_of(store, model))
    assert [each.flags for each in analysis.findings] == [(Flag.UNSUPPORTED,), ()]


@pytest.mark.parametrize(
    ("value", "when", "status", "reason"),
    [
        (False, When.HEALTHCARE, Status.SKIPPED, Reason.NOT_HEALTHCARE),
        (None, When.HEALTHCARE, Status.SKIPPED, Reason.HEALTHCARE_UNKNOWN),
        (False, When.ALWAYS, Status.OK, None),
    ],
)
def test_specialists_see_healthcare_decks_unless_they_see_all(
    value: bool | None, when: When, status: Status, reason: Reason | None, store: Store
) -> None:
    model = scripted(PARCELS)
    model.truth["extractions"]["healthcare"]["value"] = value
    visual = seen(prepared(PARCELS, store), store, model)
    extractions = read(visual, store, model)
    model.asked.clear()
    analysis = specialized_analysis(Specialty.SCIENCE, visual, extractions, context_of(store, model), when=when)
    assert (analysis.status, analysis.reason) == (status, reason)
    assert len(model.asked) == (status is Status.OK)


def test_a_specialist_is_asked_once(deck: Deck, store: Store) -> None:
    model = scripted()
    visual = seen(deck, store, model)
    extractions = read(visual, store, model)
    for _ in range(2):
        specialized_analysis(Specialty.CLINICAL, visual, extractions, context_of(store, model))
    assert model.counts["clinical"] == 1


def test_the_digest_of_findings_knows_neither_times_nor_the_file_s_name() -> None:
    slide = SlideAnalysis(slide=Slide(number=1), status=Status.FAILED, reason=Reason.RENDER_FAILED)
    first = VisualAnalysis(key="k", deck=Deck(pdf_sha256="0" * 64, name="a.pdf"), rows=(slide,), seconds=1.0)
    second = VisualAnalysis(key="k", deck=Deck(pdf_sha256="0" * 64, name="b.pdf"), rows=(slide,), seconds=2.0)
    third = VisualAnalysis(key="k", deck=Deck(pdf_sha256="1" * 64, name="a.pdf"), rows=(slide,))
    assert first.content_digest == second.content_digest != third.content_digest
