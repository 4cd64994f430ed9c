"""Downloads: a file comes whole or not at all, and goes on where it broke off, in a later process too."""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tenacity

from pagemill.progress import progress
from pagemill.storage import COPY_BYTES, WEB_PROTOCOLS, Store, digest, filesystem_of

ATTEMPTS = 5
RETRY_FIRST_SECONDS = 1.0
RETRY_MOST_SECONDS = 60.0
READ_AHEAD_BYTES = 8 << 20
BEGINNING_BYTES = 1024  # of a file: enough to know a web page

_VERSION_FIELDS = ("etag", "ETag", "lfs", "blob_id", "md5Hash", "mtime", "updated", "LastModified", "Last-Modified")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
_RANGE_NOT_SATISFIABLE = 416
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)

log = logging.getLogger(__name__)


class DownloadError(RuntimeError):
    """A file could not be had, or not as it was listed, after all attempts."""


class _AttemptError(RuntimeError):
    """What came is not the file, or not all of it; another attempt may bring it."""


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at a source, and what is known of it beforehand."""

    uri: str
    size_bytes: int = 0  # 0: not known
    version: str = ""  # etag, revision or time of change; "": not known


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    """What a source says of the file that it gives: bytes of different ones are never put together."""

    size_bytes: int | None  # None: it does not say
    version: str  # "": it does not say


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    """A source's bytes from an offset on, which need not be the one that was asked for."""

    stream: Any
    offset: int
    told: _Told


def version_of(info: dict[str, Any]) -> str:
    """Return what a source says to tell one version of a file from another; "" if nothing."""
    for field in _VERSION_FIELDS:
        if value := info.get(field):
            return _plain(value)
    return ""


@contextlib.contextmanager
def partial_file(store: Store, key: str) -> Iterator[Path]:
    """Give the file that holds what has come of a download so far; it outlives a failure and a kill.

    Only one process at a time has it; another waits here. When the block ends without an error, the
    file and what belongs to it are removed, unless `store.adopt` took it away before.

    Args:
        store: Where the file is going; in a local store the partial file is on the same disk.
        key: What tells this download from every other.
    """
    folder = Path(store.root if store.is_local else tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".tmp-fetch-{key}"
    with _locked(part.with_name(f"{part.name}.lock")):
        yield part
        discard(part)


def discard(part: Path) -> None:
    """Forget what has come of a download."""
    part.unlink(missing_ok=True)
    _told_path(part).unlink(missing_ok=True)


def download(
    file: RemoteFile,
    part: Path,
    *,
    attempts: int = ATTEMPTS,
    lasting: tuple[type[Exception], ...] = (),
    description: str = "",
) -> str:
    """Bring a file, appending what is still lacking to `part`, and return the sha256 of the whole.

    After a broken connection, or in a new process after a kill, it goes on where it was if the source
    can start in mid-file and tells by a version (an ETag, a time of change) that the file is still the
    same; else it starts over. The end of the file is the end that the source told beforehand: an
    answer that tells none, or ends before it, is not taken for the file, nor is a web page.

    Args:
        file: What to bring; a size and version given here must be what the source has.
        part: Local file with what came earlier, if anything; of `partial_file`.
        attempts: How often to try, with growing random waits between.
        lasting: Errors, such as FileNotFoundError, that are raised as they are instead of trying again.
        description: What to call the download in the progress display; "" for no display.

    Raises:
        DownloadError: The file was not had after all attempts.
        OSError: The disk is full.
    """

    def may_pass(error: BaseException) -> bool:
        return isinstance(error, Exception) and not isinstance(error, lasting) and not _is_full_disk(error)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random_exponential(multiplier=RETRY_FIRST_SECONDS, max=RETRY_MOST_SECONDS),
        retry=tenacity.retry_if_exception(may_pass),
        before_sleep=_log_retry,
        reraise=True,
    )
    try:
        return str(retrying(_attempt, file, part, description))
    except Exception as error:
        if not may_pass(error):
            raise
        raise DownloadError(f"{file.uri}: not fetched after {attempts} attempts ({_said(error)})") from error


def _attempt(file: RemoteFile, path: Path, description: str) -> str:
    with _Part(path) as part:
        if not part.is_whole(file):
            with _open_at(file, part) as answer:
                _check_listed(file, answer.told)
                _place(part, answer)
                _copy(answer, part, description)
            _check_whole(part, answer.told)
        return part.sha256


class _Part:
    """The bytes of a file that have come, their sha256, and what the source told of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self.stream = self.path.open("a+b")
        self.told = _read_told(self.path)
        if self.told is None or not self.told.version:
            self.start_over(None)
        self.stream.seek(0)
        self.hasher = hashlib.sha256()
        while chunk := self.stream.read(COPY_BYTES):
            self.hasher.update(chunk)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stream.close()

    @property
    def size_bytes(self) -> int:
        return self.stream.tell()

    @property
    def sha256(self) -> str:
        return self.hasher.hexdigest()

    def is_whole(self, file: RemoteFile) -> bool:
        """Say whether all of it came before, and is of the file that is wanted."""
        if self.told is None or self.size_bytes != self.told.size_bytes:
            return False
        return file.version in ("", self.told.version) and file.size_bytes in (0, self.told.size_bytes)

    def start_over(self, told: _Told | None) -> None:
        """Forget what came; what comes next is of the file that is told of."""
        self.stream.seek(0)
        self.stream.truncate()
        os.fsync(self.stream.fileno())  # so that not even a power cut puts bytes of two files together
        self.hasher = hashlib.sha256()
        self.told = told
        _write_told(self.path, told)

    def beginning(self) -> bytes:
        self.stream.flush()
        return os.pread(self.stream.fileno(), BEGINNING_BYTES, 0)

    def append(self, chunk: bytes) -> None:
        self.stream.write(chunk)
        self.hasher.update(chunk)


@contextlib.contextmanager
def _open_at(file: RemoteFile, part: _Part) -> Iterator[_Answer]:
    """Open the file where the part ends, or at its start where the source cannot."""
    filesystem, path = filesystem_of(file.uri)
    if file.uri.startswith(WEB_PROTOCOLS):
        with _open_web(filesystem, file.uri, part) as answer:
            yield answer
        return
    info = filesystem.info(path)
    with filesystem.open(path, "rb", block_size=READ_AHEAD_BYTES) as stream:
        yield _Answer(stream, stream.seek(part.size_bytes), _Told(info.get("size"), version_of(info)))


@contextlib.contextmanager
def _open_web(filesystem: Any, uri: str, part: _Part) -> Iterator[_Answer]:
    """Make one streaming request."""
    span = {"Range": f"bytes={part.size_bytes}-"} if part.size_bytes else {}
    headers = {"Accept-Encoding": "identity"} | span
    try:
        # A size other than None spares a HEAD request before each attempt.
        opened = filesystem.open(uri, "rb", block_size=0, size=1, headers=headers)
    except Exception as error:
        if getattr(error, "status", None) == _RANGE_NOT_SATISFIABLE:
            part.start_over(None)
        raise
    with opened as stream:
        yield _web_answer(stream)


def _web_answer(stream: Any) -> _Answer:
    """Read from the headers which bytes of which file these are."""
    status, headers = stream.r.status, stream.r.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _AttemptError("the server packs the file, although it was asked not to")
    version = version_of({name: headers.get(name) for name in ("ETag", "Last-Modified")})
    length = headers.get("Content-Length")
    if status != 206:
        if length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower():
            raise _AttemptError("the server does not say where the file ends, so a cut could not be seen")
        return _Answer(stream, 0, _Told(None if length is None else int(length), version))
    span = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if not span:
        raise _AttemptError("the server does not say which part of the file it gives")
    return _Answer(stream, int(span[1]), _Told(None if span[2] == "*" else int(span[2]), version))


def _check_listed(file: RemoteFile, told: _Told) -> None:
    """Refuse another file than the one that was listed."""
    if file.version and told.version and told.version != file.version:
        raise _AttemptError(f"has changed since it was listed: version {told.version} instead of {file.version}")
    if file.size_bytes and told.size_bytes is not None and told.size_bytes != file.size_bytes:
        raise _AttemptError(f"has changed since it was listed: {told.size_bytes} bytes, not {file.size_bytes}")


def _place(part: _Part, answer: _Answer) -> None:
    """Go on with the part if the answer does, else start over."""
    if answer.offset == part.size_bytes and answer.told == part.told:
        return
    part.start_over(answer.told)
    if answer.offset:
        raise _AttemptError("the file has changed since its first part came, or the server gave another part of it")


def _copy(answer: _Answer, part: _Part, description: str) -> None:
    size_bytes = answer.told.size_bytes
    lacking = None if size_bytes is None else size_bytes - part.size_bytes
    with progress(description, lacking) if description else contextlib.nullcontext(lambda amount: None) as advance:
        while chunk := answer.stream.read(COPY_BYTES):
            part.append(chunk)
            advance(len(chunk))


def _check_whole(part: _Part, told: _Told) -> None:
    """Refuse less or more than the source told, and the page of an error that it took for the file."""
    came = part.size_bytes
    if told.size_bytes is not None and came < told.size_bytes:
        raise _AttemptError(f"{came} bytes came where the source says {told.size_bytes}")
    is_page = _WEB_PAGE.match(part.beginning())
    if is_page or came != (told.size_bytes or came):
        part.start_over(None)
        raise _AttemptError("a web page came instead of the file" if is_page else f"{came} bytes are too many")


def _read_told(part: Path) -> _Told | None:
    try:
        return _Told(**json.loads(_told_path(part).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write_told(part: Path, told: _Told | None) -> None:
    """Keep what a part is of, before any byte of it is there."""
    if told is None:
        _told_path(part).unlink(missing_ok=True)
    else:
        _told_path(part).write_text(json.dumps(dataclasses.asdict(told)))


def _told_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.told")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file for the block's time, and remove it afterwards."""
    while True:
        with path.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_at(path, lock.fileno()):
                continue  # its last holder has removed it while this process waited
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
                fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough while a forked child has it open too
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_full_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _DISK_IS_FULL


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _log_retry(state: tenacity.RetryCallState) -> None:
    file, error = state.args[0], state.outcome.exception() if state.outcome else None
    log.warning("%s: attempt %d failed (%s), trying again", file.uri, state.attempt_number, error and _said(error))


def _plain(value: Any) -> str:
    """Return a version as text; a record such as that of a large file is digested."""
    if isinstance(value, str):
        return value.strip('"')
    if isinstance(value, dict):
        return str(value.get("sha256") or digest(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)
