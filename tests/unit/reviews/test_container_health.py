"""A container's health: what it is doing, what it waits for, and when it is not well."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from pagemill.decks.records import Deck
from pagemill.reviews.wire import HEALTH_ROUTE
from pagemill.storage import Store
from tests.deck_containers import LIMIT_SECONDS, Gate, order_of, running_container, until
from tests.decks import HEALTH, prepared, scripted

VISUAL, EXTRACTIONS = "visual_analysis", "extractions_and_template"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def deck(store: Store) -> Deck:
    return prepared(HEALTH, store)


def test_health_needs_no_token_and_tells_what_runs(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision:
        idle = vision.health()
        with vision.news(order_of(VISUAL, deck), "one", "of-a-pipeline") as news:
            next(news)
            busy = vision.health()
            gate.opened.set()
            list(news)

    assert (idle["kind"], idle["state"], idle["queue"]) == ("vision", "active", {"running": [], "room": 2})
    assert (idle["models"], idle["waits_for"]) == ({"vision": "scripted"}, [])
    (running,) = busy["queue"]["running"]
    assert (running["task"], running["key"], running["pipeline"]) == (VISUAL, "one", "of-a-pipeline")
    assert busy["queue"]["room"] == 1


def test_health_tells_what_a_container_waits_for_until_its_model_has_answered(store: Store, deck: Deck) -> None:
    gate = Gate()

    def warm(tell: Any) -> Any:
        tell("model llava:13b is loading")
        gate("warming")
        return scripted()

    with running_container("vision", store, scripted(), warm=warm) as vision:
        assert gate.reached.wait(LIMIT_SECONDS)
        warming = httpx.get(f"{vision.url}{HEALTH_ROUTE}")
        early = vision.run(order_of(VISUAL, deck))
        gate.opened.set()
        until(lambda: vision.health()["state"] == "active")
        later = vision.run(order_of(VISUAL, deck))

    assert (warming.status_code, warming.json()["state"]) == (200, "warming")
    assert warming.json()["waits_for"] == ["model llava:13b is loading"]
    assert (warming.json()["queue"]["room"], warming.json()["models"]) == (0, {})
    assert (early.status_code, early.json()["error"]) == (503, "model_unavailable")
    assert early.json()["message"] == "model llava:13b is loading"
    assert int(early.headers["Retry-After"]) > 0
    assert later.status_code == 200


def test_a_container_whose_model_fell_silent_is_not_healthy_until_it_answers_again(store: Store, deck: Deck) -> None:
    gate, warmed = Gate(), list[str]()
    model = scripted(slide_1=["silent"])

    def warm(tell: Any) -> Any:
        if warmed:
            gate("warming")
        warmed.append("once more")
        return model

    with running_container("vision", store, model, warm=warm) as vision:
        until(lambda: vision.health()["state"] == "active")
        vision.run(order_of(VISUAL, deck))
        silent = httpx.get(f"{vision.url}{HEALTH_ROUTE}")
        gate.opened.set()
        until(lambda: vision.health()["state"] == "active")
        again = httpx.get(f"{vision.url}{HEALTH_ROUTE}")

    assert (silent.status_code, silent.json()["state"]) == (503, "warming")
    assert silent.json()["trouble"] == "no answer in 60 s"
    assert (again.status_code, again.json()["trouble"]) == (200, "")


def test_a_container_waits_for_a_result_that_was_lost_until_it_is_back(store: Store, deck: Deck) -> None:
    with running_container("vision", store, scripted()) as vision:
        name = vision.run(order_of(VISUAL, deck)).json()["result"]
    kept = store.read_bytes(name)
    order = order_of(EXTRACTIONS, deck, visual_analysis=name)
    with running_container("text", store, scripted()) as text:
        store.delete(name)
        lost = text.run(order)
        waiting = text.health()["waits_for"]
        store.write_bytes(name, kept)
        assert text.run(order).status_code == 200
        after = text.health()["waits_for"]

    assert (lost.status_code, lost.json()["error"], lost.json()["lost"]) == (409, "result_lost", name)
    assert waiting == [f"visual_analysis: {name} is not in the store"]
    assert after == []


def test_a_container_that_ends_is_not_healthy(store: Store, deck: Deck) -> None:
    model, gate = scripted(), Gate()
    model.before = gate
    with running_container("vision", store, model) as vision, vision.news(order_of(VISUAL, deck)) as news:
        next(news)
        vision.drain()
        until(lambda: vision.health()["state"] == "draining")
        ending = httpx.get(f"{vision.url}{HEALTH_ROUTE}")
        gate.opened.set()
        list(news)

    assert (ending.status_code, ending.json()["trouble"]) == (503, "the server is ending")
    assert ending.json()["queue"]["room"] == 0
