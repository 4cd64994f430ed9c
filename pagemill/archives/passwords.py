"""Passwords for archives: read from a mounted file or the environment, and never written anywhere."""

import os
from collections.abc import Iterator

import fsspec

from pagemill.errors import UserError

ENVIRONMENT_PREFIX = "env:"


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
    """Read passwords, one a line, from a UTF-8 file (path or URI) or, as `env:NAME`, from a variable.

    Raises:
        UserError: the file or the variable is not there, or is not UTF-8.
    """
    if not where:
        return Passwords()
    text = _from_environment(where) if where.startswith(ENVIRONMENT_PREFIX) else _from_file(where)
    return Passwords(tuple(dict.fromkeys(line for line in text.splitlines() if line)))


def _from_environment(where: str) -> str:
    value = os.environ.get(where.removeprefix(ENVIRONMENT_PREFIX))
    if value is None:
        raise UserError(where, "is not set", "set the environment variable that holds the passwords")
    return value


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
