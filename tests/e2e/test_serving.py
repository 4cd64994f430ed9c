"""The Nougat server as a process: every request is answered, with its own pages, whatever happens around it."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests import pdfs
from tests.conftest import DEMO
from tests.servers import web_server
from tests.serving import BOOKS, book, inline, numbers_of, numbers_read, serving

REQUESTS = 200
TWO_INSTANCES = {"PAGEMILL_INSTANCES": "2", "PAGEMILL_BATCH_SIZE": "8"}
ONE_BOOK = book(0)
BROKEN, SEALED = pdfs.truncated(pdfs.book(["Half a book"])), pdfs.encrypted(pdfs.book(["Secret"]), "unknown")
PLATES = pdfs.saved(pdfs.blank([(420, 595)] * 21))


@pytest.fixture(scope="module")
def books() -> list[bytes]:
    return [book(number) for number in range(BOOKS)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for requests that leave it as it is."""
    limits = {"PAGEMILL_MAX_REQUEST_PAGES": "20", "PAGEMILL_MAX_BODY_BYTES": "1000000", "PAGEMILL_URI_SCHEMES": "http"}
    limits |= {"PAGEMILL_MAX_PDF_BYTES": "100000"}
    with serving(tmp_path_factory.mktemp("server"), environment=TWO_INSTANCES | limits, seconds=0.004, steps=3) as one:
        yield one


@pytest.fixture(scope="module")
def rough(tmp_path_factory):
    """A slow server with a small queue, to which bad things happen."""
    environment = TWO_INSTANCES | {"PAGEMILL_MAX_QUEUED_PAGES": "50", "PAGEMILL_MAX_REQUEST_PAGES": "50"}
    deadly = numbers_of(BOOKS)[1:2]
    with serving(
        tmp_path_factory.mktemp("rough"), environment=environment, seconds=0.05, steps=4, deadly=deadly
    ) as one:
        yield one


def only_prediction(answer: httpx.Response) -> dict:
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    return prediction


def failure(answer: httpx.Response) -> str:
    prediction = only_prediction(answer)
    assert (prediction["status"], prediction["pages"]) == ("failed", [])
    assert "\n" not in prediction["detail"]
    return prediction["reason"]


def test_a_prediction_holds_the_records_of_the_pages_in_order(server):
    prediction = only_prediction(server.predict(inline(ONE_BOOK)))

    assert prediction["num_pages"] == 3
    assert prediction["pdf_sha256"] == hashlib.sha256(ONE_BOOK).hexdigest()
    assert [page["page"] for page in prediction["pages"]] == [1, 2, 3]
    assert numbers_read(prediction) == numbers_of(0)
    first = prediction["pages"][0]
    assert (first["status"], first["reason"], first["attempts"], first["rendering"]) == ("ok", None, 1, "96 dpi")
    assert first["pdf_sha256"] == prediction["pdf_sha256"]


def test_only_the_pages_asked_for_are_read(server):
    assert numbers_read(only_prediction(server.predict(inline(ONE_BOOK, pages="2-3")))) == numbers_of(0)[1:]
    assert numbers_read(only_prediction(server.predict(inline(ONE_BOOK), parameters={"pages": 1}))) == numbers_of(0)[:1]


def test_the_forms_that_batch_prediction_sends(server):
    encoded = base64.b64encode(ONE_BOOK).decode()
    with web_server() as web:
        web.files["/a book.pdf"] = ONE_BOOK
        uri = web.url("/a book.pdf")
        answer = server.predict({"b64": encoded}, {"gcs_uri": uri}, uri, [uri, "2"], {"gcs_uri": uri, "pages": None})

    assert [numbers_read(each) for each in answer.json()["predictions"]] == [
        numbers_of(0),
        numbers_of(0),
        numbers_of(0),
        numbers_of(0)[1:2],
        numbers_of(0),
    ]


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (inline(BROKEN), "broken_pdf"),
        (inline(SEALED), "password_protected"),
        (inline(pdfs.without_pages()), "no_pages"),
        (inline(b""), "broken_pdf"),
        (inline(ONE_BOOK, pages="7-9"), "no_such_page"),
        (inline(ONE_BOOK, pages="3-1"), "bad_instance"),
        (inline(ONE_BOOK, page=1), "bad_instance"),
        ({"b64": "no base64!"}, "bad_instance"),
        (7, "bad_instance"),
        ({}, "bad_instance"),
        ({"gcs_uri": "gs://bucket/book.pdf"}, "uri_not_allowed"),
        ({"gcs_uri": "/etc/passwd"}, "uri_not_allowed"),
        ({"gcs_uri": "file:///etc/passwd"}, "uri_not_allowed"),
        ({"gcs_uri": "http://127.0.0.1:9/x::file:///etc/passwd"}, "uri_not_allowed"),
        ({"gcs_uri": "http://127.0.0.1:9/nobody-listens.pdf"}, "not_found"),
    ],
)
def test_a_bad_instance_fails_alone(server, instance, reason):
    bad, good = server.predict(instance, inline(ONE_BOOK)).json()["predictions"]

    assert (bad["status"], bad["reason"], bad["pages"]) == ("failed", reason, [])
    assert numbers_read(good) == numbers_of(0)


def test_a_pdf_that_cannot_be_fetched_fails_alone(server):
    with web_server() as web:
        web.files |= {"/large.pdf": bytes(200_000), "/book.pdf": ONE_BOOK}
        web.failures.append(500)
        assert failure(server.predict({"gcs_uri": web.url("/book.pdf")})) == "not_fetched"
        assert failure(server.predict({"gcs_uri": web.url("/large.pdf")})) == "pdf_too_large"
        assert failure(server.predict({"gcs_uri": web.url("/gone.pdf")})) == "not_found"


def test_a_page_that_cannot_be_rendered_is_a_record_with_its_reason(server):
    huge = pdfs.with_page(ONE_BOOK, MediaBox=pdfs.Array([0, 0, 20_000, 20_000]))
    first, second, _ = only_prediction(server.predict(inline(huge)))["pages"]

    assert (first["status"], first["reason"], first["text"]) == ("failed", "page_too_large", "")
    assert second["status"] == "ok"


def test_a_blank_page_is_empty(server):
    pages = only_prediction(server.predict(inline(pdfs.saved(pdfs.blank()))))["pages"]
    assert [(page["status"], page["reason"]) for page in pages] == [("empty", "blank_page")]


def test_no_instances_have_no_predictions(server):
    assert server.predict().json() == {"predictions": []}


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b'{"instances": 3}', b"[" * 100_000, b'{"instances": [], "parameters": {"dpi": 3}}'],
)
def test_a_malformed_request_is_refused_with_one_line(server, body):
    answer = httpx.post(f"{server.url}/predict", content=body)

    assert answer.status_code == 400
    assert len(answer.json()["error"].splitlines()) == 1


def test_a_body_that_is_too_large_is_refused_and_not_kept(server):
    parts = (bytes(100_000) for _ in range(1_000))  # their number is not announced
    before = server.peak_megabytes()

    for content in (bytes(2_000_000), parts):
        answer = httpx.post(f"{server.url}/predict", content=content)
        assert (answer.status_code, answer.json()) == (413, {"error": "the body is larger than 1,000,000 bytes"})
    assert server.peak_megabytes() - before < 20


def test_a_request_of_too_many_pages_is_refused(server):
    answer = server.predict(inline(PLATES))
    assert (answer.status_code, answer.json()) == (413, {"error": "21 pages are more than the 20 of a request"})
    assert len(only_prediction(server.predict(inline(PLATES, pages="2-21")))["pages"]) == 20


def test_nothing_of_a_request_stays_on_the_disk_or_in_the_log(server):
    server.predict(inline(ONE_BOOK), {"gcs_uri": "gs://secret-bucket/secret.pdf"})

    assert {path.name for path in server.log.parent.glob("pagemill-serving-*/*")} == {"self-test.pdf"}
    log = server.log.read_text()
    assert "secret" not in log
    assert "Page 1" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    request = next(line for line in reversed(lines) if line["message"] == "request")
    assert (
        request.items() >= {"status": 200, "outcome": "ok", "instances": 2, "instances_failed": 1, "pages": 3}.items()
    )


def test_the_metrics_count_requests_and_pages(server):
    before = server.figure("pagemill_requests_total", outcome="ok"), server.figure("pagemill_pages_total", status="ok")
    server.predict(inline(ONE_BOOK))
    server.predict(inline(BROKEN))

    assert server.figure("pagemill_requests_total", outcome="ok") == before[0] + 2
    assert server.figure("pagemill_pages_total", status="ok") == before[1] + 3
    assert server.figure("pagemill_request_seconds_count") >= 2
    assert server.figure("pagemill_instances_ready") == 2
    assert server.figure("pagemill_instance_restarts_total") == 0
    assert server.figure("pagemill_pages_queued") == server.figure("pagemill_pages_in_flight") == 0
    assert server.figure("pagemill_model_tokens_total") > 0
    assert server.figure("pagemill_model_seconds_reading_total") > 0


BAD_REQUESTS = {
    1: (lambda: [inline(BROKEN)], "broken_pdf"),
    2: (lambda: [inline(SEALED)], "password_protected"),
    3: (lambda: [{"b64": "?"}], "bad_instance"),
    4: (lambda: [{"gcs_uri": "ftp://x/y.pdf"}], "uri_not_allowed"),
    5: (lambda: [inline(PLATES)], 413),
    6: (lambda: "nothing of the kind", 400),
}


async def ask(client: httpx.AsyncClient, number: int, books: list[bytes]) -> None:
    """Send one request of a crowd and check that the answer is its own."""
    if number % 10 in BAD_REQUESTS:
        instances, expected = BAD_REQUESTS[number % 10]
        answer = await client.post("/predict", json={"instances": instances()})
        assert answer.status_code == (expected if isinstance(expected, int) else 200), answer.text
        if answer.status_code == 200:
            assert failure(answer) == expected
        return
    wanted = [(number * 7 + offset) % BOOKS for offset in range(1 + number % 2)]
    answer = await client.post("/predict", json={"instances": [inline(books[each]) for each in wanted]})
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    assert [numbers_read(each) for each in predictions] == [numbers_of(each) for each in wanted]
    assert [each["pdf_sha256"] for each in predictions] == [hashlib.sha256(books[each]).hexdigest() for each in wanted]


def test_two_hundred_requests_at_once_some_bad_each_get_their_own_answer(server, books):
    async def crowd():
        async with server.client() as client:
            await asyncio.gather(*(ask(client, number, books) for number in range(REQUESTS)))

    asyncio.run(crowd())


def test_a_killed_instance_loses_nothing(rough, books):
    async def crowd():
        async with rough.client() as client:
            asking = asyncio.gather(*(ask(client, number, books) for number in range(10, 110, 10)))
            while rough.figure("pagemill_pages_in_flight") < 16:
                await asyncio.sleep(0.01)
            os.kill(rough.instances()[0], signal.SIGKILL)
            await asking

    before = rough.figure("pagemill_instance_restarts_total"), rough.figure("pagemill_pages_read_again_total")
    asyncio.run(crowd())
    while rough.figure("pagemill_instances_ready") < 2:
        time.sleep(0.05)

    assert rough.figure("pagemill_instance_restarts_total") == before[0] + 1
    assert rough.figure("pagemill_pages_read_again_total") > before[1]


def test_a_page_that_kills_its_instance_fails_alone(rough, books):
    killer, other = rough.predict(inline(book(BOOKS)), inline(books[1])).json()["predictions"]

    assert numbers_read(other) == numbers_of(1)
    pages = [(page["status"], page["reason"], page["attempts"]) for page in killer["pages"]]
    assert pages == [("ok", None, 1), ("failed", "crashed", 2), ("ok", None, 1)]


def test_a_full_queue_says_when_to_come_again(rough, books):
    async def crowd():
        async with rough.client() as client:
            request = {"instances": [inline(books[number]) for number in range(1, 11)]}
            asking = asyncio.create_task(client.post("/predict", json=request))
            while not rough.figure("pagemill_pages_in_flight"):
                await asyncio.sleep(0.01)
            busy = await client.post("/predict", json=request)
            assert (await asking).status_code == 200
            return busy

    busy = asyncio.run(crowd())
    assert (busy.status_code, busy.json()) == (429, {"error": "30 pages are waiting"})
    assert int(busy.headers["Retry-After"]) >= 1
    assert rough.predict(inline(books[1])).status_code == 200


def test_the_pages_of_a_client_that_went_away_are_given_up(rough, books):
    async def leave():
        async with rough.client() as client:
            request = {"instances": [inline(books[number]) for number in range(1, 16)]}
            asking = asyncio.create_task(client.post("/predict", json=request))
            while not rough.figure("pagemill_pages_queued"):
                await asyncio.sleep(0.01)
            asking.cancel()

    asyncio.run(leave())
    while not rough.figure("pagemill_requests_total", outcome="gone"):
        time.sleep(0.01)
    assert rough.figure("pagemill_pages_queued") == 0
    assert numbers_read(only_prediction(rough.predict(inline(books[1])))) == numbers_of(1)


def test_sigterm_drains(tmp_path, books):
    async def crowd(server):
        async with server.client() as client:
            requests = ({"instances": [inline(books[number])]} for number in range(30))
            asking = [asyncio.create_task(client.post("/predict", json=request)) for request in requests]
            while server.figure("pagemill_pages_in_flight") < 32:
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            while server.health() != 503:
                await asyncio.sleep(0.01)
            late = await client.post("/predict", json={"instances": [inline(ONE_BOOK)]})
            assert not all(task.done() for task in asking)
            return late, await asyncio.gather(*asking)

    with serving(tmp_path, environment=TWO_INSTANCES, seconds=0.15, steps=4) as server:
        late, answers = asyncio.run(crowd(server))
        assert server.process.wait() == 0

    assert (late.status_code, late.json()) == (503, {"error": "the server is ending"})
    assert late.headers["Retry-After"]
    for number, answer in enumerate(answers):
        assert answer.status_code == 503 or numbers_read(only_prediction(answer)) == numbers_of(number)
    # Who was taken on was answered: nobody was told 503 but those who came too late.
    log = [json.loads(line) for line in server.log.read_text().splitlines()]
    outcomes = Counter(line["outcome"] for line in log if line["message"] == "request")
    refused = sum(answer.status_code == 503 for answer in answers)
    assert outcomes == Counter(ok=len(answers) - refused, unavailable=refused + 1)
    assert len(answers) - refused >= 11


def test_a_request_that_outlasts_the_time_to_drain_is_told_so(tmp_path):
    async def interrupted(server):
        async with server.client() as client:
            asking = asyncio.create_task(client.post("/predict", json={"instances": [inline(ONE_BOOK)]}))
            while not server.figure("pagemill_pages_in_flight"):
                await asyncio.sleep(0.02)
            server.process.send_signal(signal.SIGTERM)
            return await asking

    environment = {"PAGEMILL_DRAIN_LIMIT_SECONDS": "0.2"}
    with serving(tmp_path, environment=environment, seconds=1, steps=2) as server:
        assert asyncio.run(interrupted(server)).status_code == 503
        assert server.process.wait() == 1
    assert not list(tmp_path.glob("pagemill-serving-*"))


def test_it_is_not_healthy_before_a_model_has_read_a_page_and_takes_its_instances_along(tmp_path):
    with serving(tmp_path, healthy=False, environment=TWO_INSTANCES, troubles={"0": "hang"}) as server:
        while not server.health():
            time.sleep(0.02)
        answer = server.predict(inline(ONE_BOOK))  # the page of the self-test hangs
        assert (server.health(), answer.status_code) == (503, 503)
        assert answer.json() == {"error": "no model has read a page yet"}

        instances = server.instances()
        assert len(instances) == 2
        server.process.kill()
        while any(is_alive(pid) for pid in instances):
            time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_mistake_of_the_user_ends_it_with_one_line(tmp_path):
    with serving(tmp_path, healthy=False, environment={"AIP_STORAGE_URI": str(tmp_path / "nothing")}) as server:
        assert server.process.wait() == 2
        (line,) = server.log.read_text().splitlines()
        assert line.startswith("pagemill: checkpoint ")


def test_it_reads_with_nougat_itself(tmp_path, demo_pdf):
    environment = {"AIP_STORAGE_URI": str(DEMO / "checkpoint"), "PAGEMILL_ENGINE": "nougat"}
    routes = {"AIP_HEALTH_ROUTE": "/v1/endpoints/1:health", "AIP_PREDICT_ROUTE": "/v1/endpoints/1:predict"}
    truth = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text().splitlines()]
    content = demo_pdf.read_bytes()
    expected = [page["text"] for page in truth if page["pdf_sha256"] == hashlib.sha256(content).hexdigest()]
    with serving(tmp_path, healthy=False, environment=environment | routes) as server:
        while (answer := try_get(f"{server.url}{routes['AIP_HEALTH_ROUTE']}")) != 200:
            assert answer in (0, 503)
            time.sleep(0.1)
        request = {"instances": [inline(content)]}
        answer = httpx.post(f"{server.url}{routes['AIP_PREDICT_ROUTE']}", json=request, timeout=120)

    pages = only_prediction(answer)["pages"]
    assert [page["text"] for page in pages] == expected
    assert {page["status"] for page in pages} <= {"ok", "empty"}


def try_get(url: str) -> int:
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return 0
