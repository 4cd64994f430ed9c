"""Writes a RAR5 set of volumes with stored members, in a form that every common reader opens.

Source of the format: RARLAB, "RAR 5.0 archive format" (technote): a signature, then blocks of
CRC32, size, type, flags and fields, where numbers are little-endian groups of seven bits.
"""

import struct
import zlib

SIGNATURE = b"Rar!\x1a\x07\x01\x00"
MAIN, FILE, END = 1, 2, 5
HAS_DATA, SPLIT_BEFORE, SPLIT_AFTER = 0x02, 0x08, 0x10
IS_VOLUME, HAS_VOLUME_NUMBER = 0x01, 0x02
HAS_TIME, HAS_CHECKSUM = 0x02, 0x04
UNIX, REGULAR_FILE = 1, 0o100644


def volumes(members: dict[str, bytes], volume_bytes: int, modified: int) -> list[bytes]:
    """Store the members one after the other, a new volume after every `volume_bytes` of content."""
    bodies: list[list[bytes]] = [[]]
    room = volume_bytes
    for name, content in members.items():
        start = 0
        while True:
            part = content[start : start + room]
            bodies[-1].append(_member(name, content, start, part, modified))
            start, room = start + len(part), room - len(part)
            if start == len(content):
                break
            bodies.append([])
            room = volume_bytes
    return [_volume(number, b"".join(body), number == len(bodies) - 1) for number, body in enumerate(bodies)]


def _volume(number: int, body: bytes, is_last: bool) -> bytes:
    fields = _number(IS_VOLUME | HAS_VOLUME_NUMBER) + _number(number) if number else _number(IS_VOLUME)
    return SIGNATURE + _block(MAIN, 0, fields) + body + _block(END, 0, _number(0 if is_last else 1))


def _member(name: str, content: bytes, start: int, part: bytes, modified: int) -> bytes:
    """One part of a member; the checksum is the part's own until the last part, which bears the whole's."""
    is_last = start + len(part) == len(content)
    flags = HAS_DATA | (SPLIT_BEFORE if start else 0) | (0 if is_last else SPLIT_AFTER)
    encoded = name.encode()
    fields = (
        _number(len(part))
        + _number(HAS_TIME | HAS_CHECKSUM)
        + _number(len(content))
        + _number(REGULAR_FILE)
        + struct.pack("<II", modified, zlib.crc32(content if is_last else part))
        + _number(0)  # stored
        + _number(UNIX)
        + _number(len(encoded))
        + encoded
    )
    return _block(FILE, flags, fields) + part


def _block(kind: int, flags: int, fields: bytes) -> bytes:
    header = _number(kind) + _number(flags) + fields
    header = _number(len(header)) + header
    return struct.pack("<I", zlib.crc32(header)) + header


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
