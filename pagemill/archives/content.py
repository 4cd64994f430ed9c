"""What comes out of an archive: hashed and checked on its way to the disk, whatever unpacked it."""

import contextlib
import dataclasses
import enum
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pagemill.archives.headers import Member
from pagemill.records import Reason

HEAD_BYTES = 1024  # a PDF's header may stand anywhere in them (ISO 32000-1, implementation note 13)
_PDF_MAGIC = b"%PDF-"
_RAR_MAGIC = b"Rar!\x1a\x07"


class Kind(enum.Enum):
    """What to do with a member, decided by its first bytes."""

    WANTED = "wanted"
    ARCHIVE = "archive"
    OTHER = "other"


Choose = Callable[[bytes], Kind]


def pdf_by_magic(head: bytes) -> Kind:
    """Tell a PDF, a RAR archive and anything else apart."""
    if head.startswith(_RAR_MAGIC):
        return Kind.ARCHIVE
    return Kind.WANTED if _PDF_MAGIC in head else Kind.OTHER


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """A member whose bytes agree with its header; `path` holds them unless they are of no interest."""

    kind: Kind
    path: Path
    size_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why the content of a member, or of an archive, was not had."""

    reason: Reason
    detail: str = ""


class Landing:
    """Takes a member's bytes as they come; only what is of interest is written to disk."""

    def __init__(self, member: Member, path: Path, choose: Choose) -> None:
        self._member, self._path, self._choose = member, path, choose
        self._sha256 = hashlib.sha256()
        self._checksum, self._expected = member.new_checksum()
        self._head = b""
        self._file = path.open("wb", buffering=0)
        self.kind: Kind | None = None
        self.size_bytes = 0

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(chunk)
        if self._checksum is not None:
            self._checksum.update(chunk)
        if self.kind is None:
            chunk = self._head = self._head + chunk
            if len(chunk) < HEAD_BYTES:
                return
            self.kind = self._choose(chunk[:HEAD_BYTES])
        self._write(chunk)

    def finish(self, password: str) -> Content | Fault:
        """Compare what came with the header; `password` is that of an encrypted member, else ""."""
        if self.kind is None:
            self.kind = self._choose(self._head)
            self._write(self._head)
        self._file.close()
        if fault := self._size_fault() or self._checksum_fault(password):
            return fault
        return Content(self.kind, self._path, self.size_bytes, self._sha256.hexdigest())

    def unread(self) -> Content:
        """Give up on a member of no interest after its head, unchecked."""
        return Content(Kind.OTHER, self._path, self._member.size_bytes, "")

    def close(self) -> None:
        """Close the file, whatever came of it."""
        self._file.close()

    def _write(self, chunk: bytes) -> None:
        if self.kind is Kind.OTHER:
            return
        self._sha256.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _size_fault(self) -> Fault | None:
        came, declared = self.size_bytes, self._member.size_bytes
        if came == declared:
            return None
        detail = f"{came} bytes came where the header says {declared}"
        packed_as_it_is = self._member.stored and self._member.encryption is None
        lies = came > declared or (packed_as_it_is and came == self._member.packed_bytes)
        return Fault(Reason.SIZE_MISMATCH if lies else Reason.DAMAGED_MEMBER, detail)

    def _checksum_fault(self, password: str) -> Fault | None:
        if self._checksum is None:
            return None
        checksum, encryption = self._checksum.digest(), self._member.encryption
        if encryption is not None and encryption.keyed_checksum:
            checksum = encryption.keyed(checksum, password)
        if checksum == self._expected:
            return None
        return Fault(Reason.CHECKSUM_MISMATCH, "the content does not have the header's checksum")


@contextlib.contextmanager
def landing(member: Member, path: Path, choose: Choose) -> Iterator[Landing]:
    """Open a landing whose file is removed at the end, unless it was moved away before."""
    target = Landing(member, path, choose)
    try:
        yield target
    finally:
        target.close()
        path.unlink(missing_ok=True)
