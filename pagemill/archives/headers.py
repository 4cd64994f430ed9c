"""The headers of RAR archives: which members there are, where their bytes lie and what they must amount to."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import rarfile

from pagemill.archives.checksums import Blake2sp, Checksum, Crc32, Encryption

_KDF_ROUNDS_LOG2_MOST = 24  # UnRAR's own limit


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a member's packed bytes in one volume."""

    volume: Path
    offset_bytes: int
    size_bytes: int


@dataclasses.dataclass(slots=True)
class Member:
    """An entry of an archive as its headers declare it; no word of it is to be believed."""

    index: int  # among the members, from 0
    name: str
    size_bytes: int
    parts: list[Part]
    stored: bool
    is_folder: bool
    is_link: bool
    encryption: Encryption | None
    crc32: bytes  # "" when the header has none
    blake2sp: bytes
    begins: bool  # the first part is there
    ends: bool  # the last part is there

    @property
    def packed_bytes(self) -> int:
        """How many bytes the member takes in the volumes."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def complete(self) -> bool:
        """Whether no part of it lies in a volume that is missing."""
        return self.begins and self.ends

    def new_checksum(self) -> tuple[Checksum | None, bytes]:
        """Return an empty checksum of the kind that the header has and its value; CRC32, the faster, if it has both."""
        if self.crc32:
            return Crc32(), self.crc32
        return (Blake2sp(), self.blake2sp) if self.blake2sp else (None, b"")


@dataclasses.dataclass(slots=True)
class Headers:
    """All that the headers of a run of volumes say."""

    members: list[Member] = dataclasses.field(default_factory=list)
    solid: bool = False
    encrypted: bool = False  # the headers themselves
    password: str | None = None  # the one that opened encrypted headers
    locked: bool = False  # headers are encrypted and no password opens them
    fault: str = ""  # why reading stopped early
    foreign: bool = False  # not RAR at all, or older than RAR 1.5
    beyond_limit: bool = False  # there are more members than were to be read
    late: bool = False  # there was no time to read them all
    expects_more: bool = False  # the last volume says that another one follows


class _EnoughError(Exception):
    """The archive has more members than wanted."""


class _Rar3Headers(rarfile.RAR3Parser):  # type: ignore[misc]
    """RAR 1.5 to 4 headers without comments, which rarfile unpacks with a tool that nothing limits."""

    def _read_comment_v3(self, inf: Any, pwd: Any = None) -> None:
        return None

    def _parse_subblocks(self, h: Any, hdata: bytes, pos: int) -> int:
        return pos


class _Rar5Headers(rarfile.RAR5Parser):  # type: ignore[misc]
    """RAR 5 and 7 headers without comments."""

    def _load_comment(self, fd: Any, item: Any) -> None:
        return None


_PARSERS: dict[int, Any] = {rarfile.RAR_V3: _Rar3Headers, rarfile.RAR_V5: _Rar5Headers}


def read_headers(
    volumes: Sequence[Path], passwords: Iterable[str], max_members: int, is_late: Callable[[], bool]
) -> Headers:
    """Read the headers of volumes that follow one another, encrypted ones with the first password that opens them.

    Reading stops after `max_members`, or when `is_late` says so: each encrypted header of RAR 3 and 4
    may cost 2^18 rounds of SHA-1.
    """
    headers = _read(volumes, None, max_members, is_late)
    if not headers.encrypted:
        return headers
    for password in passwords:
        opened = _read(volumes, password, max_members, is_late)
        if opened.late or opened.members or not (opened.locked or opened.fault):
            opened.password = password
            return opened
    headers.locked = True
    return headers


def _read(volumes: Sequence[Path], password: str | None, max_members: int, is_late: Callable[[], bool]) -> Headers:
    headers = Headers()
    for volume in volumes:
        try:
            _read_volume(volume, password, headers, max_members, is_late)
        except _EnoughError:
            headers.beyond_limit = True
        except TimeoutError:
            headers.late = True
        except rarfile.RarWrongPassword:
            headers.locked = True
        except Exception as error:  # hostile headers raise nearly anything in the parser
            headers.fault = headers.fault or f"unreadable header ({type(error).__name__})"
        if headers.fault or headers.locked or headers.beyond_limit or headers.late or headers.foreign:
            break
    return headers


def _read_volume(
    volume: Path, password: str | None, headers: Headers, max_members: int, is_late: Callable[[], bool]
) -> None:
    version, start = rarfile._find_sfx_header(str(volume))
    if version not in _PARSERS:
        headers.foreign = True
        return
    blocks: list[Any] = []

    def see(block: Any) -> None:
        if is_late():
            raise TimeoutError
        if block.type == rarfile.RAR_BLOCK_FILE and len(headers.members) >= max_members:
            raise _EnoughError
        _take(block, volume, headers)
        blocks.append(block.type)

    parser = _PARSERS[version](str(volume), password, True, rarfile.DEFAULT_CHARSET, False, see, start, True)
    headers.expects_more = False
    parser.parse()
    headers.encrypted = headers.encrypted or bool(parser.has_header_encryption())
    if headers.encrypted and password is None:
        return
    headers.fault = parser.strerror() or _abrupt_end(version, blocks)


def _abrupt_end(version: int, blocks: list[Any]) -> str:
    """Return what is wrong with where the headers end: RAR 5 always closes with a block that says so."""
    if version == rarfile.RAR_V5 and rarfile.RAR_BLOCK_ENDARC not in blocks:
        return "ends before its end-of-archive block"
    return "" if blocks else "has no readable header"


def _take(block: Any, volume: Path, headers: Headers) -> None:
    if block.type == rarfile.RAR_BLOCK_MAIN:
        headers.solid = headers.solid or bool(block.flags & rarfile.RAR_MAIN_SOLID)
    elif block.type == rarfile.RAR_BLOCK_ENDARC:
        headers.expects_more = bool(block.flags & rarfile.RAR_ENDARC_NEXT_VOLUME)
    elif block.type == rarfile.RAR_BLOCK_FILE:
        _take_member(block, volume, headers)


def _take_member(block: Any, volume: Path, headers: Headers) -> None:
    part = Part(volume, block.data_offset, block.add_size)
    continues = bool(block.flags & rarfile.RAR_FILE_SPLIT_BEFORE)
    headers.expects_more = not _ends(block)
    last = headers.members[-1] if headers.members else None
    if not continues or last is None or last.ends or last.name != block.filename:
        headers.members.append(_member(len(headers.members), block, part, begins=not continues))
        return
    last.parts.append(part)
    last.ends = _ends(block)
    # The checksum of the whole member stands with its last part.
    last.crc32, last.blake2sp, last.encryption = _crc32(block), _blake2sp(block), _encryption(block)


def _member(index: int, block: Any, part: Part, *, begins: bool) -> Member:
    redirection = getattr(block, "file_redir", None)
    return Member(
        index=index,
        name=block.filename,
        size_bytes=int(block.file_size),
        parts=[part],
        stored=block.compress_type == rarfile.RAR_M0,
        is_folder=block.is_dir(),
        is_link=bool(redirection) or block.is_symlink(),
        encryption=_encryption(block),
        crc32=_crc32(block),
        blake2sp=_blake2sp(block),
        begins=begins,
        ends=_ends(block),
    )


def _ends(block: Any) -> bool:
    return not block.flags & rarfile.RAR_FILE_SPLIT_AFTER


def _crc32(block: Any) -> bytes:
    return b"" if block.CRC is None else int(block.CRC).to_bytes(4, "little")


def _blake2sp(block: Any) -> bytes:
    return getattr(block, "blake2sp_hash", None) or b""


def _encryption(block: Any) -> Encryption | None:
    if not block.flags & rarfile.RAR_FILE_PASSWORD:
        return None
    details = getattr(block, "file_encryption", None)  # RAR 5 and 7
    if details is None:
        return Encryption()
    _, flags, rounds_log2, salt, _, check = details
    if rounds_log2 > _KDF_ROUNDS_LOG2_MOST:
        raise rarfile.BadRarFile("too many key derivation rounds")
    return Encryption(bytes(salt), rounds_log2, bytes(check or b""), bool(flags & rarfile.RAR5_XENC_TWEAKED))
