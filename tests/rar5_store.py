"""Writer of RAR 5 archives with stored members, sound or hostile: any name, link, lie or gap.

It follows RARLAB's description of the format (https://www.rarlab.com/technote.htm). `rars` writes the
sound, compressed archives; it refuses what this writer is for.
"""

import enum
import itertools
import struct
import zlib
from collections.abc import Sequence

SIGNATURE = b"Rar!\x1a\x07\x01\x00"
MODIFIED = 1_700_000_000  # seconds since 1970


class Header(enum.IntEnum):
    MAIN = 1
    FILE = 2
    END = 5


class Link(enum.IntEnum):
    UNIX = 1
    WINDOWS = 2
    JUNCTION = 3
    HARD = 4
    COPY = 5


HAS_EXTRA, HAS_DATA, SPLIT_BEFORE, SPLIT_AFTER = 0x01, 0x02, 0x08, 0x10
IS_FOLDER, HAS_TIME, HAS_CRC32 = 0x01, 0x02, 0x04
IS_VOLUME, HAS_VOLUME_NUMBER, IS_SOLID = 0x01, 0x02, 0x04
LINK_RECORD = 5
UNIX = 1


def vint(number: int) -> bytes:
    """Write a number seven bits at a time, the lowest first."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def block(kind: Header, flags: int, body: bytes, extra: bytes = b"", data_size: int | None = None) -> bytes:
    """Write a header with its CRC32; the data that belongs to it follows it in the file."""
    flags |= (HAS_EXTRA if extra else 0) | (HAS_DATA if data_size is not None else 0)
    sizes = (vint(len(extra)) if extra else b"") + (vint(data_size) if data_size is not None else b"")
    header = vint(kind) + vint(flags) + sizes + body + extra
    header = vint(len(header)) + header
    return struct.pack("<I", zlib.crc32(header)) + header


def member(
    name: str | bytes,
    data: bytes = b"",
    *,
    declared_size: int | None = None,
    crc32: int | None = None,
    split: int = 0,
) -> bytes:
    """Write a stored file, with the size and checksum of `data` or with any others."""
    raw_name = name.encode() if isinstance(name, str) else name
    checksum = zlib.crc32(data) if crc32 is None else crc32
    size = len(data) if declared_size is None else declared_size
    body = vint(HAS_TIME | HAS_CRC32) + vint(size) + vint(0o100644) + struct.pack("<II", MODIFIED, checksum)
    body += vint(0) + vint(UNIX) + vint(len(raw_name)) + raw_name
    return block(Header.FILE, split, body, data_size=len(data)) + data


def folder(name: str) -> bytes:
    """Write an empty folder."""
    raw_name = name.encode()
    body = vint(IS_FOLDER | HAS_TIME) + vint(0) + vint(0o040755) + struct.pack("<I", MODIFIED)
    return block(Header.FILE, 0, body + vint(0) + vint(UNIX) + vint(len(raw_name)) + raw_name, data_size=0)


def link(name: str, target: str, kind: Link = Link.UNIX) -> bytes:
    """Write a link of any kind to anywhere."""
    raw_name, raw_target = name.encode(), target.encode()
    body = vint(HAS_TIME) + vint(0) + vint(0o120777) + struct.pack("<I", MODIFIED)
    body += vint(0) + vint(UNIX) + vint(len(raw_name)) + raw_name
    record = vint(LINK_RECORD) + vint(kind) + vint(0) + vint(len(raw_target)) + raw_target
    return block(Header.FILE, 0, body, vint(len(record)) + record, 0)


def archive(*members: bytes, volume: int | None = None, last: bool = True, solid: bool = False) -> bytes:
    """Write an archive, or volume number `volume` (from 0) of a set."""
    flags = (IS_VOLUME if volume is not None else 0) | (HAS_VOLUME_NUMBER if volume else 0) | (IS_SOLID if solid else 0)
    main = block(Header.MAIN, 0, vint(flags) + (vint(volume) if volume else b""))
    return SIGNATURE + main + b"".join(members) + block(Header.END, 0, vint(0 if last else 1))


def volumes(name: str, data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Write one file over `len(sizes) + 1` volumes, the first ones with `sizes` bytes of it."""
    cuts = [0, *(sum(sizes[: index + 1]) for index in range(len(sizes))), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(cuts)]
    last = len(pieces) - 1
    return [
        archive(
            member(
                name,
                piece,
                declared_size=len(data),
                crc32=zlib.crc32(data if number == last else piece),
                split=(SPLIT_BEFORE if number else 0) | (SPLIT_AFTER if number < last else 0),
            ),
            volume=number,
            last=number == last,
        )
        for number, piece in enumerate(pieces)
    ]
