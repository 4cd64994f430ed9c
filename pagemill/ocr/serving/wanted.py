"""What a request asks for: PDFs by URI or in base64, each with the pages to read of it."""

import base64
import binascii
import dataclasses
import enum
import json
import re
from typing import Any

from pagemill.ocr.engine import Rendering

_RANGE = re.compile(r"(?P<first>\d{1,7})?\s*(?P<dash>-)?\s*(?P<last>\d{1,7})?")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_FIELDS = {"b64", "gcs_uri", "pdf", "pages", "rendering"}
_DPI_RANGE = (20, 600)
_MOST_MARGIN = 0.5
FORMS = '{"gcs_uri": "gs://…"}, {"b64": "…"} or {"pdf": {"b64": "…"}}, each with "pages": "1-5" if need be'


class Fault(enum.StrEnum):
    """Why an instance of a request was not even opened; what is wrong with a PDF itself is a `Reason`."""

    BAD_INSTANCE = "bad_instance"
    URI_NOT_ALLOWED = "uri_not_allowed"
    NOT_FOUND = "not_found"
    NOT_FETCHED = "not_fetched"
    PDF_TOO_LARGE = "pdf_too_large"
    NO_SUCH_PAGE = "no_such_page"


class BadInstance(ValueError):
    """An instance that cannot be answered, and why, in one line; the others of its request can."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail


class BadRequest(ValueError):
    """A request that cannot be understood as a whole; its text says why in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class PageRange:
    """Pages to read, from 1, both ends included; `last` None for the last of the PDF."""

    first: int = 1
    last: int | None = None

    def of(self, num_pages: int) -> range:
        """Return the numbers of the pages of a PDF that are in the range.

        Raises:
            BadInstance: It has none of them.
        """
        last = num_pages if self.last is None else min(self.last, num_pages)
        if self.first > last:
            raise BadInstance(Fault.NO_SUCH_PAGE, f"the PDF ends at page {num_pages}, asked for is {self}")
        return range(self.first, last + 1)

    def __str__(self) -> str:
        return f"{self.first}-{'' if self.last is None else self.last}"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """One PDF that a request asks for: by URI, or its bytes."""

    uri: str
    content: bytes
    pages: PageRange
    rendering: Rendering


def parse_request(body: bytes) -> tuple[list[Any], PageRange]:
    """Return the instances of a request, not looked at yet, and the range of pages for those that name none.

    Vertex AI sends `{"instances": [...], "parameters": {...}}`; `parameters` may hold "pages".

    Raises:
        BadRequest: The body is something else.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("instances"), list):
        raise BadRequest('the body is not {"instances": [...], "parameters": {...}}')
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, dict) or set(parameters) - {"pages"}:
        raise BadRequest('"parameters" is an object that may hold "pages" and nothing else')
    try:
        return request["instances"], parse_pages(parameters.get("pages"), PageRange())
    except BadInstance as error:
        raise BadRequest(error.detail) from None


def parse_instance(instance: Any, pages: PageRange) -> Wanted:
    """Return what an instance asks for.

    It takes the forms in which Vertex AI's batch prediction hands its input on: a line of JSON Lines or a
    row of BigQuery as it is, a file of a file list or a record of TFRecord as `{"b64": ...}`, a line of CSV
    as a list of one or two values (the URI, the pages), and a line that is a text as that text (the URI).

    Args:
        instance: Any value that JSON can hold.
        pages: What to read where the instance does not say.

    Raises:
        BadInstance: It is none of these.
    """
    if isinstance(instance, str):
        instance = {"gcs_uri": instance}
    elif isinstance(instance, list) and 1 <= len(instance) <= 2:
        instance = dict(zip(("gcs_uri", "pages"), instance, strict=False))
    if not isinstance(instance, dict) or set(instance) - _FIELDS:
        raise BadInstance(Fault.BAD_INSTANCE, f"an instance is one of {FORMS}")
    pages = parse_pages(instance.get("pages"), pages)
    rendering = parse_rendering(instance.get("rendering"))
    beside = ("pages", "rendering")
    sources = {name: value for name, value in instance.items() if name not in beside and value is not None}
    if isinstance(pdf := sources.pop("pdf", None), dict):
        sources |= pdf
    match sources:
        case {"gcs_uri": str(uri), **others} if not others:
            return Wanted(uri, b"", pages, rendering)
        case {"b64": str(text), **others} if not others:
            return Wanted("", _decoded(text), pages, rendering)
    raise BadInstance(Fault.BAD_INSTANCE, f"an instance is one of {FORMS}")


def parse_pages(value: Any, default: PageRange) -> PageRange:
    """Return a range given as "3", "2-5", "2-", "-5", 3, {"first": 2, "last": 5} or None for the default.

    Raises:
        BadInstance: It is given otherwise.
    """
    match value:
        case None | "":
            return default
        case str() if (found := _RANGE.fullmatch(value.strip())) and (found["first"] or found["last"]):
            first = int(found["first"] or 1)
            last = int(found["last"]) if found["last"] else None if found["dash"] else first
        case dict() if set(value) <= {"first", "last"} and all(type(end) is int for end in value.values()):
            first, last = value.get("first", 1), value.get("last")
        case int() if not isinstance(value, bool):
            first = last = value
        case _:
            raise BadInstance(Fault.BAD_INSTANCE, 'pages are given as "2-5" or {"first": 2, "last": 5}')
    if first < 1 or (last is not None and last < first):
        raise BadInstance(Fault.BAD_INSTANCE, f"pages {first} to {last} are no range: the first page is 1")
    return PageRange(first, last)


def parse_rendering(value: Any) -> Rendering:
    """Return how pages are rendered, given as {"dpi": 120, "margin": 0.02} or one of these; None for the usual one.

    Raises:
        BadInstance: It is given otherwise, or is out of range.
    """
    if value is None:
        return Rendering()
    if not isinstance(value, dict) or set(value) - {"dpi", "margin"}:
        raise BadInstance(Fault.BAD_INSTANCE, 'a rendering is given as {"dpi": 120, "margin": 0.02}')
    dpi, margin = value.get("dpi", Rendering().dpi), value.get("margin", Rendering().margin)
    least, most = _DPI_RANGE
    if (
        type(dpi) is not int
        or type(margin) not in (int, float)
        or not (least <= dpi <= most and 0 <= margin <= _MOST_MARGIN)
    ):
        reason = f"a rendering has {least} to {most} dpi and a margin from 0 to {_MOST_MARGIN}"
        raise BadInstance(Fault.BAD_INSTANCE, reason)
    return Rendering(dpi, float(margin))


def check_uri(uri: str, schemes: tuple[str, ...]) -> None:
    """Refuse a URI whose scheme is not among these, a local path, and a chain of URIs.

    Raises:
        BadInstance: With URI_NOT_ALLOWED.
    """
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme[1].lower() not in schemes or "::" in uri:
        allowed = ", ".join(f"{name}://" for name in schemes)
        raise BadInstance(Fault.URI_NOT_ALLOWED, f"PDFs are fetched from {allowed} alone")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadInstance(Fault.BAD_INSTANCE, "b64 is not base64") from None
