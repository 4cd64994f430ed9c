"""Safe paths for members of archives, whose names may be anything."""

import itertools
import re
import unicodedata

PART_BYTES = 255
PATH_BYTES = 3072  # room below a folder within the 4096 bytes that Linux allows a path
NAMELESS = "unnamed"

_SEPARATORS = re.compile(r"[/\\]+")
_DRIVE = re.compile(r"^[A-Za-z]:")
_FORBIDDEN = re.compile(r'[<>:"|?*\ufffd\ufffe\uffff]')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])( *\..*)?", re.IGNORECASE | re.DOTALL
)
_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # control, invisible, surrogate, line breaks
_LONGEST_EXTENSION_BYTES = 16


def safe_member_path(name: str) -> str:
    """Return a relative path that any file system takes and that stays below the folder it is put in.

    Backslashes separate like slashes; drives, roots, `.` and `..` fall away; characters that control,
    hide or are reserved become `_`; names reserved on Windows get a leading `_`; parts are cut to 255
    bytes of UTF-8 and keep their extension. The result is never empty, and a safe path stays as it is.
    """
    parts = (_safe_part(part) for part in _SEPARATORS.split(_DRIVE.sub("", name)))
    return "/".join(_last_that_fit([part for part in parts if part])) or NAMELESS


def _last_that_fit(parts: list[str]) -> list[str]:
    """Drop the outermost folders of a path that is too long."""
    lengths = itertools.accumulate(len(part.encode()) + 1 for part in reversed(parts))
    fitting = sum(length - 1 <= PATH_BYTES for length in lengths)
    return parts[len(parts) - fitting :]


def _safe_part(part: str) -> str:
    visible = "".join("_" if unicodedata.category(letter) in _UNSAFE_CATEGORIES else letter for letter in part)
    plain = _FORBIDDEN.sub("_", visible)
    if _RESERVED.fullmatch(plain.strip(" .")):
        plain = "_" + plain.strip(" .")
    return _cut(plain.strip(" ").rstrip(". ")) if plain.strip(" .") else ""


def _cut(part: str) -> str:
    """Shorten a part to what a file system allows, at a character's edge and before its extension."""
    if len(part.encode()) <= PART_BYTES:
        return part
    stem, dot, extension = part.rpartition(".")
    tail = dot + extension if stem and len(extension.encode()) <= _LONGEST_EXTENSION_BYTES else ""
    head = (stem if tail else part).encode()[: PART_BYTES - len(tail.encode())].decode(errors="ignore")
    return (head.rstrip(". ") + tail).rstrip(". ")


class TakenPaths:
    """Gives every member a path of its own, the second of a name with ` (2)`, in any case of letters."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def claim(self, name: str) -> str:
        """Return a safe path for a member that no earlier member has and that needs no file as a folder."""
        *folders, last = safe_member_path(name).split("/")
        path = ""
        for folder in folders:
            path = _first_free(path + folder, self._files)
            self._folders.add(path.casefold())
            path += "/"
        path = _first_free(path + last, self._files | self._folders if last else self._files)
        self._files.add(path.casefold())
        return path


def _first_free(path: str, taken: set[str]) -> str:
    number, candidate = 1, path
    while candidate.casefold() in taken:
        number += 1
        candidate = _numbered(path, number)
    return candidate


def _numbered(path: str, number: int) -> str:
    """Put ` (number)` before the extension of the last part, cutting the part where it gets too long."""
    folder, slash, last = path.rpartition("/")
    stem, dot, extension = last.rpartition(".")
    stem, tail = (stem, dot + extension) if stem else (last, "")
    mark = f" ({number}){tail}"
    room = PART_BYTES - len(mark.encode())
    return f"{folder}{slash}{stem.encode()[:room].decode(errors='ignore')}{mark}"
