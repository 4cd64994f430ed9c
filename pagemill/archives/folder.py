"""The folder that members are unpacked into: nothing in an archive, and no link in the folder, leads out of it."""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from pagemill.archives.content import Content, Fault
from pagemill.archives.walk import Keep
from pagemill.errors import UserError
from pagemill.records import Reason
from pagemill.storage import Store

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class OutputFolder:
    """A folder held open while members are moved into it, folder by folder, without following a link."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.staging = Store(str(self._path))

    def __enter__(self) -> Self:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(str(self._path), "is not a folder", "choose another folder to unpack into") from error
        self._handle = os.open(self._path, _FOLDER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def keeper(self, stem: str) -> Keep:
        """Return what moves a member's content to its path below `stem`."""
        return lambda content, path: self._keep(content, f"{stem}/{path}")

    def write(self, name: str, content: bytes) -> None:
        """Write a file directly in the folder, in place of whatever has that name."""
        with self.staging.staging() as staged:
            staged.write_bytes(content)
            os.replace(staged, name, dst_dir_fd=self._handle)

    def _keep(self, content: Content, path: str) -> Fault | None:
        *folders, name = path.split("/")
        with contextlib.ExitStack() as handles:
            handle = self._handle
            try:
                for folder in folders:
                    handle = _enter(folder, handle)
                    handles.callback(os.close, handle)
                # Replacing a link replaces the link, not what it points to.
                os.replace(content.path, name, dst_dir_fd=handle)
            except (NotADirectoryError, IsADirectoryError) as error:
                return Fault(Reason.LINK, f"a link or another file stands in the way ({error.strerror})")
        return None


def _enter(folder: str, parent: int) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, dir_fd=parent)
    try:
        return os.open(folder, _FOLDER, dir_fd=parent)
    except OSError as error:
        raise NotADirectoryError(error.errno, error.strerror) from error
