"""Extraction: the PDFs of an archive into the store, or any of its members into a folder."""

import dataclasses
import fnmatch
import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from pagemill.archives.content import Content, Fault, Kind, pdf_by_magic
from pagemill.archives.folder import OutputFolder
from pagemill.archives.limits import Limits
from pagemill.archives.names import safe_member_path
from pagemill.archives.passwords import Passwords, read_passwords
from pagemill.archives.volumes import group_volumes, missing_names, parse_volume_name, positions
from pagemill.archives.walk import Source, Taste, Walk
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.progress import track
from pagemill.records import FetchedArchive, MemberRecord, Status
from pagemill.storage import Store, digest

EXTRACT = Stage("extract_pdfs", 1, MemberRecord)

log = logging.getLogger(__name__)

_PDFS = Taste(by_path=lambda path: True, by_head=pdf_by_magic)


def extract_pdfs(
    fetched: Manifest[FetchedArchive],
    store: Store,
    *,
    passwords: str = "",
    max_members: int = 100_000,
    max_member_bytes: int = 4 << 30,
    max_archive_bytes: int = 64 << 30,
    max_ratio: float = 1000.0,
    max_depth: int = 2,
    time_limit_seconds: float = 3600.0,
) -> Manifest[MemberRecord]:
    """Unpack every PDF of every archive into the store, once for each content, as `pdf/<sha256>.pdf`.

    What is a PDF is told by its first bytes. RAR archives inside archives are opened as well. Every
    member gets a row, and so does whatever is wrong with an archive as a whole: damage, a missing
    volume or a limit costs the members it concerns and no more.

    Args:
        fetched: archives in the store, as `fetch_archives` left them.
        store: where PDFs and rows go.
        passwords: file (path or URI) of passwords, one a line, or a secret: `env:NAME` or
            `secret:projects/P/secrets/S`. They are tried in order. Its name is recorded, its content never.
        max_members: the most members read of an archive.
        max_member_bytes: the largest member unpacked.
        max_archive_bytes: the most bytes unpacked of an archive, those of archives inside it included.
        max_ratio: how many times its packed size a member may unpack to, if that is over 16 MiB.
            RAR packs text about 5 times, an empty page of a scan up to some 100 times.
        max_depth: how deep archives inside archives are opened.
        time_limit_seconds: the longest that one archive may take; whatever runs then is killed.

    Raises:
        UserError: the passwords cannot be read.
    """
    limits = Limits(max_members, max_member_bytes, max_archive_bytes, max_ratio, max_depth, time_limit_seconds)
    parameters = {"passwords": passwords, **dataclasses.asdict(limits)}

    def extract_all() -> Outcome[MemberRecord]:
        candidates = read_passwords(passwords)
        folder = f"members/{EXTRACT.config_key(parameters)}"
        rows: list[MemberRecord] = []
        for archive in track(fetched.rows, "extract archives"):
            rows += _extract_archive(archive, store, folder, limits, candidates)
        return Outcome(rows, {"archives": len(fetched.rows), **_counts(rows)})

    return EXTRACT.once(store, [fetched], parameters, extract_all)


def extract_members(
    archives: Sequence[Path],
    out: Path,
    *,
    members: str = "",
    passwords: str = "",
    max_members: int = 100_000,
    max_member_bytes: int = 4 << 30,
    max_archive_bytes: int = 64 << 30,
    max_ratio: float = 1000.0,
    max_depth: int = 2,
    time_limit_seconds: float = 3600.0,
) -> list[MemberRecord]:
    """Unpack members into `out/<archive's name without .rar>/<member's path, made safe>`.

    Beside them goes `manifest.jsonl`: name, size, sha256, status and reason of every member. Links
    are neither made nor followed, neither those in archives nor those that stand in `out`.

    Args:
        archives: archives on the local disk; further volumes of a set may be named or not.
        out: the folder to unpack into, made where it is not there.
        members: glob for the paths of members, matched in any case, `*` across slashes too; "" takes PDFs by
            their first bytes, and opens archives inside archives.
        passwords: as for `extract_pdfs`.
        max_members: as for `extract_pdfs`.
        max_member_bytes: as for `extract_pdfs`.
        max_archive_bytes: as for `extract_pdfs`.
        max_ratio: as for `extract_pdfs`.
        max_depth: as for `extract_pdfs`.
        time_limit_seconds: as for `extract_pdfs`.

    Returns:
        A row for every member; `archive_sha256` is "", because the archives themselves are not hashed.

    Raises:
        UserError: an archive is not there, the passwords cannot be read, or `out` is not a folder.
    """
    limits = Limits(max_members, max_member_bytes, max_archive_bytes, max_ratio, max_depth, time_limit_seconds)
    candidates = read_passwords(passwords)
    rows: list[MemberRecord] = []
    with OutputFolder(out) as folder:
        for source, stem in track(_local_sources(archives), "extract archives"):
            keep = folder.keeper(stem)
            walk = Walk(source, _taste(members), limits, candidates, folder.staging, keep)
            walk.go()
            rows += walk.rows
        folder.write("manifest.jsonl", "".join(_manifest_line(row) for row in rows).encode())
    return rows


def _extract_archive(
    archive: FetchedArchive, store: Store, folder: str, limits: Limits, passwords: Passwords
) -> list[MemberRecord]:
    """Return an archive's rows, from an earlier run if there are any."""
    known = f"{folder}/{digest([archive.volumes, archive.missing])[:32]}.jsonl"
    if store.exists(known):
        rows = (MemberRecord.from_dict(row) for row in store.read_jsonl(known))
        return [dataclasses.replace(row, archive=archive.name, modified=archive.modified) for row in rows]
    with ExitStack() as open_files:
        paths = [open_files.enter_context(store.local(name)) for name in archive.volumes]
        numbers = positions(len(paths), archive.missing)
        volumes = list(zip(numbers, paths, strict=True))
        source = Source(archive.name, archive.sha256, archive.modified, volumes, archive.missing)
        walk = Walk(source, _PDFS, limits, passwords, store, lambda content, _: _keep_pdf(content, store))
        walk.go()
    store.write_jsonl(known, (row.to_dict() for row in walk.rows))
    return walk.rows


def _keep_pdf(content: Content, store: Store) -> Fault | None:
    name = f"pdf/{content.sha256}.pdf"
    if not store.exists(name):
        store.adopt(content.path, name)
    return None


def _counts(rows: Iterable[MemberRecord]) -> dict[str, int]:
    rows = list(rows)
    sizes = {row.sha256: row.size_bytes for row in rows if row.status is Status.OK}
    return {
        "members": sum(bool(row.member_path) for row in rows),
        "pdfs": sum(row.status is Status.OK for row in rows),
        "pdfs_distinct": len(sizes),
        "bytes_extracted": sum(row.size_bytes for row in rows if row.status is Status.OK),
    }


def _taste(members: str) -> Taste:
    if not members:
        return _PDFS
    glob = members.casefold()
    return Taste(lambda path: fnmatch.fnmatchcase(path.casefold(), glob), lambda head: Kind.WANTED)


def _local_sources(archives: Sequence[Path]) -> list[tuple[Source, str]]:
    """Return the sets that the named files belong to, each once, with the name of its folder."""
    sets: dict[Path, Source] = {}
    for archive in archives:
        if not archive.is_file():
            raise UserError(str(archive), "is not a file", "give the path of a RAR archive")
        source = _local_source(archive)
        sets.setdefault(source.volumes[0][1].resolve(), source)
    stems: dict[str, int] = {}
    named = []
    for source in sets.values():
        stem = safe_member_path(_stem(source.name)).replace("/", "_")
        stems[stem.casefold()] = number = stems.get(stem.casefold(), 0) + 1
        named.append((source, stem if number == 1 else f"{stem} ({number})"))
    return named


def _local_source(archive: Path) -> Source:
    """Gather the volumes beside an archive; a file that is not named like one stands for itself."""
    fellows = [path.name for path in archive.parent.iterdir() if path.is_file()]
    sets = (volumes for volumes in group_volumes(fellows) if archive.name in [each.name for each in volumes])
    volumes = next(sets, None)
    if volumes is None:
        return Source(archive.name, "", _modified([archive]), [(1, archive)])
    numbered = [(each.number, archive.parent / each.name) for each in volumes]
    modified = _modified([path for _, path in numbered])
    return Source(volumes[0].name, "", modified, numbered, missing_names(volumes))


def _modified(paths: Sequence[Path]) -> str:
    latest = max(path.stat().st_mtime for path in paths)
    return datetime.fromtimestamp(latest, UTC).isoformat(timespec="seconds")


def _stem(name: str) -> str:
    volume = parse_volume_name(name)
    return volume.stem if volume else Path(name).stem


def _manifest_line(row: MemberRecord) -> str:
    entry = {
        "archive": row.archive,
        "name": row.member_path,
        "size": row.size_bytes,
        "sha256": row.sha256,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"
