"""Discovery: find the RAR archives at a source, with their volumes, before anything is downloaded."""

import logging
import time

from pagemill.archives.sources import SourceFile, list_source, matches, matches_path
from pagemill.archives.volumes import VolumeName, group_volumes, missing_names, sibling_name
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import Archive, Volume
from pagemill.storage import Store, digest

log = logging.getLogger(__name__)

DISCOVER = Stage("discover_archives", 1, Archive)


def discover_archives(
    source: str, store: Store, *, pattern: str = "*.rar", source_fingerprint: str = ""
) -> Manifest[Archive]:
    """List the archives at a source and write down what is there.

    It always lists, because the outside world may have changed; the same content gives the same
    manifest. A missing last volume cannot be seen in a listing: extraction finds it.

    Args:
        source: a local file, folder or glob; `gs://`, `hf://datasets/<repo>[@revision]/...`; an `http(s)://`
            file or directory index page.
        store: where the manifest goes.
        pattern: glob for the name of an archive's first volume; with a slash, for its path below the source.
        source_fingerprint: names the state that the source is expected in, such as `fingerprint_of` it; a
            manifest is found again by it.

    Raises:
        UserError: the source does not exist, cannot be reached or holds no such archive.
    """
    started = time.monotonic()
    archives = _find_archives(source, pattern)
    for archive in archives:
        if archive.missing:
            log.warning("%s: lacks %s; add the missing volumes to the source", archive.name, ", ".join(archive.missing))
    parameters = {
        "source": source,
        "source_fingerprint": source_fingerprint,
        "pattern": pattern,
        "fingerprint": _fingerprint(archives),
    }
    seconds = time.monotonic() - started
    return DISCOVER.record(store, (), parameters, Outcome(archives, _counts(archives)), {}, seconds)


def fingerprint_of(source: str, pattern: str) -> str:
    """Return one digest of all archives at a source, as they are now; raises as `discover_archives` does."""
    return _fingerprint(_find_archives(source, pattern))


def _find_archives(source: str, pattern: str) -> list[Archive]:
    listing = list_source(source)
    files = {file.name: file for file in listing.files}
    archives = [
        _archive(volumes, files) for volumes in group_volumes(files) if _is_wanted(volumes, pattern, listing.wanted)
    ]
    if not archives:
        raise UserError(source, f"holds no archive that matches {pattern!r}", "check the source and the pattern")
    return sorted(archives, key=lambda archive: archive.name)


def _is_wanted(volumes: list[VolumeName], pattern: str, wanted: str) -> bool:
    """Match the pattern on the first volume; a source that names a file or a glob may name any volume."""
    first = sibling_name(volumes[0], 1) if volumes[0].number != 1 else volumes[0].name
    names = (first, *(volume.name for volume in volumes))
    return matches(first, pattern) and (not wanted or any(matches_path(name, wanted) for name in names))


def _archive(volumes: list[VolumeName], files: dict[str, SourceFile]) -> Archive:
    missing = missing_names(volumes)
    name = volumes[0].name if volumes[0].number == 1 else missing[0]
    found = tuple(_volume(files[volume.name]) for volume in volumes)
    identity = [[volume.name, file.size_bytes, file.version] for volume, file in zip(volumes, found, strict=True)]
    return Archive(name, found, missing, digest(identity))


def _volume(file: SourceFile) -> Volume:
    return Volume(file.uri, file.size_bytes, file.version, file.modified)


def _fingerprint(archives: list[Archive]) -> str:
    return digest(sorted(archive.fingerprint for archive in archives))


def _counts(archives: list[Archive]) -> dict[str, int]:
    return {
        "archives": len(archives),
        "volumes": sum(len(archive.volumes) for archive in archives),
        "bytes": sum(archive.size_bytes for archive in archives),
        "archives_incomplete": sum(bool(archive.missing) for archive in archives),
    }
