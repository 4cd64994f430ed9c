"""Fetching: stream archives from their source into the store, each file under the sha256 of its bytes."""

from pagemill.download import ATTEMPTS, DownloadError, RemoteFile, download, partial_file
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import progress
from pagemill.records import Archive, FetchedArchive, Volume
from pagemill.storage import Store, digest

FETCH = Stage("fetch_archives", 1, FetchedArchive)


class FetchError(RuntimeError):
    """A volume could not be had as it was listed, after all attempts."""


def fetch_archives(shard: Manifest[Archive], store: Store, *, attempts: int = ATTEMPTS) -> Manifest[FetchedArchive]:
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
    with partial_file(store, key) as part:
        # Another process may have fetched it while this one waited for the lock.
        if sha256 := _known_digest(store, key):
            return sha256
        try:
            sha256 = download(RemoteFile(volume.uri, volume.size_bytes, volume.version), part, attempts=attempts)
        except DownloadError as error:
            raise FetchError(str(error)) from error
        if not store.exists(_raw_name(sha256)):
            store.adopt(part, _raw_name(sha256))
        store.write_json(_index_name(key), {"sha256": sha256, "size_bytes": volume.size_bytes})
        return sha256


def _known_digest(store: Store, key: str) -> str:
    """Return the sha256 of a volume that was fetched before and is still there, else ""."""
    try:
        sha256 = str(store.read_json(_index_name(key))["sha256"])
    except FileNotFoundError:
        return ""
    return sha256 if store.exists(_raw_name(sha256)) else ""


def _raw_name(sha256: str) -> str:
    return f"raw/{sha256}.rar"


def _index_name(key: str) -> str:
    return f"fetched/{key}.json"
