"""The rows that stages hand to one another and that the dataset is made of, each defined once."""

import dataclasses
import enum
import functools
import types
import typing
from typing import Any, Self

import pyarrow as pa


class Status(enum.StrEnum):
    """What became of a member, a PDF, a page or a document."""

    OK = "ok"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    FALLBACK = "fallback"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(enum.StrEnum):
    """Why something is not plainly `ok`: the closed list that every ledger row draws from."""

    # archives and their members
    MISSING_VOLUME = "missing_volume"
    DAMAGED_ARCHIVE = "damaged_archive"
    DAMAGED_MEMBER = "damaged_member"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    SIZE_MISMATCH = "size_mismatch"
    WRONG_PASSWORD = "wrong_password"
    UNSUPPORTED_FORMAT = "unsupported_format"
    LINK = "link"
    NOT_A_PDF = "not_a_pdf"
    NOT_SELECTED = "not_selected"
    TOO_MANY_MEMBERS = "too_many_members"
    MEMBER_TOO_LARGE = "member_too_large"
    ARCHIVE_TOO_LARGE = "archive_too_large"
    RATIO_TOO_HIGH = "ratio_too_high"
    NESTED_TOO_DEEP = "nested_too_deep"
    # PDFs
    BROKEN_PDF = "broken_pdf"
    NO_PAGES = "no_pages"
    TOO_MANY_PAGES = "too_many_pages"
    PASSWORD_PROTECTED = "password_protected"
    PAGE_TOO_LARGE = "page_too_large"
    SAME_PDF = "same_pdf"
    # pages
    BLANK_PAGE = "blank_page"
    RENDER_FAILED = "render_failed"
    REPETITION = "repetition"
    REPETITION_FROM_START = "repetition_from_start"
    LENGTH_LIMIT = "length_limit"
    MODEL_ERROR = "model_error"
    CLEANUP_FAILED = "cleanup_failed"
    CLEANUP_TIME_LIMIT = "cleanup_time_limit"
    OTHER_LANGUAGE = "other_language"
    LOW_AGREEMENT = "low_agreement"
    # documents
    NO_TEXT = "no_text"
    DUPLICATE_TEXT = "duplicate_text"
    NEAR_DUPLICATE = "near_duplicate"
    FILTERED = "filtered"  # by a rule of the profile, which the detail names
    # anything that runs in a child
    TIME_LIMIT = "time_limit"
    CRASHED = "crashed"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A record that goes to JSON and back without loss, and to Arrow by `arrow_schema`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the row from `to_dict` values; unknown names raise TypeError."""
        hints = _type_hints(cls)  # type: ignore[arg-type]  # mypy takes a row's __hash__ for its class's
        return cls(**{name: _revive(hints.get(name), value) for name, value in values.items()})


@dataclasses.dataclass(frozen=True, slots=True)
class Volume(Row):
    """One file of an archive as it lies at the source."""

    uri: str
    size_bytes: int
    version: str  # etag, revision or modification time: whatever the source offers, "" if nothing
    modified: str = ""  # ISO 8601, "" where the source does not say


@dataclasses.dataclass(frozen=True, slots=True)
class Archive(Row):
    """An archive of one or more volumes, in order, found at the source."""

    name: str  # path of the first volume below the source
    volumes: tuple[Volume, ...]
    missing: tuple[str, ...]  # names of the volumes that the set lacks
    fingerprint: str

    @property
    def size_bytes(self) -> int:
        """Total size of the volumes in bytes."""
        return sum(volume.size_bytes for volume in self.volumes)


@dataclasses.dataclass(frozen=True, slots=True)
class FetchedArchive(Row):
    """An archive whose volumes lie in the store."""

    name: str
    sha256: str  # of the file; for a multivolume set, of the volumes' digests in order
    volumes: tuple[str, ...]  # store names, in order
    missing: tuple[str, ...]
    size_bytes: int
    modified: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class MemberRecord(Row):
    """What became of one member of an archive; `member_path` is "" for the archive as a whole."""

    archive: str
    archive_sha256: str
    member_path: str
    size_bytes: int
    sha256: str  # "" when the content was not had
    status: Status
    reason: Reason | None = None
    detail: str = ""
    modified: str = ""  # of the archive at its source


@dataclasses.dataclass(frozen=True, slots=True)
class PdfRecord(Row):
    """One distinct PDF and whether it can be read."""

    pdf_sha256: str
    archive: str
    archive_sha256: str
    member_path: str
    size_bytes: int
    num_pages: int  # 0 when it could not be opened
    status: Status
    reason: Reason | None = None
    detail: str = ""
    title: str = ""
    author: str = ""
    encrypted: bool = False
    created: str = ""  # ISO 8601, from the PDF
    added: str = ""  # ISO 8601, when its archive came to the source


@dataclasses.dataclass(frozen=True, slots=True)
class PageInspection(Row):
    """What can be known of a page without reading it."""

    page: int  # from 1
    width_points: float
    height_points: float
    text_characters: int
    printable_share: float  # of the text layer's characters; 0.0 when there are none
    reason: Reason | None = None  # why the page cannot be rendered


@dataclasses.dataclass(frozen=True, slots=True)
class PageRecord(Row):
    """A row of the page ledger: every page that went in comes out as exactly one."""

    pdf_sha256: str
    page: int  # from 1; 0 stands for a PDF that could not be opened
    status: Status
    reason: Reason | None
    engine: str
    attempts: int
    text: str
    tokens: int
    seconds: float
    agreement: float | None = None  # with the text layer, 0 to 1
    rendering: str = ""  # of the attempt that gave the text: "96 dpi"


@dataclasses.dataclass(frozen=True, slots=True)
class DocumentMetadata(Row):
    """Where a document came from and what read it."""

    archive: str
    archive_sha256: str
    member_path: str
    pdf_sha256: str
    title: str
    author: str
    num_pages: int
    model: str
    model_sha256: str
    pipeline_version: str
    config_digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class PageQuality(Row):
    """Figures of a page; a rule of a profile may name any of them."""

    characters: int  # without white space
    alphabetic_share: float  # letters among non-space characters outside mathematics
    math_share: float  # characters inside mathematics
    garbage_score: float  # characters of words that no language has among those of all words, 0 to 1
    loop_lines: int  # removed as what a loop of the model left behind
    latex_errors: int  # of the page as it was read
    language: str
    language_score: float
    tag: str  # "body", "front_matter", "contents", "index", "references", "copyright"
    agreement: float | None = None  # with the text layer, 0 to 1
    compressed_share: float = 1.0  # bytes that zlib leaves of the page's: about 0.5 of prose, less than 0.1 of a loop


@dataclasses.dataclass(frozen=True, slots=True)
class Quality(Row):
    """Figures of a document, each a share from 0 to 1 unless named a count."""

    alphabetic_share: float  # letters among non-space characters outside mathematics
    math_share: float  # characters inside mathematics
    missing_share: float  # pages without text although they are not blank
    truncated_share: float
    loop_lines_removed: int
    running_lines_removed: int
    latex_errors: int  # unbalanced braces and environments, on the pages as they were read
    characters: int = 0  # without white space
    garbage_score: float = 0.0  # characters of words that no language has among those of all words
    looped_share: float = 0.0  # pages on which a loop of the model left lines
    repeated_share: float = 0.0  # pages left out because they repeat another page of the book
    dropped_share: float = 0.0  # pages that rules of the profile left out
    lost_spaces: int = 0  # put back between two words
    footnotes_moved: int = 0  # to where their page refers to them
    latex_repairs: int = 0  # braces, environments, sides and formulas mended
    agreement: float | None = None  # mean over the pages that have one


@dataclasses.dataclass(frozen=True, slots=True)
class MaskCounts(Row):
    """How many pieces of personal data were masked in a document, by kind."""

    email: int = 0
    phone: int = 0
    ip: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Document(Row):
    """A cleaned book: its text and, page by page, where the text came from."""

    id: str
    text: str
    source: str
    added: str
    created: str
    metadata: DocumentMetadata
    language: str
    language_score: float
    token_count: int
    extractor: str
    page_ends: tuple[int, ...]  # character offset in `text` where each page ends
    page_numbers: tuple[int, ...]
    page_labels: tuple[str, ...]  # the number printed on each page, "" where none was found
    page_status: tuple[str, ...]
    page_dropped: tuple[str, ...]  # the rule that left a page's text out, "" for one that is in
    page_quality: tuple[PageQuality, ...]
    fallback_pages: tuple[int, ...]
    missing_pages: tuple[int, ...]
    quality: Quality
    masked: MaskCounts
    duplicate_cluster: str  # id of the document that is kept for this text; "" when it is this one


@dataclasses.dataclass(frozen=True, slots=True)
class Drop(Row):
    """A page or a document that a rule of the profile left out, for people to look at."""

    pdf_sha256: str
    page: int  # 0 stands for the whole document
    rule: str
    why: str  # "garbage_score 0.72 is above 0.6"
    excerpt: str


@dataclasses.dataclass(frozen=True, slots=True)
class Signature(Row):
    """What is enough of a document to find others that say the same."""

    id: str  # of the document
    pdf_sha256: str
    text_sha256: str  # of the normalised text
    characters: int  # of the normalised text
    preference: float  # of documents that say the same, the one with the highest is kept
    minhash: str  # base64 of little-endian uint32; "" for a text too short to have shingles


@dataclasses.dataclass(frozen=True, slots=True)
class Duplicate(Row):
    """A document that is not kept, because another says the same."""

    id: str
    pdf_sha256: str
    kept: str  # id of the document that stands for the cluster
    reason: Reason  # duplicate_text or near_duplicate
    similarity: float  # estimated Jaccard similarity of the two documents' shingles, 0 to 1


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk(Row):
    """A passage of a document, cut where a reader would."""

    id: str
    doc_id: str
    chunk_index: int
    text: str
    token_count: int
    tokenizer: str
    heading_path: tuple[str, ...]
    page_start: int
    page_end: int
    char_start: int
    char_end: int
    has_math: bool
    has_table: bool
    language: str


@dataclasses.dataclass(frozen=True, slots=True)
class BookRecord(Row):
    """One PDF's way through a shard stage: the store name of its result and what became of it."""

    pdf_sha256: str
    result: str  # store name; "" when there is none
    items: int  # pages, documents or chunks in the result
    status: Status
    reason: Reason | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class DatasetFile(Row):
    """One file of a built dataset."""

    path: str  # in the dataset, with forward slashes
    stored: str  # store name of the content
    sha256: str
    size_bytes: int
    rows: int  # 0 for a file that holds no rows, such as the card
    config: str  # "chunks", "documents", "pages"; "" for the card


@dataclasses.dataclass(frozen=True, slots=True)
class Publication(Row):
    """Where a dataset was published, and what had to be sent for it."""

    uri: str
    revision: str  # commit on the Hub; digest of the file list for a folder
    files: int
    files_sent: int
    bytes_sent: int


_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


@functools.cache
def _type_hints(row: Any) -> dict[str, Any]:
    return typing.get_type_hints(row)


def arrow_schema(row: type[Row]) -> pa.Schema:
    """Return the Arrow schema of a row type, nullable only where the annotation says `| None`."""
    return pa.schema(_arrow_fields(row))


def _arrow_fields(row: type[Row]) -> list[pa.Field]:
    return [_arrow_field(name, hint) for name, hint in _type_hints(row).items()]  # type: ignore[arg-type]


def _arrow_field(name: str, hint: Any) -> pa.Field:
    nullable = isinstance(hint, types.UnionType)
    if nullable:
        (hint,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    return pa.field(name, _arrow_type(hint), nullable=nullable)


def _arrow_type(hint: Any) -> pa.DataType:
    if typing.get_origin(hint) is tuple:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    if issubclass(hint, enum.StrEnum):
        return pa.string()
    if issubclass(hint, Row):
        return pa.struct(_arrow_fields(hint))
    return _ARROW_TYPES[hint]


def _revive(hint: Any, value: Any) -> Any:
    """Turn a JSON value back into what the annotation asks for."""
    if value is None or hint is None:
        return value
    if isinstance(hint, types.UnionType):
        (hint,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_revive(item, each) for each in value)
    if isinstance(hint, type) and issubclass(hint, Row):
        return hint.from_dict(value)
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return hint(value)
    return value
