"""Fetching: stream archives from their source into the store, each file under the sha256 of its bytes."""

import contextlib
import fcntl
import hashlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import tenacity

from pagemill.archives.sources import version_of
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import progress
from pagemill.records import Archive, FetchedArchive, Volume
from pagemill.storage import COPY_BYTES, WEB_PROTOCOLS, Store, digest, filesystem_of

FETCH = Stage("fetch_archives", 1, FetchedArchive)
READ_AHEAD_BYTES = 8 << 20
RETRY_FIRST_SECONDS = 1.0
RETRY_MOST_SECONDS = 60.0

log = logging.getLogger(__name__)


class FetchError(RuntimeError):
    """A volume could not be had as it was listed, after all attempts."""


class _SourceChangedError(RuntimeError):
    """What the source gives now is not what the listing said."""


def fetch_archives(shard: Manifest[Archive], store: Store, *, attempts: int = 5) -> Manifest[FetchedArchive]:
    """Bring the volumes of a shard's archives into the store as `raw/<sha256>.rar`.

    A volume is hashed while it comes. After a broken connection, or in a new process after a kill,
    it goes on where it was if the source can start in mid-file. Volumes that are in the store are
    not fetched again. An archive that lacks volumes is passed on with those that are there.

    Args:
        shard: archives as `discover_archives` found them.
        store: where the volumes go.
        attempts: how often a volume is tried, with growing random waits between, before it counts as lost.

    Raises:
        FetchError: a volume is gone, has changed since it was listed, or cannot be read.
    """
    return FETCH.once(store, [shard], {}, lambda: _fetch_all(shard, store, attempts), {"attempts": attempts})


def _fetch_all(shard: Manifest[Archive], store: Store, attempts: int) -> Outcome[FetchedArchive]:
    rows = []
    with progress("fetch bytes", sum(archive.size_bytes for archive in shard.rows)) as advance:
        for archive in shard.rows:
            rows.append(_fetch_archive(archive, store, attempts))
            advance(archive.size_bytes)
    counts = {
        "archives": len(rows),
        "volumes": sum(len(row.volumes) for row in rows),
        "bytes": sum(row.size_bytes for row in rows),
    }
    return Outcome(rows, counts)


def _fetch_archive(archive: Archive, store: Store, attempts: int) -> FetchedArchive:
    digests = [_fetch_volume(volume, store, attempts) for volume in archive.volumes]
    names = tuple(_raw_name(sha256) for sha256 in digests)
    return FetchedArchive(
        name=archive.name,
        sha256=digests[0] if len(digests) == 1 else digest(digests),
        volumes=names,
        missing=archive.missing,
        size_bytes=sum(store.size_bytes(name) for name in names),
        modified=max(volume.modified for volume in archive.volumes),
    )


def _fetch_volume(volume: Volume, store: Store, attempts: int) -> str:
    """Return the sha256 of a volume, once it is in the store."""
    key = digest([volume.uri, volume.size_bytes, volume.version])[:32]
    if sha256 := _known_digest(store, key):
        return sha256
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random_exponential(multiplier=RETRY_FIRST_SECONDS, max=RETRY_MOST_SECONDS),
        before_sleep=_log_retry,
        reraise=True,
    )
    with _partial(store, key) as part:
        # Another process may have fetched it while this one waited for the lock.
        if sha256 := _known_digest(store, key):
            return sha256
        try:
            sha256 = retrying(_download, volume, part)
        except Exception as error:
            raise FetchError(f"{volume.uri}: not fetched after {attempts} attempts ({error})") from error
        if not store.exists(_raw_name(sha256)):
            store.adopt(part, _raw_name(sha256))
        store.write_json(_index_name(key), {"sha256": sha256, "size_bytes": volume.size_bytes})
        part.unlink(missing_ok=True)
        return sha256


def _known_digest(store: Store, key: str) -> str:
    """Return the sha256 of a volume that was fetched before and is still there, else ""."""
    try:
        sha256 = str(store.read_json(_index_name(key))["sha256"])
    except FileNotFoundError:
        return ""
    return sha256 if store.exists(_raw_name(sha256)) else ""


@contextlib.contextmanager
def _partial(store: Store, key: str) -> Iterator[Path]:
    """Give the file that holds what has come of a volume so far; it outlives a failure and a kill.

    Its length is the offset to go on from. Only one process at a time has it.
    """
    folder = Path(store.root if store.is_local else tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".tmp-fetch-{key}"
    with part.with_name(f"{part.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield part
        Path(lock.name).unlink(missing_ok=True)


def _download(volume: Volume, part: Path) -> str:
    """Append what is still lacking to `part` and return the sha256 of the whole."""
    with part.open("a+b") as target:
        hasher = _hash_of(target)
        if volume.size_bytes and target.tell() > volume.size_bytes:
            hasher = _start_over(target)
        if not volume.size_bytes or target.tell() < volume.size_bytes:
            hasher = _append(volume, target, hasher)
        size_bytes = target.tell()
    if volume.size_bytes and size_bytes != volume.size_bytes:
        raise _SourceChangedError(f"{size_bytes} bytes came where the listing says {volume.size_bytes}")
    return str(hasher.hexdigest())


def _append(volume: Volume, target: BinaryIO, hasher: Any) -> Any:
    with _open_at(volume, target.tell()) as (source, offset):
        if offset != target.tell():
            hasher = _start_over(target)
        while chunk := source.read(COPY_BYTES):
            target.write(chunk)
            hasher.update(chunk)
            if volume.size_bytes and target.tell() > volume.size_bytes:
                break
    return hasher


def _hash_of(target: BinaryIO) -> Any:
    """Hash what is there from an earlier attempt, and leave the stream at its end."""
    target.seek(0)
    hasher = hashlib.sha256()
    while chunk := target.read(COPY_BYTES):
        hasher.update(chunk)
    return hasher


def _start_over(target: BinaryIO) -> Any:
    target.seek(0)
    target.truncate()
    return hashlib.sha256()


@contextlib.contextmanager
def _open_at(volume: Volume, offset: int) -> Iterator[tuple[Any, int]]:
    """Open a volume's bytes from `offset`, or from 0 where the source cannot; give the stream and its offset."""
    filesystem, path = filesystem_of(volume.uri)
    if volume.uri.startswith(WEB_PROTOCOLS):
        with _open_web(filesystem, volume, offset) as opened:
            yield opened
        return
    _check_unchanged(volume, filesystem.info(path))
    with filesystem.open(path, "rb", block_size=READ_AHEAD_BYTES) as source:
        yield source, source.seek(offset)


@contextlib.contextmanager
def _open_web(filesystem: Any, volume: Volume, offset: int) -> Iterator[tuple[Any, int]]:
    """Open one streaming request, from `offset` if the server honours ranges."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    # A size other than None spares a HEAD request before each attempt.
    with filesystem.open(volume.uri, "rb", block_size=0, size=1, headers=headers) as source:
        answer = source.r.headers
        _check_unchanged(volume, {"etag": answer.get("ETag"), "Last-Modified": answer.get("Last-Modified")})
        yield source, offset if source.r.status == 206 else 0


def _check_unchanged(volume: Volume, info: dict[str, Any]) -> None:
    version, size_bytes = version_of(info), info.get("size")
    if volume.version and version and version != volume.version:
        raise _SourceChangedError(f"has changed since it was listed: version {version} instead of {volume.version}")
    if volume.size_bytes and size_bytes is not None and size_bytes != volume.size_bytes:
        raise _SourceChangedError(f"has changed since it was listed: {size_bytes} bytes, not {volume.size_bytes}")


def _log_retry(state: tenacity.RetryCallState) -> None:
    volume, error = state.args[0], state.outcome.exception() if state.outcome else None
    log.warning("%s: attempt %d failed (%s), trying again", volume.uri, state.attempt_number, error)


def _raw_name(sha256: str) -> str:
    return f"raw/{sha256}.rar"


def _index_name(key: str) -> str:
    return f"fetched/{key}.json"
