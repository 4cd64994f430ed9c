"""Passwords for archives: read from a mounted file or a secret, and never written anywhere."""

from collections.abc import Iterator

import fsspec

from pagemill.errors import UserError
from pagemill.secrets import is_reference, read_secret


class Passwords:
    """Candidates in the order to try them; what is printed of it is their number alone."""

    __slots__ = ("_candidates",)

    def __init__(self, candidates: tuple[str, ...] = ()) -> None:
        self._candidates = candidates

    def __iter__(self) -> Iterator[str]:
        return iter(self._candidates)

    def __len__(self) -> int:
        return len(self._candidates)

    def __repr__(self) -> str:
        return f"Passwords({len(self)})"


def read_passwords(where: str) -> Passwords:
    """Read passwords, one a line, from a UTF-8 file (path or URI) or a secret that `pagemill.secrets` reads.

    Args:
        where: The file, `env:NAME` or `secret:projects/P/secrets/S`; "" for no passwords.

    Raises:
        UserError: The file or the secret is not there or may not be read, or is not UTF-8.
    """
    if not where:
        return Passwords()
    text = read_secret(where) if is_reference(where) else _from_file(where)
    return Passwords(tuple(dict.fromkeys(line for line in text.splitlines() if line)))


def _from_file(where: str) -> str:
    try:
        with fsspec.open(where, "rb") as stream:
            return bytes(stream.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        # Without the original error, whose message would quote the file's bytes.
        raise UserError(where, "is not UTF-8", "save the passwords as UTF-8, one a line") from None
    except OSError as error:
        reason = f"cannot be read ({type(error).__name__})"
        raise UserError(where, reason, "check the path of the password file") from error
