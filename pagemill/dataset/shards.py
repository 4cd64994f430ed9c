"""Writes rows as Parquet shards, and beside each the same rows as compressed JSONL."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from pagemill.records import DatasetFile, Row, arrow_schema
from pagemill.storage import Store, file_sha256

ROW_GROUP_BYTES = 32 << 20  # of JSON; the Hub asks for at most 100 MB, and memory holds it several times


@dataclasses.dataclass(frozen=True)
class WrittenConfig:
    """A configuration of the dataset as it was written."""

    config: str
    schema: pa.Schema
    rows: int
    arrow_bytes: int
    files: tuple[DatasetFile, ...]

    @property
    def parquet_bytes(self) -> int:
        """Size of what `load_dataset` downloads."""
        return sum(file.size_bytes for file in self.files if file.path.endswith(".parquet"))


@dataclasses.dataclass
class _Shard:
    """A pair of files that hold the same rows, not yet under their names."""

    parquet: Path
    jsonl: Path
    rows: int = 0


class _OpenShard:
    """A shard that takes row groups."""

    def __init__(self, shard: _Shard, schema: pa.Schema) -> None:
        self.shard = shard
        self._files = contextlib.ExitStack()
        self._sink: IO[bytes] = self._files.enter_context(shard.parquet.open("wb"))
        options = {"compression": "zstd", "write_page_index": True, "use_content_defined_chunking": True}
        self._parquet = self._files.enter_context(pq.ParquetWriter(self._sink, schema, **options))
        compressed = self._files.enter_context(shard.jsonl.open("wb"))
        self._jsonl = self._files.enter_context(zstandard.ZstdCompressor().stream_writer(compressed, closefd=False))

    @property
    def size_bytes(self) -> int:
        return self._sink.tell()

    def add(self, table: pa.Table, lines: Iterable[bytes]) -> None:
        if len(table):  # readers stumble over a row group without rows
            self._parquet.write_table(table, row_group_size=len(table))
        self._jsonl.write(b"".join(lines))
        self.shard.rows += len(table)

    def close(self) -> None:
        self._files.close()


class ShardWriter:
    """Writes one configuration, row by row, into as many shards as `max_shard_bytes` asks for.

    Shards wait under temporary names, because each file's name says how many there are. Equal rows
    give equal bytes. Memory holds one row group.
    """

    def __init__(self, store: Store, folder: str, config: str, row: type[Row], max_shard_bytes: int) -> None:
        self._store, self._folder, self._config = store, folder, config
        self._schema = arrow_schema(row)
        self._max_shard_bytes = max_shard_bytes
        self._row_group_bytes = min(ROW_GROUP_BYTES, max_shard_bytes // 2)
        self._staged = contextlib.ExitStack()
        self._shards: list[_Shard] = []
        self._open: _OpenShard | None = None
        self._rows: list[dict[str, Any]] = []
        self._lines: list[bytes] = []
        self._line_bytes = self._arrow_bytes = 0

    def __enter__(self) -> "ShardWriter":
        """Begin; leaving the block removes whatever `finish` has not kept."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close and remove the temporary files."""
        if self._open:
            self._open.close()
        self._staged.close()

    def add(self, row: Row) -> None:
        """Write one row."""
        values = row.to_dict()
        try:
            line = _to_line(values)
        except UnicodeEncodeError:
            values = _without_surrogates(values)
            line = _to_line(values)
        if self._rows and self._line_bytes + len(line) > self._row_group_bytes:
            self._flush()
        self._rows.append(values)
        self._lines.append(line)
        self._line_bytes += len(line)

    def finish(self) -> WrittenConfig:
        """Give the files their names and return them; a configuration without rows has one empty shard."""
        if self._rows or not self._shards:
            self._flush()
        if self._open:
            self._open.close()
            self._open = None
        files = [file for number, shard in enumerate(self._shards) for file in self._keep(shard, number)]
        rows = sum(shard.rows for shard in self._shards)
        return WrittenConfig(self._config, self._schema, rows, self._arrow_bytes, tuple(files))

    def _flush(self) -> None:
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        self._shard_for(table.nbytes).add(table, self._lines)
        self._arrow_bytes += table.nbytes
        self._rows, self._lines, self._line_bytes = [], [], 0

    def _shard_for(self, size_bytes: int) -> _OpenShard:
        """Return the open shard, or a new one when the row group might not fit in it."""
        if self._open and self._open.shard.rows and self._open.size_bytes + size_bytes > self._max_shard_bytes:
            self._open.close()
            self._open = None
        if self._open is None:
            parquet, jsonl = (self._staged.enter_context(self._store.staging()) for _ in range(2))
            self._shards.append(_Shard(parquet, jsonl))
            self._open = _OpenShard(self._shards[-1], self._schema)
        return self._open

    def _keep(self, shard: _Shard, number: int) -> Iterable[DatasetFile]:
        stem = f"{self._config}/train-{number:05d}-of-{len(self._shards):05d}"
        for staged, path in ((shard.parquet, f"data/{stem}.parquet"), (shard.jsonl, f"jsonl/{stem}.jsonl.zst")):
            stored = f"{self._folder}/{path}"
            yield DatasetFile(path, stored, file_sha256(staged), staged.stat().st_size, shard.rows, self._config)
            self._store.adopt(staged, stored)


def _to_line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def _without_surrogates(value: Any) -> Any:
    """Return a JSON value whose texts are valid Unicode: names in archives need not be."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _without_surrogates(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(each) for each in value]
    return value
