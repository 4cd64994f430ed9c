"""Rows: to JSON and back without loss, and to Arrow with the types that they declare."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.records import (
    Archive,
    Chunk,
    Document,
    DocumentMetadata,
    PageRecord,
    Quality,
    Reason,
    Row,
    Status,
    Volume,
    arrow_schema,
)

ROW_TYPES = sorted(Row.__subclasses__(), key=lambda row: row.__name__)
PAGE = PageRecord("ab", 3, Status.TRUNCATED, Reason.REPETITION, "nougat", 1, "text", 2, 0.5, 0.25)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Generate values of an annotation, whole rows among them."""
    if isinstance(hint, types.UnionType):
        return st.one_of([st.none() if option is types.NoneType else values_of(option) for option in hint.__args__])
    if typing.get_origin(hint) is tuple:
        return st.lists(values_of(hint.__args__[0]), max_size=3).map(tuple)
    if issubclass(hint, Row):
        return st.builds(hint, **{name: values_of(each) for name, each in typing.get_type_hints(hint).items()})
    plain = {
        str: st.text(max_size=8),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
    }
    return plain[hint] if hint in plain else st.sampled_from(hint)


any_row = st.sampled_from(ROW_TYPES).flatmap(values_of)


@given(any_row)
@settings(max_examples=100, deadline=None)
def test_every_row_survives_json(row: Row) -> None:
    revived = type(row).from_dict(json.loads(json.dumps(row.to_dict())))
    assert revived == row
    assert hash(revived) == hash(row)


@given(any_row)
@settings(max_examples=100, deadline=None)
def test_every_row_survives_arrow(row: Row) -> None:
    table = pa.Table.from_pylist([row.to_dict()], schema=arrow_schema(type(row)))
    table.validate(full=True)
    assert type(row).from_dict(table.to_pylist()[0]) == row


def test_rows_of_the_dataset_survive_parquet(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([PAGE.to_dict()], schema=arrow_schema(PageRecord))
    pq.write_table(table, tmp_path / "pages.parquet")
    assert [PageRecord.from_dict(row) for row in pq.read_table(tmp_path / "pages.parquet").to_pylist()] == [PAGE]


def test_to_dict_holds_plain_json_values() -> None:
    assert json.dumps(PAGE.to_dict()) == (
        '{"pdf_sha256": "ab", "page": 3, "status": "truncated", "reason": "repetition", "engine": "nougat", '
        '"attempts": 1, "text": "text", "tokens": 2, "seconds": 0.5, "agreement": 0.25, "rendering": ""}'
    )


def test_from_dict_revives_rows_within_rows() -> None:
    archive = Archive("a.rar", (Volume("file:///a.rar", 3, "1"), Volume("file:///b.rar", 4, "1")), (), "f")
    revived = Archive.from_dict(json.loads(json.dumps(archive.to_dict())))
    assert revived.volumes[1] == Volume("file:///b.rar", 4, "1")
    assert revived.size_bytes == 7


def test_from_dict_fills_in_what_older_rows_lack() -> None:
    values = PAGE.to_dict()
    del values["agreement"]
    assert PageRecord.from_dict(values) == dataclasses.replace(PAGE, agreement=None)


def test_from_dict_refuses_names_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="colour"):
        PageRecord.from_dict(PAGE.to_dict() | {"colour": "red"})


def test_from_dict_refuses_a_row_that_lacks_a_value() -> None:
    values = PAGE.to_dict()
    del values["page"]
    with pytest.raises(TypeError, match="page"):
        PageRecord.from_dict(values)


@pytest.mark.parametrize("wrong", [{"status": "splendid"}, {"reason": "the moon"}])
def test_from_dict_refuses_values_outside_the_closed_lists(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        PageRecord.from_dict(PAGE.to_dict() | wrong)


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAGE.page = 4  # type: ignore[misc]


@pytest.mark.parametrize("row", ROW_TYPES, ids=lambda row: row.__name__)
def test_every_row_has_an_arrow_schema_with_its_names_in_order(row: type[Row]) -> None:
    assert arrow_schema(row).names == [field.name for field in dataclasses.fields(row)]


def test_arrow_types_follow_the_annotations() -> None:
    schema = arrow_schema(PageRecord)
    assert schema.field("page") == pa.field("page", pa.int64(), nullable=False)
    assert schema.field("status") == pa.field("status", pa.string(), nullable=False)
    assert schema.field("reason") == pa.field("reason", pa.string(), nullable=True)
    assert schema.field("agreement") == pa.field("agreement", pa.float64(), nullable=True)
    assert arrow_schema(Chunk).field("heading_path").type == pa.list_(pa.string())
    assert arrow_schema(Chunk).field("has_math").type == pa.bool_()
    assert arrow_schema(Document).field("quality").type == pa.struct(arrow_schema(Quality))
    assert arrow_schema(Document).field("metadata").type == pa.struct(arrow_schema(DocumentMetadata))
    assert arrow_schema(Archive).field("volumes").type == pa.list_(pa.struct(arrow_schema(Volume)))


@pytest.mark.parametrize("names", [Status, Reason])
def test_closed_lists_are_written_as_their_names_in_lower_case(names: type[Status] | type[Reason]) -> None:
    assert [str(each) for each in names] == [each.name.lower() for each in names]
