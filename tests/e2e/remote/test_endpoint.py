"""Pages read by a real server through an endpoint: what comes out is what a worker gives."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from pagemill.errors import UserError
from pagemill.ocr.remote import check_endpoint, endpoint, predict_pages
from pagemill.records import Reason, Status
from tests import light_engine
from tests.e2e.remote.conftest import (
    AGAIN,
    BOOK,
    BOOKS,
    LEAFLET,
    RESOURCE,
    assert_same,
    of,
    outcomes,
)
from tests.light_books import digest, rows_of
from tests.light_runs import ROOT, kill, pages_kept, wait_for_pages
from tests.remote import DROP, door_to

PROGRAM = """
import sys
from pagemill.manifest import Manifest
from pagemill.ocr.remote import predict_pages
from pagemill.records import PdfRecord
from pagemill.storage import Store
pdfs, store, checkpoint, endpoint = sys.argv[1:]
predict_pages(Manifest.read(pdfs, PdfRecord), Store(store), checkpoint=checkpoint, endpoint=endpoint,
              pages_per_request=1, concurrency=2)
"""


@pytest.mark.parametrize("retry", ["none", "failed"])
def test_an_endpoint_gives_the_manifest_and_the_ledgers_of_a_worker(read, store, by_worker, retry):
    manifest = read(retry=retry)

    expected = by_worker[1][retry]
    assert (manifest, manifest.name) == (expected, expected.name)
    assert_same(store, manifest, by_worker, *BOOKS, retry=retry)
    assert store.exists(manifest.settings["checkpoint_tokenizer"])


def test_what_a_worker_has_read_is_not_read_again(given, door, checkpoint, by_worker):
    store, made = by_worker
    assert predict_pages(given[1], store, endpoint=door.address, checkpoint=checkpoint) == made["none"]
    assert door.pages_seen == []


def test_requests_have_few_pages_and_few_are_open(read, door):
    read(BOOK, pages_per_request=2, concurrency=2)
    assert sorted(door.pages_seen) == ["1-2", "3-4", "5-6"]
    assert door.most_open <= 2


def test_the_endpoint_fetches_the_pdfs_of_a_bucket_itself(shard, door, checkpoint, by_worker):
    pdfs, store = shard(BOOK, LEAFLET)

    manifest = predict_pages(pdfs, store, endpoint=door.address, checkpoint=checkpoint)

    assert_same(store, manifest, by_worker, BOOK, LEAFLET)
    asked_for = {instance.get("gcs_uri") for instance in door.seen if "pages" in instance}
    assert asked_for == {store.uri_of(f"pdf/{digest(content)}.pdf") for content in (BOOK, LEAFLET)}


def test_a_pdf_that_is_too_large_to_send_is_sent_in_parts(read, store, door, by_worker):
    manifest = read(BOOK, max_request_bytes=4 * len(BOOK) // 3)  # a little less than a request with it would have

    assert door.pages_seen == []
    assert len(door.seen) == 1 + 2
    # PDFium writes numbers shorter than it reads them, so single pixels differ: the pages are the same ones.
    read_by_both = [
        [re.sub(r"\d+ dots", "", row.text) for row in rows_of(*each, BOOK)]
        for each in ((store, manifest), (by_worker[0], by_worker[1]["none"]))
    ]
    assert read_by_both[0] == read_by_both[1]


def test_pages_that_cannot_be_sent_leave_the_others_alone(read, store):
    with pytest.raises(UserError, match=r"did not read 5 pages of 1 PDFs.*give a store in a bucket") as caught:
        read(BOOK, max_request_bytes=5_000)
    assert "\n" not in str(caught.value)
    assert pages_kept(store) == 1  # the blank page


@pytest.mark.parametrize(
    "fault", [(429, {"Retry-After": "0"}), (503, {}), (500, {}), DROP], ids=["429", "503", "500", "drop"]
)
def test_a_passing_failure_costs_nothing_but_another_request(read, store, door, by_worker, fault):
    door.faults += [None, fault, fault]  # the self-test is answered

    manifest = read(LEAFLET)

    assert_same(store, manifest, by_worker, LEAFLET)
    assert len(door.seen) == 4


@pytest.mark.parametrize(("status", "reason"), [(500, Reason.MODEL_ERROR), (504, Reason.TIME_LIMIT)])
def test_a_page_that_the_server_is_stuck_on_fails_alone(read, store, door, status, reason):
    door.verdict = lambda instance: (status, {}) if instance.get("pages") in ("1-2", "2-2") else None

    found = outcomes(store, read(LEAFLET), LEAFLET)

    assert found == {1: (Status.OK, None), 2: (Status.FAILED, reason)}
    # At the beginning, before the page is tried once more, and after that the endpoint has read another.
    assert sum("pages" not in instance for instance in door.seen) == 3


def test_an_endpoint_that_fails_on_every_page_is_not_the_pages_fault(read, store, door):
    door.faults.append(None)  # the self-test of the beginning
    door.verdict = lambda instance: (500, {})
    with pytest.raises(UserError, match=r"cannot read a page \(500"):
        read(LEAFLET)
    assert pages_kept(store) == 0


def test_an_endpoint_that_goes_away_keeps_what_it_read_and_is_gone_on_with(read, store, door, by_worker):
    door.faults += [None, None]  # the self-test and a first request
    door.verdict = lambda instance: AGAIN
    with pytest.raises(UserError, match="has not answered for 0 s") as caught:
        read(BOOK, concurrency=1, patience_seconds=0.0)
    assert "\n" not in str(caught.value)
    assert pages_kept(store) == 4

    door.verdict = lambda instance: None
    door.seen.clear()
    manifest = read(BOOK)

    assert door.pages_seen == ["5-6"]
    assert_same(store, manifest, by_worker, BOOK)


def test_answers_that_come_at_once_are_all_counted(read, store, by_worker, monkeypatch):
    class SlowCounter(Counter):
        def __getitem__(self, key):
            value = super().__getitem__(key)
            time.sleep(0.02)  # lets others count before this count is kept, were they to do it at the same time
            return value

    monkeypatch.setattr("pagemill.ocr.remote.reading.Counter", SlowCounter)
    manifest = read(BOOK, pages_per_request=1, concurrency=6)
    assert_same(store, manifest, by_worker, BOOK)


def test_a_killed_reader_is_gone_on_with(tmp_path, given, read, store, server, door, checkpoint, by_worker):
    of(given, BOOK, LEAFLET).write(tmp_path / "pdfs.json")
    with door_to(server.url) as first:
        first.allowed = threading.Semaphore(5)
        arguments = [sys.executable, "-c", PROGRAM, tmp_path / "pdfs.json", store.uri, checkpoint, first.address]
        process = subprocess.Popen(arguments, cwd=ROOT)
        wait_for_pages(store, process, 4)
        kill(process.pid)
        assert process.wait() == -signal.SIGKILL
        first.allowed.release(100)

    manifest = read(BOOK, LEAFLET, pages_per_request=1)

    assert len(door.pages_seen) == 8 - 4
    assert_same(store, manifest, by_worker, BOOK, LEAFLET)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "does not accept the credentials"),
        (403, "may not be used with these credentials"),
        (404, "is not there, or has no model"),
        (400, "refused a request"),
    ],
)
def test_who_is_not_let_in_is_told_so_in_one_line(read, door, status, message):
    door.verdict = lambda instance: (status, {})
    with pytest.raises(UserError, match=message) as caught:
        read()
    assert str(caught.value).startswith(f"endpoint {door.address}: ")
    assert "\n" not in str(caught.value)


def test_another_model_in_midst_of_a_run_is_refused(read, door):
    changes = iter([{}, {}])  # of the self-test, and of a first request

    def change(prediction):
        prediction["config"] |= next(changes, {"checkpoint_sha256": "0" * 64, "checkpoint_name": "another"})

    door.change = change
    with pytest.raises(UserError, match="reads with another by now, and began with light"):
        read(BOOK, concurrency=1)


def test_a_server_of_another_version_is_refused(read, door):
    door.change = lambda prediction: prediction.pop("config")
    with pytest.raises(UserError, match="does not say what it reads with"):
        read()


def test_the_languages_that_are_asked_for_have_to_be_those_of_the_server(read):
    with pytest.raises(UserError, match=r"reads languages any, not de,en; set PAGEMILL_LANGUAGES=de,en"):
        read(languages="en,de")


def test_the_checkpoint_that_is_named_has_to_be_that_of_the_server(tmp_path, read, checkpoint):
    other = light_engine.write_checkpoint(tmp_path / "other")
    (other / "tokenizer.json").write_text('{"another": 1}')
    for spec in (str(other), f"{checkpoint}@sha256:{'0' * 64}"):
        with pytest.raises(UserError, match="is not what the server reads with"):
            read(checkpoint=spec)
    with pytest.raises(UserError, match="the file is missing"):
        read(checkpoint=str(tmp_path / "nowhere"))


def test_a_resource_of_vertex_is_asked_at_its_regions_address(monkeypatch, door):
    monkeypatch.setenv("PAGEMILL_GOOGLE_APIS", door.address)
    assert check_endpoint(RESOURCE).engine == light_engine.ENGINE
    assert door.paths == [f"/europe-west4-aiplatform.googleapis.com/v1/{RESOURCE}:predict"]


def test_the_accounts_token_is_sent_to_google_alone(monkeypatch, tmp_path, door):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, f"{door.address}/token")))
    check_endpoint(door.address)
    monkeypatch.setattr(endpoint, "redirected", lambda url: door.address)
    check_endpoint(RESOURCE)
    assert door.tokens == ["", "Bearer a token"]


def test_a_sign_in_that_fails_in_passing_is_tried_again(monkeypatch, door):
    monkeypatch.setenv("PAGEMILL_GOOGLE_APIS", door.address)
    answers = [ConnectionError("TransportError"), "a token"]

    def sign_in(apis):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("pagemill.google_apis.GoogleApis.sign_in", sign_in)
    assert check_endpoint(RESOURCE).engine == light_engine.ENGINE
    assert door.tokens == ["Bearer a token"]


def service_account(folder, token_uri: str):
    """A file of credentials whose tokens a local server gives."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "client_email": "mill@example.org", "private_key_id": "1"}
    path = folder / "account.json"
    path.write_text(json.dumps({**account, "private_key": key.decode(), "token_uri": token_uri}))
    return path


def test_a_server_that_nobody_can_reach_is_told_in_one_line():
    with pytest.raises(UserError, match=r"http://127.0.0.1:9: has not answered for 0 s \(ClientConnectorError: "):
        check_endpoint("http://127.0.0.1:9", patience_seconds=0.0)


def test_the_check_of_a_deployment_fails_clearly(door):
    door.verdict = lambda instance: AGAIN
    with pytest.raises(UserError, match=r"has not answered for 0 s \(503: .*as the test has it"):
        check_endpoint(door.address, patience_seconds=0.0)
