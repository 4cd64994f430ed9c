"""The parts of reading elsewhere: pieces, addresses, answers whose numbers lost their types, and what is refused."""

import dataclasses
import time
from email.utils import formatdate

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.ocr.assignment import Missing, page_row
from pagemill.ocr.engine import PageText, Rendering
from pagemill.ocr.line import Reading
from pagemill.ocr.plan import READING_VERSION
from pagemill.ocr.remote import endpoint_resource, model_resource
from pagemill.ocr.remote.answers import NotRead, config_in, records_in
from pagemill.ocr.remote.endpoint import Address, _Busy, _wait_seconds
from pagemill.ocr.remote.pieces import Piece, cut, rendering_field
from pagemill.ocr.remote.plan import plan_of
from pagemill.ocr.serving.config import EngineConfig, config_of
from pagemill.ocr.serving.settings import Settings
from pagemill.ocr.serving.wanted import BadInstance, PageRange, parse_instance, parse_rendering
from pagemill.records import Reason, Status
from pagemill.waiting import asked_seconds
from tests.remote import _as_doubles

PDF = "a" * 64
CONFIG = EngineConfig("nougat", READING_VERSION, "nougat-0.1.0-base", "c" * 64, "unknown", "d" * 64, "auto", (), 60.0)
PLAN = {"fallback": "none", "min_agreement": 0.5, "languages": "", "retry": "none", "dpi": 96}
PAGES = st.lists(st.integers(1, 60), unique=True).map(sorted)


def row(page: int, status: Status = Status.OK, agreement: float | None = 1.0):
    return page_row(PDF, page, "nougat", Reading(PageText("Text", 3, status), 1, 2.0, agreement, "96 dpi"))


def prediction(*rows, **fields) -> dict:
    return {"config": CONFIG.to_dict(), "reason": None, "pages": [each.to_dict() for each in rows], **fields}


@given(st.lists(st.tuples(PAGES, PAGES), max_size=4), st.integers(1, 7))
def test_pieces_hold_each_missing_page_once_and_follow_one_another(books, max_pages):
    missing = [
        Missing(str(number), tuple(pages), tuple(page for page in suspects if page not in pages))
        for number, (pages, suspects) in enumerate(books)
    ]
    pieces = cut(missing, max_pages)

    found = [(piece.pdf_sha256, page) for piece in pieces for page in piece.pages]
    assert sorted(found) == sorted((each.pdf_sha256, page) for each in missing for page in each.pages + each.suspects)
    for piece in pieces:
        assert len(piece.pages) <= max_pages
        assert list(piece.pages) == list(range(piece.pages[0], piece.pages[-1] + 1))


@given(st.integers(1, 50), st.integers(2, 20))
def test_halves_are_smaller_and_make_the_whole(first, number):
    piece = Piece(PDF, tuple(range(first, first + number)))
    one, other = piece.halves()
    assert one.pages + other.pages == piece.pages
    assert min(len(one.pages), len(other.pages)) > 0


@pytest.mark.parametrize(
    ("given_as", "url", "authenticated"),
    [
        (
            "projects/p/locations/us-central1/endpoints/12",
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/12:predict",
            True,
        ),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/predict", False),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/predict", False),
        ("https://mill.example.org/read", "https://mill.example.org/read", False),
        (
            "https://12.us-central1-3.prediction.vertexai.goog/v1/projects/p/locations/r/endpoints/12:predict",
            "https://12.us-central1-3.prediction.vertexai.goog/v1/projects/p/locations/r/endpoints/12:predict",
            True,
        ),
        ("http://us-central1-aiplatform.googleapis.com/x", "http://us-central1-aiplatform.googleapis.com/x", False),
        ("https://googleapis.com.example.org/x", "https://googleapis.com.example.org/x", False),
    ],
)
def test_requests_go_to_vertex_or_to_a_url_and_credentials_to_google_alone(given_as, url, authenticated):
    assert Address.of(given_as) == Address(url, authenticated)


@pytest.mark.parametrize("nonsense", ["", "12", "projects/p/endpoints/12", "ftp://host/x", "http:///x"])
def test_what_is_no_endpoint_is_refused(nonsense):
    with pytest.raises(UserError, match="is neither an endpoint of Vertex AI nor a URL"):
        Address.of(nonsense)


def test_resources_have_names_with_their_region():
    assert model_resource("projects/p/locations/europe-west4/models/3@2").location == "europe-west4"
    with pytest.raises(UserError, match="is no model of Vertex AI"):
        model_resource("projects/p/locations/europe-west4/endpoints/3")
    with pytest.raises(UserError, match="is no endpoint of Vertex AI"):
        endpoint_resource("3")


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), (formatdate(0, usegmt=True), 0.0)]
)
def test_retry_after_is_seconds_or_a_time(value, seconds):
    assert asked_seconds({"Retry-After": value}) == seconds


def test_retry_after_as_a_time_to_come():
    assert 50 < asked_seconds({"Retry-After": formatdate(time.time() + 60, usegmt=True)}) <= 61


def test_numbers_that_came_as_doubles_are_what_they_were():
    answer = _as_doubles(prediction(row(1), row(2, agreement=None)))
    assert answer["pages"][0]["tokens"] == 3.0

    config = config_in(answer, "server")
    rows = records_in(answer, Piece(PDF, (1, 2)), config)

    assert [str(each) for each in (config, *rows)] == [str(each) for each in (CONFIG, row(1), row(2, agreement=None))]
    assert plan_of(config, "server", **PLAN).folder == plan_of(CONFIG, "server", **PLAN).folder


def test_pages_of_a_cut_pdf_get_their_own_names():
    answer = prediction(*(dataclasses.replace(row(page), pdf_sha256="b" * 64) for page in (1, 2)))
    rows = records_in(answer, Piece(PDF, (8, 9)), CONFIG)
    assert [(each.pdf_sha256, each.page) for each in rows] == [(PDF, 8), (PDF, 9)]


def test_a_pdf_that_the_server_cannot_read_is_a_failed_row_a_page():
    rows = records_in(prediction(reason="broken_pdf"), Piece(PDF, (8, 9)), CONFIG)
    assert [(each.page, each.status, each.reason) for each in rows] == [
        (8, Status.FAILED, Reason.BROKEN_PDF),
        (9, Status.FAILED, Reason.BROKEN_PDF),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reason": "not_found", "detail": "there is\nno such file"}, "not_found: there is no such file"),
        ({"pages": []}, "0 pages were answered for 1"),
        ({"pages": [{"page": 1}]}, "holds no page records"),
        ({"pages": None}, "holds no page records"),
        ({"pages": ["page"]}, "holds no page records"),
    ],
)
def test_what_is_no_reading_is_not_taken_for_one(fields, message):
    with pytest.raises(NotRead, match=message):
        records_in(prediction(**fields), Piece(PDF, (1,)), CONFIG)


@pytest.mark.parametrize("config", [None, "nougat", {}, {**CONFIG.to_dict(), "reading_version": 0}])
def test_a_server_of_another_version_is_refused(config):
    with pytest.raises(UserError, match="of the same version"):
        config_in({"config": config}, "server")


def test_a_server_says_what_it_reads_with(tmp_path):
    from pagemill.ocr.checkpoint import Checkpoint

    checkpoint = Checkpoint(tmp_path, "c" * 64, "nougat-0.1.0-base", "unknown", {"tokenizer.json": "d" * 64})
    settings = Settings(checkpoint="x", languages=("en", "de", "en"))
    assert config_of(settings, checkpoint) == dataclasses.replace(CONFIG, languages=("de", "en"))


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 1.0), (7.0, 7.0), (9000.0, 300.0)])
def test_who_is_asked_to_come_back_at_once_or_much_later_waits_a_little(asked, waited):
    state = tenacity.RetryCallState(None, None, (), {})
    state.outcome = tenacity.Future.construct(1, _Busy("503", asked), True)
    assert _wait_seconds(state) == waited


def test_a_rendering_goes_there_and_comes_back():
    retried = Rendering(120, 0.02)
    instance = {"gcs_uri": "gs://a/b.pdf", **rendering_field(retried)}
    assert parse_instance(instance, PageRange()).rendering == retried
    assert rendering_field(Rendering()) == {}
    assert parse_rendering({"dpi": 72}) == Rendering(72)


@pytest.mark.parametrize(
    "nonsense",
    [3, "96", [], {"dpi": 96.5}, {"dpi": True}, {"dpi": 0}, {"dpi": 601}, {"margin": -0.1}, {"margin": 0.6}, {"x": 1}],
)
def test_no_rendering(nonsense):
    with pytest.raises(BadInstance, match="rendering"):
        parse_rendering(nonsense)
