"""Reading members out of an archive: in one pass where that works, one by one and by other programs where not."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pagemill.archives.backends import BACKENDS, Backend, Request, sevenzip, sevenzip_all
from pagemill.archives.backends.process import PIPE_BYTES, Deadline, Running, running
from pagemill.archives.checksums import Encryption
from pagemill.archives.content import Content, Fault, Kind, Landing
from pagemill.archives.headers import Headers, Member
from pagemill.archives.passwords import Passwords
from pagemill.records import Reason

Result = Content | Fault
Land = Callable[[Member], AbstractContextManager[Landing]]

OUT_OF_TIME = "the archive took longer than its time limit"

_MOST_PASSES = 5
_SOLID_PATIENCE = 3  # members that fail one after another before the rest of a solid archive is given up


class ArchiveReader:
    """Reads the members of a run of volumes; every result is checked against the member's header."""

    def __init__(
        self, archive: Path, headers: Headers, passwords: Passwords, deadline: Deadline, land: Land, *, from_start: bool
    ) -> None:
        self._archive, self._headers, self._deadline, self._land = archive, headers, deadline, land
        self._passwords = list(passwords)
        self._from_start = from_start
        self._proven: set[str] = set()  # passwords under which some member came out right
        self._accepted = functools.cache(self._accepted_passwords)

    def read(self, members: Sequence[Member]) -> Iterator[tuple[Member, Result]]:
        """Yield each member with what came of it, in no certain order.

        The file of a Content lives until the next member is asked for.
        """
        packed = []
        for member in members:
            if self._deadline.passed:
                yield member, Fault(Reason.TIME_LIMIT, OUT_OF_TIME)
            elif not member.complete:
                yield member, Fault(Reason.MISSING_VOLUME, "a part of it lies in a volume that is missing")
            elif member.encryption is not None and not self._candidates(member):
                yield member, self._no_password()
            elif member.stored and member.encryption is None:
                yield from self._directly(member)
            else:
                packed.append(member)
        yield from self._read_packed(packed)

    def _read_packed(self, members: list[Member]) -> Iterator[tuple[Member, Result]]:
        self._left: list[Member] = []
        self._prove_password(members)
        if self._from_start and sevenzip() is not None:
            for password, group in self._by_password(members).items():
                yield from self._in_passes(group, password)
            members = self._left
        yield from self._one_by_one(members)

    def _by_password(self, members: list[Member]) -> dict[str, list[Member]]:
        """Group members by the password to try first; those that need none go along with any other."""
        groups: dict[str, list[Member]] = {}
        for member in members:
            if member.encryption is not None:
                groups.setdefault(self._candidates(member)[0], []).append(member)
        plain = [member for member in members if member.encryption is None]
        if plain:
            first = next(iter(groups), self._headers.password or "")
            groups[first] = sorted(groups.get(first, []) + plain, key=lambda member: member.index)
        return groups

    def _in_passes(self, members: list[Member], password: str) -> Iterator[tuple[Member, Result]]:
        """Unpack all members at once; again without the first that failed, as long as that helps.

        What fails for good is left in `_left`. A solid archive read member by member would be
        unpacked from its start for each of them.
        """
        for _ in range(_MOST_PASSES):
            failed = []
            for member, result in self._pass(members, password):
                if isinstance(result, Content):
                    self._proven.add(password)
                    yield member, result
                else:
                    failed.append(member)
            self._left += failed[:1]
            if len(failed) <= 1 or len(failed) == len(members):
                self._left += failed[1:]
                return
            members = failed[1:]
        self._left += members

    def _pass(self, members: list[Member], password: str) -> Iterator[tuple[Member, Result]]:
        """Unpack members with one process and cut its output by the sizes in the headers."""
        program = sevenzip()
        assert program is not None
        listable = [member for member in members if _is_listable(member.name)]
        yield from ((member, Fault(Reason.DAMAGED_MEMBER)) for member in members if not _is_listable(member.name))
        everything = [member for member in self._headers.members if not member.is_folder]
        with (
            _name_file(listable if listable != everything else None) as names,
            running(sevenzip_all(program, self._archive, names), password, self._deadline) as process,
        ):
            for member in listable:
                with self._land(member) as target:
                    _pour(process, target, member.size_bytes)
                    yield member, target.finish(password)

    def _one_by_one(self, members: list[Member]) -> Iterator[tuple[Member, Result]]:
        failures = 0
        for member in sorted(members, key=lambda each: each.index):
            if self._headers.solid and failures >= _SOLID_PATIENCE:
                yield member, Fault(Reason.DAMAGED_MEMBER, "follows damage in a solid archive")
                continue
            for result in self._by_any_backend(member):
                failures = 0 if isinstance(result, Content) else failures + 1
                yield member, result

    def _by_any_backend(self, member: Member) -> Iterator[Result]:
        """Yield the first good result of any backend and password, else the first fault; exactly one."""
        first: Fault | None = None
        for backend in BACKENDS:
            for password in self._candidates(member):
                for result in self._unpack(backend, member, password):
                    if isinstance(result, Content):
                        self._proven.add(password)
                        yield result
                        return
                    first = first or result
        yield self._final_fault(member, first)

    def _unpack(self, backend: Backend, member: Member, password: str) -> Iterator[Result]:
        """Yield what one backend makes of a member; nothing when it is not there or not meant for it."""
        program = backend.find()
        if program is None or self._deadline.passed or not (backend.reads_volumes or self._is_single):
            return
        archive = self._archive if self._from_start else member.parts[0].volume
        command = backend.command(program, Request(archive, member, password))
        with self._land(member) as target, running(command, password, self._deadline) as process:
            # Earlier members of the same name come out as well, before this one.
            _pour(process, None, self._namesakes_bytes(member) if backend.name == "7zz" else 0)
            _pour(process, target, member.size_bytes + 1)
            result = target.finish(password)
            if isinstance(result, Fault) and "unsupported method" in process.message().lower():
                result = Fault(Reason.UNSUPPORTED_FORMAT, f"{backend.name} does not know its method")
            yield result

    def _directly(self, member: Member) -> Iterator[tuple[Member, Result]]:
        """Copy a member that was stored as it is; one of no interest is left after its head."""
        with self._land(member) as target:
            for part in member.parts:
                if not _copy(part.volume, part.offset_bytes, part.size_bytes, target):
                    yield member, target.unread()
                    return
            yield member, target.finish("")

    def _prove_password(self, members: list[Member]) -> None:
        """Find the right password by unpacking the smallest member whose header does not tell."""
        silent = [each for each in members if each.encryption is not None and len(self._candidates(each)) > 1]
        if silent:
            smallest = min(silent, key=lambda member: member.packed_bytes)
            for _ in self._by_any_backend(smallest):
                pass

    def _candidates(self, member: Member) -> list[str]:
        """Return the passwords that may open a member, proven ones first; [""] when it needs none."""
        if member.encryption is None:
            return [self._headers.password or ""]
        accepted = self._accepted(member.encryption)
        return sorted(accepted, key=lambda password: password not in self._proven)

    def _accepted_passwords(self, encryption: Encryption) -> tuple[str, ...]:
        verdicts = {password: encryption.accepts(password) for password in self._passwords}
        return tuple(password for password, verdict in verdicts.items() if verdict is not False)

    def _final_fault(self, member: Member, fault: Fault | None) -> Fault:
        if self._deadline.passed:
            return Fault(Reason.TIME_LIMIT, OUT_OF_TIME)
        if member.encryption is not None and not any(map(self._proves, self._candidates(member))):
            return self._no_password()
        return fault or Fault(Reason.UNSUPPORTED_FORMAT, "no program here unpacks it")

    def _proves(self, password: str) -> bool:
        return password in self._proven or password == self._headers.password

    def _no_password(self) -> Fault:
        number = len(self._passwords)
        return Fault(Reason.WRONG_PASSWORD, f"none of {number} passwords opens it" if number else "needs a password")

    def _namesakes_bytes(self, member: Member) -> int:
        earlier = self._headers.members[: member.index]
        return sum(each.size_bytes for each in earlier if each.name == member.name and not each.is_link)

    @property
    def _is_single(self) -> bool:
        return len({part.volume for member in self._headers.members for part in member.parts}) == 1


def _pour(process: Running, target: Landing | None, size_bytes: int) -> None:
    """Let up to `size_bytes` of a process's output through to the target, or drop them."""
    while size_bytes and (chunk := process.read(size_bytes)):
        size_bytes -= len(chunk)
        if target is not None:
            target.take(chunk)


def _copy(volume: Path, offset_bytes: int, size_bytes: int, target: Landing) -> bool:
    """Copy a stretch of a file; say whether to go on, which is not so once the content is of no interest."""
    with volume.open("rb", buffering=0) as source:
        source.seek(offset_bytes)
        while size_bytes and (chunk := source.read(min(size_bytes, PIPE_BYTES))):
            size_bytes -= len(chunk)
            target.take(chunk)
            if target.kind is Kind.OTHER:
                return False
    return True


def _is_listable(name: str) -> bool:
    """Say whether a name can stand on a line of a list for 7zz, and mean itself there."""
    return name.isprintable() and name == name.strip() and not name.startswith('"')


@contextlib.contextmanager
def _name_file(members: list[Member] | None) -> Iterator[Path | None]:
    if members is None:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as stream:
        stream.writelines(f"{member.name}\n" for member in members)
        stream.flush()
        yield Path(stream.name)
