"""Walking through an archive and the archives inside it, with one row for every member."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pagemill.archives.content import Choose, Content, Fault, Kind, Landing, landing
from pagemill.archives.headers import Headers, Member, read_headers
from pagemill.archives.limits import Budget, Limits
from pagemill.archives.names import TakenPaths
from pagemill.archives.passwords import Passwords
from pagemill.archives.reading import OUT_OF_TIME, ArchiveReader
from pagemill.archives.volumes import VolumeName, sibling_name
from pagemill.records import MemberRecord, Reason, Status
from pagemill.storage import Store

# The first volume has one name for both ways of numbering the next: archive.part00002.rar and archive.part00001.r00.
_NEW_WAY = VolumeName("archive.part00001.rar", "archive", "part", 1)
_OLD_WAY = VolumeName("archive.part00001.rar", "archive.part00001", "letter", 1)
_OLD_WAY_MOST = 900  # .r00 to .z99
_DELIBERATE = frozenset(
    (
        Reason.LINK,
        Reason.NOT_A_PDF,
        Reason.NOT_SELECTED,
        Reason.TOO_MANY_MEMBERS,
        Reason.MEMBER_TOO_LARGE,
        Reason.ARCHIVE_TOO_LARGE,
        Reason.RATIO_TOO_HIGH,
        Reason.NESTED_TOO_DEEP,
    )
)

Keep = Callable[[Content, str], Fault | None]  # stores a member under its path, or says what stood in the way
Position = tuple[int, ...]  # of a row: numbers that sort it into the order of the archive
Run = list[tuple[int, Path]]  # volumes with their numbers, without a gap


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An archive on the local disk: its volumes with their numbers from 1, and how its rows name it."""

    name: str
    sha256: str
    modified: str
    volumes: Sequence[tuple[int, Path]]
    missing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Taste:
    """Which members are wanted: by their path before anything is read, then by their first bytes."""

    by_path: Callable[[str], bool]
    by_head: Choose


class Walk:
    """Goes through one archive; `rows` then holds what became of every member."""

    def __init__(
        self, source: Source, taste: Taste, limits: Limits, passwords: Passwords, staging: Store, keep: Keep
    ) -> None:
        self._source, self._taste, self._passwords = source, taste, passwords
        self._budget, self._staging, self._keep = Budget(limits), staging, keep
        self._rows: list[tuple[Position, MemberRecord]] = []

    @property
    def rows(self) -> list[MemberRecord]:
        """The rows, in the order of the archive."""
        return [row for _, row in sorted(self._rows, key=lambda item: item[0])]

    def go(self) -> None:
        """Read everything that is wanted."""
        if self._source.missing:
            self._note((), "", 0, Fault(Reason.MISSING_VOLUME, ", ".join(self._source.missing)))
        runs = _runs(self._source.volumes)
        for run in runs:
            self._read(run, (run[0][0],), "", 0, is_last=run is runs[-1])

    def _read(self, run: Run, position: Position, container: str, depth: int, *, is_last: bool) -> None:
        """Read volumes that follow one another; `container` is the path of a nested archive."""
        with _linked(run) as volumes:
            deadline = self._budget.deadline
            headers = read_headers(volumes, self._passwords, self._budget.members_left, lambda: deadline.passed)
            for fault in _archive_faults(headers, is_last=is_last):
                self._note(position, container, 0, fault)
            paths = _paths(headers.members, container)
            wanted = self._select(headers, paths, position)
            reader = ArchiveReader(
                volumes[0], headers, self._passwords, deadline, self._land, from_start=run[0][0] == 1
            )
            for member, result in reader.read(wanted):
                self._take((*position, member.index), paths[member.index], member, result, depth)

    def _select(self, headers: Headers, paths: dict[int, str], position: Position) -> list[Member]:
        """Return the members to read; the others get their rows."""
        refused = self._budget.charge(headers)
        wanted = []
        for member in headers.members:
            if member.is_folder:
                continue
            path = paths[member.index]
            if fault := self._unwanted(member, path) or refused.get(member.index):
                self._note((*position, member.index), path, member.size_bytes, fault)
            else:
                wanted.append(member)
        return wanted

    def _unwanted(self, member: Member, path: str) -> Fault | None:
        if member.is_link:
            return Fault(Reason.LINK, "links are not followed")
        return None if self._taste.by_path(path) else Fault(Reason.NOT_SELECTED)

    def _take(self, position: Position, path: str, member: Member, result: Content | Fault, depth: int) -> None:
        if isinstance(result, Fault):
            self._note(position, path, member.size_bytes, result)
        elif result.kind is Kind.OTHER:
            self._note(position, path, result.size_bytes, Fault(Reason.NOT_A_PDF))
        elif result.kind is Kind.WANTED:
            fault = self._keep(result, path)
            self._note(position, path, result.size_bytes, fault, result.sha256)
        elif depth >= self._budget.limits.max_depth:
            fault = Fault(Reason.NESTED_TOO_DEEP, f"deeper than {self._budget.limits.max_depth} archives in archives")
            self._note(position, path, result.size_bytes, fault)
        else:
            self._read([(1, result.path)], position, path, depth + 1, is_last=True)

    def _note(self, position: Position, path: str, size_bytes: int, fault: Fault | None, sha256: str = "") -> None:
        row = MemberRecord(
            archive=self._source.name,
            archive_sha256=self._source.sha256,
            member_path=path,
            size_bytes=size_bytes,
            sha256="" if fault else sha256,
            status=_status(fault),
            reason=fault.reason if fault else None,
            detail=fault.detail if fault else "",
            modified=self._source.modified,
        )
        self._rows.append((position, row))

    @contextlib.contextmanager
    def _land(self, member: Member) -> Iterator[Landing]:
        with self._staging.staging() as path, landing(member, path, self._taste.by_head) as target:
            yield target


def _status(fault: Fault | None) -> Status:
    if fault is None:
        return Status.OK
    return Status.SKIPPED if fault.reason in _DELIBERATE else Status.FAILED


def _archive_faults(headers: Headers, *, is_last: bool) -> Iterator[Fault]:
    if headers.foreign:
        yield Fault(Reason.UNSUPPORTED_FORMAT, "is not a RAR archive, or older than RAR 1.5")
    if headers.locked:
        yield Fault(Reason.WRONG_PASSWORD, "its headers are encrypted and no password opens them")
    if headers.beyond_limit:
        yield Fault(Reason.TOO_MANY_MEMBERS, f"all after the first {len(headers.members)} members are left out")
    if headers.late:
        yield Fault(Reason.TIME_LIMIT, OUT_OF_TIME)
    if headers.fault:
        yield Fault(Reason.DAMAGED_ARCHIVE, headers.fault)
    if headers.expects_more and is_last and not (headers.fault or headers.beyond_limit or headers.late):
        yield Fault(Reason.MISSING_VOLUME, "the set goes on after its last volume")


def _paths(members: Sequence[Member], container: str) -> dict[int, str]:
    """Return a safe path of its own for each member that is no folder, by index."""
    taken = TakenPaths()
    prefix = f"{container}/" if container else ""
    return {member.index: prefix + taken.claim(member.name) for member in members if not member.is_folder}


def _runs(volumes: Sequence[tuple[int, Path]]) -> list[Run]:
    """Cut volumes where one is missing between them."""
    runs: list[Run] = []
    for number, path in volumes:
        if runs and runs[-1][-1][0] == number - 1:
            runs[-1].append((number, path))
        else:
            runs.append([(number, path)])
    return runs


@contextlib.contextmanager
def _linked(run: Run) -> Iterator[list[Path]]:
    """Give volumes names by which programs find the next one, whether the set is numbered the new or the old way."""
    with tempfile.TemporaryDirectory(prefix="pagemill-") as folder:
        links = []
        for number, path in run:
            links.append(Path(folder, sibling_name(_NEW_WAY, number)))
            links[-1].symlink_to(path.absolute())
            if number > 1 and number - 2 < _OLD_WAY_MOST:
                Path(folder, sibling_name(_OLD_WAY, number)).symlink_to(path.absolute())
        yield links
