"""The checksums that RAR headers carry: CRC32 and BLAKE2sp, plain or keyed with a password."""

import dataclasses
import functools
import hashlib
import hmac
import operator
import zlib
from typing import Any, Protocol

_LEAVES = 8
_BLOCK_BYTES = 64
_STRIPE_BYTES = _LEAVES * _BLOCK_BYTES


class Checksum(Protocol):
    """Takes a member's bytes as they come and gives its checksum as the header writes it."""

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all bytes taken."""


class Crc32:
    """CRC32, as four little-endian bytes."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._value = zlib.crc32(chunk, self._value)

    def digest(self) -> bytes:
        """Return the checksum of all bytes taken."""
        return self._value.to_bytes(4, "little")


class Blake2sp:
    """BLAKE2sp: eight BLAKE2s leaves over interleaved blocks and a root over their digests.

    RFC 7693 defines BLAKE2s; the parallel tree is that of the BLAKE2 paper (https://www.blake2.net/blake2.pdf).
    """

    def __init__(self) -> None:
        self._leaves = [_node(offset, depth=0, is_last=offset == _LEAVES - 1) for offset in range(_LEAVES)]
        self._pending = b""

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        import numpy as np

        data = self._pending + chunk if self._pending else chunk
        stripes, rest = divmod(len(data), _STRIPE_BYTES)
        self._pending = data[len(data) - rest :]
        blocks = np.frombuffer(data, np.uint8, stripes * _STRIPE_BYTES).reshape(stripes, _LEAVES, _BLOCK_BYTES)
        for leaf, own_blocks in zip(self._leaves, np.ascontiguousarray(blocks.transpose(1, 0, 2)), strict=True):
            leaf.update(own_blocks)

    def digest(self) -> bytes:
        """Return the checksum of all bytes taken; nothing can be added afterwards."""
        root = _node(0, depth=1, is_last=True)
        for index, leaf in enumerate(self._leaves):
            leaf.update(self._pending[index * _BLOCK_BYTES : (index + 1) * _BLOCK_BYTES])
            root.update(leaf.digest())
        self._pending = b""
        return bytes(root.digest())


def _node(offset: int, *, depth: int, is_last: bool) -> Any:
    return hashlib.blake2s(
        fanout=_LEAVES, depth=2, node_offset=offset, node_depth=depth, inner_size=32, last_node=is_last
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Encryption:
    """How a member is encrypted; RAR 5 tells enough to know a wrong password before decrypting."""

    salt: bytes = b""
    rounds_log2: int = 0
    check: bytes = b""  # 8 bytes derived from the password and 4 that protect them; "" when the header has none
    keyed_checksum: bool = False  # the header's checksum is a MAC under the password

    def accepts(self, password: str) -> bool | None:
        """Say whether a password is right; None when the header does not tell."""
        if len(self.check) != 12 or hashlib.sha256(self.check[:8]).digest()[:4] != self.check[8:]:
            return None
        derived = self._derive(password, extra_rounds=32)
        return _fold(derived, 8) == self.check[:8]

    def keyed(self, checksum: bytes, password: str) -> bytes:
        """Turn a plain checksum into the MAC that stands in the header (UnRAR's `ConvertHashToMAC`)."""
        mac = hmac.digest(self._derive(password, extra_rounds=16), checksum, "sha256")
        return mac if len(checksum) == len(mac) else _fold(mac, len(checksum))

    def _derive(self, password: str, *, extra_rounds: int) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, (1 << self.rounds_log2) + extra_rounds)


def _fold(value: bytes, size: int) -> bytes:
    """XOR a value's parts of `size` bytes into one."""
    return bytes(functools.reduce(operator.xor, value[start::size]) for start in range(size))
