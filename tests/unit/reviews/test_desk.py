"""The desk: decks go through the queue, their reviews come out, and only what has to be done again is."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pagemill.decks.records import Deck, Reason, Status
from pagemill.decks.report import markdown
from pagemill.decks.review import review
from pagemill.decks.tasks import TASKS, Parameters
from pagemill.decks.template import load_template
from pagemill.errors import UserError
from pagemill.flow.reading import PipelineStatus
from pagemill.flow.runner import Server
from pagemill.flow.states import PipelineState, TaskState
from pagemill.reviews.backend.desk import Desk, open_desk
from pagemill.settings import DecksSettings
from pagemill.storage import Store
from tests.deck_containers import Gate
from tests.deck_runner import ModelRunner
from tests.decks import FOLDER, HEALTH, NO_OCR, PARCELS, ScriptedModel, context_of, prepared, scripted
from tests.flow_databases import flow_database, sqlite_database

PARAMETERS = Parameters(slides=NO_OCR)
VISUAL, FEEDBACK, EXTRACTIONS = "visual_analysis", "slide_feedback", "extractions_and_template"
SPECIALISTS = ("specialized_clinical", "specialized_regulatory", "specialized_science")
PATIENCE_SECONDS = 60.0


def settings_of(store: Store, url: str) -> DecksSettings:
    return DecksSettings(store=store.uri, database=url, retry_delay_seconds=0)


@contextmanager
def desk_of(store: Store, url: str, runner: ModelRunner) -> Iterator[Desk]:
    """A desk whose own process does the tasks."""
    with open_desk(settings_of(store, url), runner, tick_seconds=0.1) as desk:
        yield desk


class House:
    """A desk at work with two decks; every test has a model of its own, whose answers nobody has heard yet."""

    desk: Desk

    def __init__(self, store: Store, url: str) -> None:
        self.store, self.url = store, url
        self.runner = ModelRunner(store, scripted())
        self.decks = {name: prepared(name, store) for name in (HEALTH, PARCELS)}
        self.deck = self.decks[HEALTH]
        self._numbers = itertools.count(1)

    def new(self, name: str = HEALTH, **faults: list[str]) -> ScriptedModel:
        """Let another model see and read; a container tells the queue of it."""
        self.deck, self.runner.model = self.decks[name], scripted(name, **faults)
        self.runner.model.identity = f"scripted {next(self._numbers)}"
        self.tell(self.runner.model.identity)
        return self.runner.model

    def tell(self, identity: str) -> None:
        self.desk.queue.hear(Server("v1", "vision_container", {}, models={"vision": identity}), "active")

    @property
    def parameters(self) -> Parameters:
        """What was not asked before."""
        template = load_template().model_copy(update={"version": next(self._numbers)})
        return Parameters(slides=NO_OCR, template=template)

    def reviewed(self) -> str:
        """Hand the deck in, wait for its end, and return the pipeline's id."""
        pipeline = self.desk.add_document_processing_pipeline(self.deck, self.parameters)
        end_of(self.desk, pipeline)
        return pipeline


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    made = House(Store(str(folder / "store")), sqlite_database(folder))
    with desk_of(made.store, made.url, made.runner) as made.desk:
        yield made


@pytest.fixture
def desk(house: House) -> Desk:
    return house.desk


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_database(tmp_path)


def end_of(desk: Desk, pipeline: str) -> PipelineStatus:
    return desk.queue.wait(pipeline, PATIENCE_SECONDS)


def begun(desk: Desk, pipeline: str, after: int = 0) -> list[str]:
    """Which attempts were begun, in their order."""
    return [event.task or "" for event in desk.queue.events(pipeline, after) if event.kind == "running" and event.task]


def is_indexed(desk: Desk, pipeline: str, task: str) -> bool:
    """Whether the next pipeline would know what this task made."""
    return desk.queue.cached(Path(desk.outputs(pipeline)[task].result).stem) is not None


# Decks go through


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_deck_that_goes_through_the_queue_is_reviewed_as_in_one_process(
    kind: str, store: Store, tmp_path: Path
) -> None:
    other = Store(str(tmp_path / "other"))
    alone = review(prepared(HEALTH, other), context_of(other, scripted()), PARAMETERS)
    deck, model = prepared(HEALTH, store), scripted()
    with desk_of(store, flow_database(kind, tmp_path), ModelRunner(store, model)) as desk:
        pipeline = desk.add_document_processing_pipeline(deck, PARAMETERS)
        assert end_of(desk, pipeline).state is PipelineState.DONE
        found = desk.review(pipeline)
        assert found.content_digest == alone.content_digest
        assert (found.deck, found.troubles, found.in_vain) == (deck, (), {})
        assert sorted(desk.spent_calls(pipeline), key=str) == sorted(found.calls, key=str)
        assert len(found.calls) == model.counts.total()
        assert set(desk.outputs(pipeline)) == {task.name for task in TASKS}


def test_handing_in_again_changes_nothing_and_another_question_is_another_pipeline(store: Store, url: str) -> None:
    with open_desk(settings_of(store, url)) as desk:
        pdf = FOLDER / f"{HEALTH}.pdf"
        first = desk.add_document_processing_pipeline(pdf, PARAMETERS)
        deck = Deck(pdf_sha256=desk.status(first).document_sha256, name="the same.pdf")
        assert desk.add_document_processing_pipeline(deck, PARAMETERS, priority=5) == first
        assert desk.add_document_processing_pipeline(deck) != first
        assert (desk.status(first).document_name, desk.status(first).priority) == (pdf.name, 0)
        assert Parameters.model_validate(desk.status(first).parameters) == PARAMETERS


def test_what_is_no_deck_is_not_taken_in(store: Store, url: str, tmp_path: Path) -> None:
    text = tmp_path / "deck.pdf"
    text.write_text("slides")
    with open_desk(settings_of(store, url)) as desk:
        with pytest.raises(UserError, match="is not a PDF"):
            desk.add_document_processing_pipeline(text)
        with pytest.raises(UserError, match="is not in the store"):
            desk.add_document_processing_pipeline(Deck(pdf_sha256=64 * "0", name="gone.pdf"))


def test_what_is_not_over_yet_is_no_trouble(store: Store, url: str) -> None:
    with open_desk(settings_of(store, url)) as desk:
        found = desk.review(desk.add_document_processing_pipeline(prepared(HEALTH, store), PARAMETERS))
        assert (found.results, found.troubles) == ((), ())


def test_two_desks_on_one_database_see_the_same(house: House, desk: Desk) -> None:
    house.new()
    with open_desk(settings_of(house.store, house.url)) as client:
        pipeline = client.add_document_processing_pipeline(house.deck, house.parameters)
        assert end_of(client, pipeline).state is PipelineState.DONE
        assert client.status(pipeline) == desk.status(pipeline)
        assert client.review(pipeline) == desk.review(pipeline)


def test_specialists_who_have_nothing_to_say_leave_their_reason(house: House, desk: Desk) -> None:
    house.new(PARCELS)
    pipeline = house.reviewed()
    assert desk.status(pipeline).state is PipelineState.DONE
    assert {task.state for task in desk.status(pipeline).tasks if task.name in SPECIALISTS} == {TaskState.SKIPPED}
    found = desk.review(pipeline)
    assert {each.reason for each in found.specialists} == {Reason.NOT_HEALTHCARE}
    assert found.troubles == ()


# What was seen is not looked at again


def test_another_template_asks_the_vision_model_nothing(house: House, desk: Desk) -> None:
    model = house.new()
    first = house.reviewed()
    asked = model.counts
    second = house.reviewed()
    assert set(begun(desk, second)) == {EXTRACTIONS, *SPECIALISTS}
    assert {what for what in model.counts - asked if what.startswith(("slide", "feedback"))} == set()
    assert desk.outputs(second)[VISUAL] == desk.outputs(first)[VISUAL]
    assert len(desk.spent_calls(first)) == 10 + 10 + 1 + 5 + 3
    assert len(desk.spent_calls(second)) == 1 + 5 + 3
    assert desk.review(second).visual == desk.review(first).visual


def test_what_another_model_saw_does_not_count(house: House, desk: Desk) -> None:
    house.new()
    house.reviewed()
    house.tell("a newer one")
    assert VISUAL in begun(desk, house.reviewed())


def test_an_index_that_names_what_is_lost_is_corrected(house: House, desk: Desk) -> None:
    house.new()
    lost = desk.outputs(house.reviewed())[VISUAL].result
    house.store.delete(lost)
    second = house.reviewed()
    assert VISUAL in begun(desk, second)
    assert FEEDBACK not in begun(desk, second)
    assert house.store.exists(lost)


# What is lost is made again alone


def test_a_lost_result_is_made_again_alone_and_the_same(house: House, desk: Desk) -> None:
    model = house.new()
    pipeline = house.reviewed()
    before, outputs, asked = desk.review(pipeline), desk.outputs(pipeline), model.counts
    house.store.delete(outputs[VISUAL].result)
    assert [trouble.task for trouble in desk.review(pipeline).troubles] == [VISUAL]
    last = desk.queue.events(pipeline)[-1].id
    assert desk.retry(pipeline) == (VISUAL,)
    assert end_of(desk, pipeline).state is PipelineState.DONE
    assert begun(desk, pipeline, last) == [VISUAL]
    assert desk.review(pipeline).content_digest == before.content_digest
    assert desk.outputs(pipeline) == outputs
    assert model.counts == asked


def test_a_result_that_is_lost_under_way_is_made_again_before_those_that_miss_it(house: House, desk: Desk) -> None:
    model = house.new()

    def lose(what: str) -> None:
        if what == "section problem":  # the visual analysis was read by then; the specialists read it once more
            for name in house.store.names("decks/visual"):
                house.store.delete(name)

    model.before = lose
    pipeline = house.reviewed()
    assert desk.status(pipeline).state is PipelineState.DONE
    assert begun(desk, pipeline).count(VISUAL) == 2
    assert begun(desk, pipeline).count(EXTRACTIONS) == 1
    assert {task.failures for task in desk.status(pipeline).tasks} == {0}
    assert desk.review(pipeline).troubles == ()
    assert set(model.counts.values()) == {1}
    assert is_indexed(desk, pipeline, VISUAL)


# What failed


def test_a_task_that_fails_leaves_what_the_model_said_and_a_retry_mends_it(house: House, desk: Desk) -> None:
    model = house.new(extractions=["bad", "bad", "bad"])
    pipeline = house.reviewed()
    assert desk.status(pipeline).state is PipelineState.PARTIAL
    found = desk.review(pipeline)
    assert {each.task: (each.status, each.reason) for each in found.troubles} == {
        EXTRACTIONS: (Status.FAILED, Reason.BAD_ANSWER),
        **dict.fromkeys(SPECIALISTS, (Status.SKIPPED, Reason.NEED_FAILED)),
    }
    (bad,) = (each for each in found.troubles if each.raw)
    assert (bad.raw[1], len(bad.calls)) == ("I am only a model", 2)
    assert {task: len(calls) for task, calls in found.in_vain.items()} == {EXTRACTIONS: 4}
    assert len(desk.spent_calls(pipeline)) == len(found.calls) == 10 + 10 + 6

    assert desk.retry(pipeline, EXTRACTIONS) == (EXTRACTIONS, *SPECIALISTS)
    assert end_of(desk, pipeline).state is PipelineState.DONE
    mended = desk.review(pipeline)
    assert mended.troubles == ()
    assert len(desk.spent_calls(pipeline)) == len(mended.calls) == 29 + 6
    assert "Extractions and template, in vain" in markdown(mended)
    assert model.counts["slide 1"] == 1


def test_the_last_attempt_takes_gaps_which_a_retry_fills_with_all_that_follows(house: House, desk: Desk) -> None:
    model = house.new(slide_3=["silent"] * 6)
    pipeline = house.reviewed()
    assert desk.status(pipeline).state is PipelineState.DONE
    assert not desk.outputs(pipeline)[VISUAL].is_final
    assert not is_indexed(desk, pipeline, VISUAL)
    model.faults.clear()
    assert desk.retry(pipeline, VISUAL) == (VISUAL, EXTRACTIONS, *SPECIALISTS)
    end_of(desk, pipeline)
    assert desk.outputs(pipeline)[VISUAL].is_final
    assert is_indexed(desk, pipeline, VISUAL)
    assert desk.retry(pipeline) == ()
    assert model.counts["slide 1"] == 1


def test_there_is_nothing_to_retry_where_nothing_is_the_matter(house: House, desk: Desk) -> None:
    house.new()
    pipeline = house.reviewed()
    assert desk.retry(pipeline) == ()
    with pytest.raises(UserError, match="slide_feedback: is done"):
        desk.retry(pipeline, FEEDBACK)
    with pytest.raises(UserError, match="sliced_feedback: is not a task"):
        desk.retry(pipeline, "sliced_feedback")


def test_what_is_cancelled_ends_and_can_be_taken_up_again(house: House, desk: Desk) -> None:
    gate, model = Gate(), house.new()
    model.before = gate
    pipeline = desk.add_document_processing_pipeline(house.deck, house.parameters)
    assert gate.reached.wait(PATIENCE_SECONDS)
    assert desk.cancel(pipeline)
    assert not desk.cancel(pipeline)
    assert desk.status(pipeline).state is PipelineState.CANCELLED
    assert {trouble.detail for trouble in desk.review(pipeline).troubles} == {"cancelled"}
    gate.opened.set()
    assert set(desk.retry(pipeline)) == {task.name for task in TASKS}
    assert end_of(desk, pipeline).state is PipelineState.DONE


# Where the queue is kept


def test_the_queue_of_a_local_store_lies_in_its_folder(tmp_path: Path) -> None:
    with open_desk(DecksSettings(store=str(tmp_path / "decks"))) as desk:
        assert desk.queue.latest() == []
    assert (tmp_path / "decks" / "queue.sqlite").is_file()


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        (DecksSettings(store="memory://decks"), "memory://decks: is no folder that could hold the queue"),
        (DecksSettings(database="mysql://me:secret@host/decks"), "decks.database: is of no kind that is known"),
    ],
)
def test_a_store_elsewhere_needs_a_database(settings: DecksSettings, mistake: str) -> None:
    with pytest.raises(UserError) as caught:
        open_desk(settings)
    assert str(caught.value).startswith(mistake)
    assert "secret" not in str(caught.value)
