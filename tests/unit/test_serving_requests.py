"""What a request may ask for, and what the environment may say: every form that is taken, and the rest refused."""

import base64
import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.ocr.serving import kits
from pagemill.ocr.serving.service import Throughput
from pagemill.ocr.serving.settings import Settings
from pagemill.ocr.serving.wanted import (
    BadInstance,
    BadRequest,
    Fault,
    PageRange,
    check_uri,
    parse_instance,
    parse_pages,
    parse_request,
)

ALL = PageRange()
URI = "gs://bucket/a book.pdf"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["pdf", "b64", "gcs_uri", "pages"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("given_as", "first", "last"),
    [
        ("2-5", 2, 5),
        (" 2 - 5 ", 2, 5),
        ("7", 7, 7),
        ("3-", 3, None),
        ("-4", 1, 4),
        (6, 6, 6),
        ({"first": 2, "last": 5}, 2, 5),
        ({"first": 2}, 2, None),
        ({"last": 5}, 1, 5),
        ({}, 1, None),
        (None, 1, None),
        ("", 1, None),
    ],
)
def test_page_ranges(given_as, first, last):
    assert parse_pages(given_as, ALL) == PageRange(first, last)


@pytest.mark.parametrize(
    "nonsense",
    [
        "-",
        "a",
        "1,3",
        "1-2-3",
        "0",
        "0-3",
        "5-2",
        -1,
        0,
        1.5,
        True,
        [1, 2],
        {"first": "1"},
        {"page": 1},
        {"last": True},
    ],
)
def test_page_ranges_that_are_none(nonsense):
    with pytest.raises(BadInstance) as refused:
        parse_pages(nonsense, ALL)
    assert refused.value.fault is Fault.BAD_INSTANCE


@given(first=st.integers(1, 50), length=st.integers(0, 50), num_pages=st.integers(1, 50))
def test_a_range_is_cut_to_the_pages_that_there_are(first, length, num_pages):
    pages = PageRange(first, first + length)
    if first > num_pages:
        with pytest.raises(BadInstance, match="no_such_page"):
            pages.of(num_pages)
    else:
        assert list(pages.of(num_pages)) == [page for page in range(first, first + length + 1) if page <= num_pages]


@pytest.mark.parametrize(
    "form", [{"gcs_uri": URI}, {"pdf": {"gcs_uri": URI}}, URI, [URI], {"gcs_uri": URI, "b64": None}]
)
def test_a_pdf_by_uri(form):
    wanted = parse_instance(form, ALL)
    assert (wanted.uri, wanted.content, wanted.pages) == (URI, b"", ALL)


@pytest.mark.parametrize("wrap", [lambda b64: {"b64": b64}, lambda b64: {"pdf": {"b64": b64}}])
def test_a_pdf_in_base64(wrap):
    wanted = parse_instance(wrap(base64.b64encode(b"%PDF").decode()), ALL)
    assert (wanted.uri, wanted.content) == ("", b"%PDF")


def test_an_instance_has_its_own_pages_or_those_of_the_request():
    assert parse_instance({"gcs_uri": URI, "pages": "2"}, PageRange(5, 6)).pages == PageRange(2, 2)
    assert parse_instance([URI, "2-3"], ALL).pages == PageRange(2, 3)
    assert parse_instance({"gcs_uri": URI}, PageRange(5, 6)).pages == PageRange(5, 6)


@pytest.mark.parametrize(
    "instance",
    [
        None,
        3,
        [],
        [1],
        [URI, "1", "2"],
        {},
        {"pages": "1"},
        {"gcs_uri": 3},
        {"b64": "?"},
        {"gcs_uri": URI, "b64": ""},
        {"gcs_uri": URI, "page": 1},
        {"pdf": "x"},
        {"pdf": {"b64": "é"}},
    ],
)
def test_instances_that_are_none(instance):
    with pytest.raises(BadInstance) as refused:
        parse_instance(instance, ALL)
    assert refused.value.fault is Fault.BAD_INSTANCE


@given(JSON_VALUES)
def test_an_instance_is_understood_or_refused_whatever_it_is(instance):
    with contextlib.suppress(BadInstance):
        wanted = parse_instance(instance, ALL)
        assert not (wanted.uri and wanted.content)
        assert wanted.pages.first >= 1


def test_a_request():
    body = b'{"instances": ["gs://a/b.pdf", {}], "parameters": {"pages": "2-3"}}'
    assert parse_request(body) == (["gs://a/b.pdf", {}], PageRange(2, 3))
    assert parse_request(b'{"instances": [], "parameters": null}') == ([], ALL)


@pytest.mark.parametrize("body", [b"", b"3", b'{"instances": {}}', b'{"instances": [], "parameters": {"pages": "x"}}'])
def test_requests_that_are_none(body):
    with pytest.raises(BadRequest):
        parse_request(body)


@pytest.mark.parametrize(
    "uri", ["http://host/x.pdf", "/etc/passwd", "file:///etc/passwd", "gs:/x", "", "gs://a/b::file:///etc/passwd"]
)
def test_uris_that_are_not_allowed(uri):
    with pytest.raises(BadInstance) as refused:
        check_uri(uri, ("gs", "s3"))
    assert refused.value.detail == "PDFs are fetched from gs://, s3:// alone"


def test_uris_that_are_allowed():
    check_uri("gs://bucket/book.pdf", ("gs", "http"))
    check_uri("HTTP://host/book.pdf", ("gs", "http"))


def test_the_settings_of_an_empty_environment_are_the_defaults():
    settings = Settings.from_environment({"AIP_STORAGE_URI": "gs://models/nougat", "AIP_HTTP_PORT": ""})
    assert settings == Settings(storage_uri="gs://models/nougat")
    assert (settings.port, settings.uri_schemes, settings.checkpoint_spec) == (8080, ("gs",), "gs://models/nougat")


def test_the_environment_sets_each_setting():
    environment = {
        "AIP_HTTP_PORT": "9000",
        "AIP_HEALTH_ROUTE": "/ping",
        "AIP_STORAGE_URI": "",
        "PAGEMILL_CHECKPOINT": "0.1.0-small",
        "PAGEMILL_URI_SCHEMES": "gs, S3,",
        "PAGEMILL_PAGE_TIME_LIMIT_SECONDS": "2.5",
    }
    settings = Settings.from_environment(environment)
    assert (settings.port, settings.health_route, settings.checkpoint_spec) == (9000, "/ping", "0.1.0-small")
    assert (settings.uri_schemes, settings.page_time_limit_seconds) == (("gs", "s3"), 2.5)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"AIP_STORAGE_URI": ""}, "neither is set"),
        ({"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT=http: is not a whole number"),
        ({"AIP_HTTP_PORT": "70000"}, "AIP_HTTP_PORT=70000: is out of range"),
        ({"AIP_HEALTH_ROUTE": "health"}, "AIP_HEALTH_ROUTE: is no path"),
        ({"AIP_PREDICT_ROUTE": "/metrics"}, "AIP_PREDICT_ROUTE: is taken"),
        ({"PAGEMILL_MAX_REQUESTS": "0"}, "PAGEMILL_MAX_REQUESTS=0: is out of range; give a whole number from 1"),
        ({"PAGEMILL_DRAIN_LIMIT_SECONDS": "nan"}, "is out of range"),
        ({"PAGEMILL_MAX_QUEUED_PAGES": "10"}, "PAGEMILL_MAX_REQUEST_PAGES: a request of 1000 pages never fits"),
    ],
)
def test_settings_that_are_refused(environment, message):
    with pytest.raises(UserError) as refused:
        Settings.from_environment({"AIP_STORAGE_URI": "gs://models/nougat", **environment})
    assert message in str(refused.value)


def test_the_instances_are_dealt_to_the_gpus_in_turn(monkeypatch, tmp_path):
    monkeypatch.setattr(kits, "gpu_count", lambda: 2)

    assert kits.devices_for(Settings()) == ["cuda:0", "cuda:1"]
    assert kits.devices_for(Settings(instances_per_gpu=2)) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert kits.devices_for(Settings(instances=3)) == ["cuda:0", "cuda:1", "cuda:0"]
    assert kits.devices_for(Settings(device="cuda:1")) == ["cuda:1"]
    assert kits.devices_for(Settings(device="cpu", instances_per_gpu=2)) == ["cpu"]


def test_a_machine_without_a_gpu_runs_one_instance_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setattr(kits, "gpu_count", lambda: 0)

    assert kits.devices_for(Settings(instances_per_gpu=4)) == ["cpu"]
    assert kits.devices_for(Settings(instances=2)) == ["cpu", "cpu"]
    with pytest.raises(UserError, match="there is no GPU that CUDA can use"):
        kits.devices_for(Settings(device="cuda"))


def test_when_to_come_again_follows_from_the_last_minute():
    lately = Throughput()
    assert lately.seconds_for(100, now=0.0) == 10

    for second in range(20):
        lately.add(5, now=float(second))
    assert lately.seconds_for(100, now=20.0) == 20
    assert lately.seconds_for(1, now=20.0) == 1
    assert lately.seconds_for(1_000_000, now=20.0) == 600
    assert lately.seconds_for(100, now=300.0) == 10


def test_every_setting_has_a_variable_of_its_own():
    names = [field.metadata["variable"] for field in dataclasses.fields(Settings)]
    assert len(set(names)) == len(names)
    assert all(name.startswith(("AIP_", "PAGEMILL_")) for name in names)
