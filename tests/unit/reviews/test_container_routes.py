"""A container's routes but for tasks that go well: who is let in, what is refused and how, results, health."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pagemill import draining
from pagemill.decks.asking import BadAnswer, Call, ModelUnavailable
from pagemill.decks.keeping import ResultLost
from pagemill.decks.records import Deck
from pagemill.decks.specialized import Specialty
from pagemill.decks.tasks import run_task
from pagemill.decks.visual import KEEPER as VISUAL_KEEPER
from pagemill.decks.visual import VisualAnalysis
from pagemill.errors import UserError
from pagemill.reviews.container import container as container_module
from pagemill.reviews.http import MAX_BODY_BYTES
from pagemill.reviews.wire import (
    CACHE_VISUAL_ROUTE,
    CACHED_VISUAL_ROUTE,
    HEALTH_ROUTE,
    SAVE_RESULT_ROUTE,
    TASK_ROUTES,
    Problem,
)
from pagemill.storage import Store
from tests.deck_containers import LIMIT_SECONDS, TOKEN, Running, order_of, running_container
from tests.decks import HEALTH, context_of, prepared, scripted

VISUAL, EXTRACTIONS = "visual_analysis", "extractions_and_template"
ROUTE = TASK_ROUTES[VISUAL]
CALL = Call("llava", 2.5, 700, 0, "no answer in time")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def deck(store: Store) -> Deck:
    return prepared(HEALTH, store)


@pytest.fixture(scope="module")
def vision(store: Store) -> Iterator[Running]:
    with running_container("vision", store, scripted()) as running:
        yield running


@pytest.fixture(scope="module")
def text(store: Store) -> Iterator[Running]:
    with running_container("text", store, scripted()) as running:
        yield running


@pytest.fixture
def seen(store: Store, deck: Deck) -> VisualAnalysis:
    """What is on the slides."""
    output = run_task(order_of(VISUAL, deck), context_of(store, scripted()))
    return VisualAnalysis.model_validate_json(store.read_bytes(output.result))


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return status and kind of an answer that is a problem."""
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, Problem.model_validate(answer.json()).error.value


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer another", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ä"]
)
@pytest.mark.parametrize("route", [ROUTE, CACHE_VISUAL_ROUTE, "/openapi.json", "/nowhere"])
def test_nobody_is_let_in_without_the_token(vision: Running, route: str, given: str) -> None:
    headers = {"Authorization": given.encode()} if given else {}

    answer = httpx.post(vision.url + route, content=b"{}", headers=headers)

    assert problem(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_scheme_of_the_token_is_read_in_any_case(vision: Running) -> None:
    headers = {"Authorization": f"bEARER {TOKEN}"}

    assert httpx.get(f"{vision.url}/openapi.json", headers=headers).status_code == 200


def test_a_body_that_is_announced_too_large_is_not_read(vision: Running) -> None:
    answer = vision.client.post(ROUTE, content=b" " * (MAX_BODY_BYTES + 1))

    assert problem(answer) == (413, "too_large")


def test_a_body_that_grows_too_large_is_cut_off(vision: Running) -> None:
    parts = (b" " * (1 << 20) for _ in range((MAX_BODY_BYTES >> 20) + 1))

    assert problem(vision.client.post(ROUTE, content=parts)) == (413, "too_large")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"task": "visual_analysis"}', b"[" * 100_000, b"1" * 9_000]
)
def test_what_is_no_request_is_refused(vision: Running, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    assert problem(vision.client.post(ROUTE, content=body, headers=headers)) == (422, "invalid")


def test_a_request_that_never_ends_keeps_no_container_from_ending(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(draining, "LEAVING_SECONDS", 0.1)
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n{{"
    with running_container("vision", store, scripted()) as running:
        address = running.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), LIMIT_SECONDS) as client:
            client.sendall(head.encode())
            running.client.get(HEALTH_ROUTE)  # by then the other request has begun
            running.loop.call_soon_threadsafe(running.server.begin_to_drain)
            answer = client.makefile("rb").read()  # until it hangs up
        running.thread.join(LIMIT_SECONDS)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"draining"' in answer
    assert not running.thread.is_alive()
    assert [record.message for record in caplog.records if record.exc_info] == []


def test_a_refusal_says_where_and_quotes_nothing(vision: Running, deck: Deck) -> None:
    body = order_of(VISUAL, deck).model_dump(mode="json") | {"deck": {"pdf_sha256": "confidential", "name": 3}}

    answer = vision.client.post(ROUTE, json=body)

    assert problem(answer) == (422, "invalid")
    assert "body.deck.pdf_sha256: " in answer.json()["message"]
    assert "confidential" not in answer.text


def test_a_route_runs_its_own_tasks(vision: Running, text: Running, deck: Deck) -> None:
    body = order_of(VISUAL, deck).model_dump(mode="json")

    assert problem(vision.client.post(TASK_ROUTES["slide_feedback"], json=body)) == (422, "invalid")
    assert problem(text.client.post(ROUTE, json=body)) == (404, "not_found")
    assert problem(vision.client.post(ROUTE, json=body | {"task": "singing"})) == (422, "invalid")


def test_a_task_is_told_which_result_it_needs(text: Running, deck: Deck) -> None:
    answer = text.run(order_of(EXTRACTIONS, deck))

    assert problem(answer) == (422, "invalid")
    assert answer.json()["message"] == "`needs` lacks the result of visual_analysis."


def test_a_name_of_a_result_leads_nowhere_else(text: Running, deck: Deck) -> None:
    body = order_of(EXTRACTIONS, deck).model_dump(mode="json") | {"needs": {VISUAL: "decks/visual/../../etc.json"}}

    assert problem(text.client.post(TASK_ROUTES[EXTRACTIONS], json=body)) == (422, "invalid")


@pytest.mark.parametrize("name", ["a\x00b", "\ud800"], ids=["NUL", "half a character"])
def test_a_name_is_of_characters_that_a_database_takes(vision: Running, deck: Deck, name: str) -> None:
    order = order_of(VISUAL, deck).model_dump(mode="json")
    body = json.dumps(order | {"deck": {**order["deck"], "name": name}})

    answer = vision.client.post(ROUTE, content=body, headers={"Content-Type": "application/json"})

    assert problem(answer) == (422, "invalid")


def test_other_methods_and_other_routes_are_told_apart(vision: Running) -> None:
    refused = vision.client.get(ROUTE)

    assert problem(refused) == (405, "not_allowed")
    assert refused.headers["Allow"] == "POST"
    assert problem(vision.client.get("/api/nowhere")) == (404, "not_found")


def test_a_request_keeps_its_id(vision: Running) -> None:
    named = vision.client.get(HEALTH_ROUTE, headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"]
    unnamed = vision.client.get(HEALTH_ROUTE, headers={"X-Request-Id": "a b\tc"}).headers["X-Request-Id"]

    assert named == "abc-1"
    assert re.fullmatch("[0-9a-f]{32}", unnamed)


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [
        (
            UserError("deck.pdf", "is locked", "unlock it"),
            422,
            {"error": "refused", "message": "deck.pdf: is locked; unlock it"},
        ),
        (ResultLost("decks/visual/x.json"), 409, {"error": "result_lost", "lost": "decks/visual/x.json"}),
        (
            ModelUnavailable("silent", (CALL,)),
            503,
            {"error": "model_unavailable", "message": "silent", "calls": [CALL]},
        ),
        (BadAnswer("bad", (CALL,), ("{",)), 502, {"error": "bad_answer", "raw": ["{"], "calls": [CALL]}),
        (ValueError("of another deck"), 422, {"error": "invalid", "message": "of another deck"}),
        (KeyError("visual_analysis"), 422, {"error": "invalid", "message": "There is no 'visual_analysis'."}),
        (RuntimeError("secret"), 500, {"error": "internal", "message": "The server is at fault; its log says how."}),
        (OSError("secret"), 500, {"error": "internal"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_task_raises_is_told_in_its_own_way(
    store: Store,
    deck: Deck,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    raised: Exception,
    status: int,
    told: dict[str, Any],
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(container_module, "run_task", fail)
    with running_container("vision", store, scripted()) as vision:
        answer = vision.run(order_of(VISUAL, deck), "one")
        with vision.news(order_of(VISUAL, deck), "one") as news:
            (last,) = news

    logged = [vars(each)["fields"]["key"] for each in caplog.records if each.exc_info]
    assert logged == (["one"] if status == 500 else [])  # the answer says nothing of what only the log may know
    expected = {name: json.loads(json.dumps(value, default=vars_of)) for name, value in told.items()}
    assert answer.status_code == status
    assert expected.items() <= answer.json().items()
    assert last == {"kind": "failed", "problem": answer.json()}
    assert "secret" not in answer.text


def vars_of(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in Call.__slots__}


def test_a_visual_analysis_is_kept_and_found_by_the_other_kind(
    vision: Running, text: Running, store: Store, seen: VisualAnalysis
) -> None:
    store.delete(VISUAL_KEEPER.name(seen.key))
    missing = text.client.get(CACHED_VISUAL_ROUTE, params={"key": seen.key})

    kept = vision.client.post(CACHE_VISUAL_ROUTE, json=seen.model_dump(mode="json"))
    found = text.client.get(CACHED_VISUAL_ROUTE, params={"key": seen.key})

    assert problem(missing) == (404, "not_found")
    assert kept.json() == {"result": VISUAL_KEEPER.name(seen.key), "content_digest": seen.content_digest}
    assert VisualAnalysis.model_validate(found.json()) == seen


def test_the_first_result_of_a_key_stays(vision: Running, store: Store, seen: VisualAnalysis) -> None:
    vision.client.post(CACHE_VISUAL_ROUTE, json=seen.model_dump(mode="json"))

    other = seen.model_copy(update={"rows": seen.rows[:1]})
    kept = vision.client.post(CACHE_VISUAL_ROUTE, json=other.model_dump(mode="json"))

    assert kept.json()["content_digest"] == seen.content_digest


@pytest.mark.parametrize("key", ["", "../../pdf/x", "9" * 31, "G" * 32])
def test_a_key_is_a_digest(vision: Running, text: Running, seen: VisualAnalysis, key: str) -> None:
    body = seen.model_copy(update={"key": key}).model_dump(mode="json")

    assert problem(vision.client.post(CACHE_VISUAL_ROUTE, json=body)) == (422, "invalid")
    assert problem(text.client.get(CACHED_VISUAL_ROUTE, params={"key": key})) == (422, "invalid")


def test_a_damaged_result_is_not_found(text: Running, store: Store) -> None:
    store.write_bytes(VISUAL_KEEPER.name("d" * 32), b"{")

    assert problem(text.client.get(CACHED_VISUAL_ROUTE, params={"key": "d" * 32})) == (404, "not_found")


def test_any_result_can_be_saved_as_its_own_task(text: Running, store: Store, seen: VisualAnalysis) -> None:
    context = context_of(store, scripted())
    facts = run_task(order_of(EXTRACTIONS, seen.deck, visual_analysis=VISUAL_KEEPER.name(seen.key)), context)
    judged = run_task(order_of("specialized_clinical", seen.deck, extractions_and_template=facts.result), context)
    result = store.read_json(judged.result)

    right = text.client.post(SAVE_RESULT_ROUTE, json={"task": "specialized_clinical", "result": result})
    wrong = [
        text.client.post(SAVE_RESULT_ROUTE, json={"task": task, "result": result})
        for task in (f"specialized_{Specialty.SCIENCE}", EXTRACTIONS, "singing")
    ]

    assert right.json() == {"result": judged.result, "content_digest": judged.content_digest}
    assert [problem(each) for each in wrong] == [(422, "invalid")] * 3
