"""Tasks in a container over HTTP: requests of one key are one task, and each gets told how it ended."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from pagemill.decks.keeping import load
from pagemill.decks.records import Deck
from pagemill.decks.tasks import BY_NAME
from pagemill.decks.visual import VisualAnalysis
from pagemill.reviews.container.work import digest_of
from pagemill.reviews.wire import EPOCH_HEADER, RUNNING_TASK_ROUTE, Problem
from pagemill.storage import Store
from tests.deck_containers import LIMIT_SECONDS, Gate, order_of, running_container, until
from tests.decks import HEALTH, prepared, scripted, truth_of

VISUAL, FEEDBACK, EXTRACTIONS = "visual_analysis", "slide_feedback", "extractions_and_template"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def deck(store: Store) -> Deck:
    return prepared(HEALTH, store)


def test_a_task_is_run_and_answers_where_its_result_lies(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted()) as vision:
        answer = vision.run(order_of(VISUAL, deck))

    assert answer.status_code == 200
    output = answer.json()
    assert (output["task"], output["status"], output["calls"]) == (VISUAL, "ok", output["parts"])
    assert len(load(store, output["result"], VisualAnalysis).rows) == output["parts"]


def test_every_task_of_a_review_has_a_route_in_one_of_the_kinds(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted()) as vision, running_container("text", store, scripted()) as text:
        made: dict[str, str] = {}
        for task in BY_NAME.values():
            order = order_of(task.name, deck, **{need: made[need] for need in task.needs})
            answer = (vision if task.capability == "vision" else text).run(order)
            assert answer.status_code == 200, answer.text
            made[task.name] = answer.json()["result"]

    assert all(store.exists(name) for name in made.values())
    assert len(made) == 6


def test_news_tell_the_share_and_at_last_the_result(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted()) as vision, vision.news(order_of(VISUAL, deck)) as news:
        *shares, end = news

    assert {each["kind"] for each in shares} == {"progress"}
    told = [each["share"] for each in shares]
    assert told == sorted(told)
    assert (end["kind"], end["output"]["status"]) == ("done", "ok")


def test_news_are_signs_of_life_while_nothing_changes(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision, vision.news(order_of(VISUAL, deck)) as news:
        assert [next(news), next(news)] == [{"kind": "progress", "share": 0.0}] * 2
        gate.opened.set()
        *_, end = news

    assert end["kind"] == "done"


def test_a_second_request_of_a_key_joins_the_first(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    order = order_of(VISUAL, deck)
    with running_container("vision", store, model) as vision, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(vision.run, order, "one") for _ in range(2)]
        until(lambda: [work.listeners for work in vision.container.works.running] == [2])
        gate.opened.set()
        first, second = (each.result() for each in asked)

    assert first.json() == second.json()
    assert set(model.counts.values()) == {1}


def test_the_answer_of_a_key_is_remembered_also_that_it_failed(store: Store, deck: Deck) -> None:
    model = scripted(slide_3=["silent"])
    with running_container("vision", store, model) as vision:
        first = vision.run(order_of(VISUAL, deck), "one")
        until(lambda: vision.container.readiness.is_ready)
        again = vision.run(order_of(VISUAL, deck), "one")
        with_another_key = vision.run(order_of(VISUAL, deck), "two")

    assert (first.status_code, again.status_code, with_another_key.status_code) == (503, 503, 200)
    assert first.json() == again.json()
    assert model.counts["slide 3"] == 2


def test_without_a_key_equal_requests_are_one_until_it_fails(store: Store, deck: Deck) -> None:
    model = scripted(slide_3=["silent"])
    with running_container("vision", store, model) as vision:
        statuses = []
        for _ in range(3):
            statuses.append(vision.run(order_of(VISUAL, deck)).status_code)
            until(lambda: vision.container.readiness.is_ready)
        known = vision.container.works.find(order_of(VISUAL, deck), digest_of(order_of(VISUAL, deck)))

    assert statuses == [503, 200, 200]
    assert known is not None


def test_a_key_is_of_one_request(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted()) as vision:
        vision.run(order_of(VISUAL, deck), "one")
        other = vision.run(order_of(FEEDBACK, deck), "one")

    assert (other.status_code, other.json()["error"]) == (422, "invalid")


def test_only_so_many_answers_are_remembered(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted(), remembered=2) as vision:
        for key in ("one", "two", "three"):
            vision.run(order_of(VISUAL, deck), key)
        works = vision.container.works
        known = [works.find(order_of(VISUAL, deck), key) is not None for key in ("one", "two", "three")]

    assert known == [False, True, True]


def test_an_answer_whose_result_was_lost_is_no_answer(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted()) as vision:
        name = vision.run(order_of(VISUAL, deck), "one").json()["result"]
        store.delete(name)
        again = vision.run(order_of(VISUAL, deck), "one")

    assert again.status_code == 200
    assert store.exists(name)


def test_a_task_that_nobody_listens_to_goes_on_for_a_while(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision:
        with vision.news(order_of(VISUAL, deck), "one") as news:
            next(news)
        (work,) = vision.container.works.running
        until(lambda: work.listeners == 0)
        with vision.news(order_of(VISUAL, deck), "one") as news:
            assert next(news)["kind"] == "progress"
            gate.opened.set()
            *_, end = news

    assert end["kind"] == "done"
    assert set(model.counts.values()) == {1}


@pytest.mark.parametrize("streamed", [True, False])
def test_a_task_is_ended_when_nobody_comes_back_to_it(store: Store, deck: Deck, streamed: bool) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model, unheard_seconds=0.05) as vision:
        if streamed:
            with vision.news(order_of(VISUAL, deck)) as news:
                next(news)
        else:
            with pytest.raises(httpx.ReadTimeout):
                vision.run(order_of(VISUAL, deck), timeout=0.2)
        until(lambda: vision.container.works.running)
        (work,) = vision.container.works.running
        until(lambda: work.outcome is not None)
        gate.opened.set()
        until(lambda: not vision.container.works.running)

    assert isinstance(work.outcome, Problem)
    assert work.outcome.error == "cancelled"
    assert len(model.asked) < len(truth_of(HEALTH)["slides"])


def test_a_task_can_be_ended_and_begun_anew(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(vision.run, order_of(VISUAL, deck), "one")
        assert gate.reached.wait(LIMIT_SECONDS)
        ended = vision.client.delete(RUNNING_TASK_ROUTE.format(key="one"))
        answer = asked.result()
        gate.opened.set()
        until(lambda: not vision.container.works.running)
        again = vision.run(order_of(VISUAL, deck), "one")
        twice = vision.client.delete(RUNNING_TASK_ROUTE.format(key="one"))

    assert (ended.status_code, answer.status_code, answer.json()["error"]) == (204, 499, "cancelled")
    assert again.status_code == 200
    assert (twice.status_code, twice.json()["error"]) == (404, "not_found")


def test_who_was_superseded_does_not_end_the_task_of_who_took_over(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision, ThreadPoolExecutor(2) as pool:
        for epoch in ("1", "2"):
            vision.client.headers[EPOCH_HEADER] = epoch
            asked = pool.submit(vision.run, order_of(VISUAL, deck), "one")
            until(lambda epoch=epoch: [str(work.epoch) for work in vision.container.works.running] == [epoch])
        late = vision.client.delete(RUNNING_TASK_ROUTE.format(key="one"), headers={EPOCH_HEADER: "1"})
        gate.opened.set()
        answer = asked.result()

    assert (late.status_code, answer.status_code) == (404, 200)


def test_there_is_room_for_so_many_tasks(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model, tasks=1) as vision:
        with vision.news(order_of(VISUAL, deck)) as news:
            next(news)
            busy = vision.run(order_of(FEEDBACK, deck))
            gate.opened.set()
            *_, end = news
        until(lambda: not vision.container.works.running)
        later = vision.run(order_of(FEEDBACK, deck))

    assert (busy.status_code, busy.json()["error"]) == (429, "busy")
    assert int(busy.headers["Retry-After"]) > 0
    assert (end["kind"], later.status_code) == ("done", 200)


def test_there_is_room_for_so_many_pipelines(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model, tasks=3, pipelines=1) as vision:
        first = vision.news(order_of(VISUAL, deck), pipeline="one")
        more = vision.news(order_of(FEEDBACK, deck), pipeline="one")
        with first as news, more as other_news:
            next(news)
            other = vision.run(order_of(FEEDBACK, deck), "other", "two")
            gate.opened.set()
            *_, end = other_news

    assert (other.status_code, end["kind"]) == (429, "done")


def test_a_server_that_ends_finishes_what_runs_and_takes_no_more(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision:
        with vision.news(order_of(VISUAL, deck), "one") as news:
            next(news)
            vision.drain()
            until(lambda: vision.health()["state"] == "draining")
            refused = vision.run(order_of(FEEDBACK, deck))
            with vision.news(order_of(VISUAL, deck), "one") as joined:
                gate.opened.set()
                ends = [list(each)[-1]["kind"] for each in (news, joined)]
        vision.thread.join(LIMIT_SECONDS)

    assert (refused.status_code, refused.json()["error"]) == (503, "draining")
    assert int(refused.headers["Retry-After"]) > 0
    assert ends == ["done", "done"]
    assert not vision.thread.is_alive()
    assert vision.server.ended_well


def test_a_server_that_ends_does_not_wait_for_ever(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model, drain_seconds=0.05) as vision:
        with vision.news(order_of(VISUAL, deck)) as news:
            next(news)
            vision.drain()
            until(lambda: vision.server.should_exit)
            vision.loop.call_soon_threadsafe(vision.server.stop)
            vision.thread.join(LIMIT_SECONDS)
        gate.opened.set()

    assert not vision.server.ended_well


def test_what_runs_is_logged_at_its_start_and_at_its_end(
    store: Store, deck: Deck, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pagemill")
    with running_container("vision", store, scripted()) as vision:
        vision.run(order_of(VISUAL, deck), "one", "of-a-pipeline")
        vision.run(order_of(VISUAL, deck), "one", "of-a-pipeline")

    begun, ended = [
        (record.message, vars(record)["fields"]) for record in caplog.records if record.message.startswith("task ")
    ]
    what = {"task": VISUAL, "key": "one", "pipeline": "of-a-pipeline"}
    assert begun == ("task started", what)
    assert ended == ("task finished", what | {"seconds": ended[1]["seconds"], "outcome": "done"})
