"""The content-addressed store: bytes live once, under the digest of what made them."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

# gcsfs looks for a hierarchical namespace by default, which stalls on servers that have none.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pagemill.errors import UserError

COPY_BYTES = 1 << 20
WEB_PROTOCOLS = ("http://", "https://")
READ_TIMEOUT_SECONDS = 60.0


def digest(value: Any) -> str:
    """Return the sha256, in hex, of a JSON value written canonically."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a local file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def filesystem_of(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URI and the path on it.

    Web downloads may take as long as they need while bytes keep coming; listings are never cached.
    """
    if uri.startswith(WEB_PROTOCOLS):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=READ_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS)
        return fsspec.filesystem("http", client_kwargs={"timeout": timeout}, use_listings_cache=False), uri
    filesystem, path = fsspec.core.url_to_fs(uri)
    return filesystem, str(path)


class Store:
    """A folder of immutable files on any fsspec file system (`file`, `gs`, `memory`).

    Names are relative, with forward slashes. A file appears under its name whole or not at all:
    it is written under a temporary name, flushed to disk and renamed.

    Raises:
        ValueError: The URI names no file system that is known here.
        ImportError: It names one that needs a package.
    """

    def __init__(self, uri: str) -> None:
        self.filesystem, self.root = fsspec.core.url_to_fs(uri)
        self.uri = uri.rstrip("/")
        self.is_local = isinstance(self.filesystem, LocalFileSystem)

    def path(self, name: str) -> str:
        """Return the file system's own path of a name."""
        return f"{self.root.rstrip('/')}/{name}"

    def uri_of(self, name: str) -> str:
        """Return the full URI of a name, for people and artifacts."""
        return f"{self.uri}/{name}"

    def exists(self, name: str) -> bool:
        """Say whether a file of that name is there."""
        return bool(self.filesystem.isfile(self.path(name)))

    def size_bytes(self, name: str) -> int:
        """Return the size of a file; raises FileNotFoundError."""
        return int(self.filesystem.size(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder, sorted; [] when there is none."""
        return self._entries(folder, "file")

    def folders(self, folder: str = "") -> list[str]:
        """Return the names of the folders directly in a folder, sorted; [] when there is none."""
        return self._entries(folder, "directory")

    def _entries(self, folder: str, kind: str) -> list[str]:
        try:
            entries = self.filesystem.ls(self.path(folder), detail=True, refresh=True)
        except FileNotFoundError:
            return []
        found = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == kind)
        return sorted(f"{folder}/{name}".lstrip("/") for name in found if not name.startswith(".tmp-"))

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading, as a stream; raises FileNotFoundError."""
        with self.filesystem.open(self.path(name), "rb") as stream:
            yield stream

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open a stream whose bytes become the file `name` when the block ends without an error."""
        with self.staging() as staged:
            with staged.open("wb") as stream:
                yield stream
            self.adopt(staged, name)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a local path to write a file whose name is not known yet; `adopt` keeps it.

        In a local store the path is on the store's own disk, so that adopting is a rename.
        """
        if self.is_local:
            folder = Path(self.root)
            folder.mkdir(parents=True, exist_ok=True)
            staged = folder / f".tmp-{os.getpid()}-{uuid.uuid4().hex}"
        else:
            staged = Path(tempfile.gettempdir()) / f".tmp-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            yield staged
        finally:
            staged.unlink(missing_ok=True)

    def adopt(self, staged: Path, name: str) -> None:
        """Make a staged file the file `name`, durably and at once."""
        path = self.path(name)
        if not self.is_local:
            self.filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self.filesystem.put_file(str(staged), path)
            return
        with staged.open("rb") as stream:
            os.fsync(stream.fileno())
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(staged, path)
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Give the file as a local path: itself in a local store, else a copy for the block's time."""
        if self.is_local:
            yield Path(self.path(name))
            return
        with self.staging() as copy:
            with self.reading(name) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, COPY_BYTES)
            yield copy

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path(name))

    def delete_folder(self, folder: str) -> None:
        """Remove a folder that has become empty, where a folder is more than the beginning of names."""
        if self.is_local:
            with contextlib.suppress(OSError):
                Path(self.path(folder)).rmdir()

    def read_bytes(self, name: str) -> bytes:
        """Return a whole file; raises FileNotFoundError."""
        with self.reading(name) as stream:
            return stream.read()

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a whole file."""
        with self.writing(name) as stream:
            stream.write(content)

    def read_json(self, name: str) -> Any:
        """Return the value in a JSON file."""
        return json.loads(self.read_bytes(name))

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as canonical JSON, so that equal values are equal bytes."""
        self.write_bytes(name, (json.dumps(value, sort_keys=True, indent=1) + "\n").encode())

    def read_jsonl(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of a JSONL file, one line at a time."""
        with self.reading(name) as stream:
            for line in stream:
                yield json.loads(line)

    def write_jsonl(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Write objects as JSONL, one line at a time."""
        with self.writing(name) as stream:
            for row in rows:
                stream.write(json.dumps(row, sort_keys=True).encode() + b"\n")


def open_store(uri: str) -> Store:
    """Return the store of a URI that a user gave; raises UserError for a file system that is not known here."""
    try:
        return Store(uri)
    except (ValueError, ImportError) as error:
        raise UserError(f"store {uri}", f"cannot be used ({error})", "name a folder, or gs://bucket/prefix") from None
