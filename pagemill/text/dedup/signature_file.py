"""Signatures on disk while they are compared: millions of them, of which little is in memory at a time."""

import contextlib
import mmap
import tempfile
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pagemill.text.dedup.minhash import SIGNATURE_VALUES, Signatures


class SignatureFile:
    """A temporary file of signatures, one after another, read like an array of shape (signatures, values).

    A slice of it or an array of row numbers gives the rows as an array of their own; nothing stays in memory.
    """

    def __init__(self, values: int = SIGNATURE_VALUES) -> None:
        self.values = values
        self._count = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed on leaving

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, signature: Signatures) -> None:
        """Add a signature of shape (values,), or several of shape (signatures, values)."""
        rows = np.ascontiguousarray(signature, np.uint32).reshape(-1, self.values)
        self._file.write(rows.tobytes())
        self._count += len(rows)

    def __len__(self) -> int:
        return self._count

    @property
    def shape(self) -> tuple[int, int]:
        """How many signatures, of how many values each."""
        return self._count, self.values

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Signatures:
        if not self._count:
            return np.empty((0, self.values), np.uint32)
        self._file.flush()
        with contextlib.closing(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)) as content:
            everything = np.frombuffer(content, np.uint32).reshape(self.shape)
            wanted = everything[rows].copy() if isinstance(rows, slice) else everything[rows]
            del everything  # a map that is looked at cannot be closed
        return wanted
