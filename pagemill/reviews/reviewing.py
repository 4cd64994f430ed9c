"""What the commands do with a desk: hand decks in, have them carried out, wait, write reports, find pipelines."""

import contextlib
import dataclasses
import datetime
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from pagemill.decks.report import markdown, write_markdown, write_report
from pagemill.decks.tasks import Parameters
from pagemill.errors import UserError
from pagemill.flow.database import Database
from pagemill.flow.queue import HEARTBEAT_TIMEOUT_SECONDS, Queue
from pagemill.flow.reading import PipelineStatus
from pagemill.flow.servers import ALIVE, BACKEND
from pagemill.flow.states import PipelineState
from pagemill.reviews.backend.desk import DATABASE_FILE, Desk, database_url, open_desk
from pagemill.reviews.embedded import Embedded, Occupied
from pagemill.reviews.showing import SHORT_ID
from pagemill.reviews.wire import ErrorKind
from pagemill.settings import DecksSettings
from pagemill.storage import open_store

POLL_SECONDS = 0.5
DATABASE_PATIENCE_SECONDS = 5.0
ALL = 1_000_000
WITH_RESULT = (PipelineState.DONE, PipelineState.PARTIAL)
FORMATS = ("html", "md", "json")
MISPLACED = {errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS}
PLACE_MEND = "look who may write there, or name another place"

Show = Callable[[Sequence[PipelineStatus]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class HandedIn:
    """The pipelines of the decks that were taken, and what was wrong with the others."""

    pipelines: tuple[str, ...]
    mistakes: tuple[UserError, ...]


@contextlib.contextmanager
def desk_of(settings: DecksSettings, *, new: bool = False) -> Iterator[Desk]:
    """Give a desk that carries nothing out.

    Args:
        settings: Store and database.
        new: Make store and queue if there are none yet.

    Raises:
        UserError: They are not there, or cannot be reached.
    """
    if not new and not settings.database.get_secret_value():
        store = open_store(settings.store)
        if store.is_local and not (Path(store.root) / DATABASE_FILE).is_file():
            raise UserError(settings.store, "holds no reviews", "name the store or the database of some")
    url = database_url(settings)
    try:
        _reach(url)
        desk = open_desk(settings)
    except (sa.exc.DBAPIError, sa.exc.ArgumentError, OSError) as error:
        raise _unreachable(settings, error) from None
    try:
        yield desk
    except sa.exc.OperationalError as error:
        raise _unreachable(settings, error) from None
    except OSError as error:
        if error.errno not in MISPLACED:
            raise
        raise UserError(str(error.filename), f"is out of reach ({error.strerror})", PLACE_MEND) from None
    finally:
        desk.close()


def _reach(url: str) -> None:
    """Find out soon whether a database is there: a queue would wait for it."""
    database = Database(url, DATABASE_PATIENCE_SECONDS)
    try:
        database.read(lambda connection: connection.execute(sa.select(1)).scalar())
    finally:
        database.close()


def _unreachable(settings: DecksSettings, error: Exception) -> UserError:
    """Say in a line why a database is out of reach, without its URL, which may hold a password."""
    named = bool(settings.database.get_secret_value())
    told = getattr(error, "orig", None) or getattr(error, "strerror", None) or type(error).__name__
    reason = str(told).strip().split("\n")[0]
    mend = "look at decks.database and at the server" if named else "look at the folder, and whether its disk is full"
    return UserError("decks.database" if named else settings.store, f"cannot be reached ({reason})", mend)


def hand_in(desk: Desk, decks: Sequence[Path], parameters: Parameters, priority: int) -> HandedIn:
    """Hand decks in; one that is none costs itself alone."""
    pipelines: dict[str, None] = {}
    mistakes = []
    for path in decks:
        try:
            pipelines[desk.add_document_processing_pipeline(path, parameters, priority=priority)] = None
        except UserError as mistake:
            mistakes.append(mistake)
    return HandedIn(tuple(pipelines), tuple(mistakes))


def carry_out(
    desk: Desk, pipelines: Sequence[str], settings: DecksSettings, show: Show, begin: Callable[[Embedded], None]
) -> list[PipelineStatus]:
    """Wait until pipelines are over; whenever no backend is there to carry them out, this process does.

    Args:
        desk: Where they were handed in.
        pipelines: By id.
        settings: For this process.
        show: Told again and again how they stand.
        begin: Told when this process begins to carry out.

    Raises:
        UserError: This process cannot carry out.
    """
    backends = Backends(desk.queue)
    embedded: Embedded | None = None
    with contextlib.ExitStack() as stack:
        while True:
            found = [desk.status(each) for each in pipelines]
            show(found)
            if all(each.is_over for each in found):
                return found
            if embedded is not None:
                embedded.check()
            elif not backends.live():
                embedded = _begun(stack, settings, begin)
            time.sleep(POLL_SECONDS)


def _begun(stack: contextlib.ExitStack, settings: DecksSettings, begin: Callable[[Embedded], None]) -> Embedded | None:
    """Carry out in this process from now on, unless another one of this machine is about to."""
    embedded = Embedded(settings)
    try:
        stack.enter_context(embedded)
    except Occupied:
        return None
    begin(embedded)
    return embedded


class Backends:
    """Whether somebody carries out what is in a queue: a heartbeat that does not move is of a process that is gone."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._heard: dict[str, tuple[datetime.datetime, float]] = {}  # by id: the heartbeat, and when it was new here

    def live(self) -> bool:
        """Whether there is a backend; one that was just seen for the first time counts, for a while."""
        now = time.monotonic()
        there = {
            each.server.id: each.last_heartbeat
            for each in self._queue.servers()
            if each.server.server_type == BACKEND and each.status in ALIVE
        }
        for name, beat in there.items():
            if self._heard.get(name, (None,))[0] != beat:
                self._heard[name] = beat, now
        return any(now - self._heard[name][1] < HEARTBEAT_TIMEOUT_SECONDS for name in there)


def find_pipeline(desk: Desk, prefix: str) -> str:
    """Return the id that begins so.

    Raises:
        UserError: There is none, or more than one.
    """
    found = [each for each in desk.queue.latest(ALL) if each.startswith(prefix.lower())]
    if prefix and len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"review {prefix}", f"{len(found)} begin so", "give more of the id")
    raise UserError(f"review {prefix}", "is not known here", "`pagemill decks status` lists those that are")


def was_refused(desk: Desk, status: PipelineStatus) -> bool:
    """Whether a pipeline failed because its deck cannot be reviewed."""
    if status.state is not PipelineState.FAILED:
        return False
    return any(event.detail.get("error") == ErrorKind.REFUSED for event in desk.queue.events(status.id))


def shortcoming(desk: Desk, status: PipelineStatus, again: str) -> str:
    """Say in a line why a pipeline that is over is not done, and what mends that; "" if it is done.

    Args:
        desk: Where it was handed in.
        status: Its own.
        again: The command, with its options, that queues anew what failed.
    """
    if status.state is PipelineState.DONE:
        return ""
    name = status.document_name
    why = "; ".join(dict.fromkeys(task.reason for task in status.tasks if task.state == "failed" and task.reason))
    if was_refused(desk, status):
        return f"{name}: {why.removeprefix(f'{name}: ')}"
    told = f"{status.state} ({why})" if why else status.state
    return f"{name}: {told}; `pagemill decks {again} {status.id[:SHORT_ID]}`, then this command again, does the rest"


def write_reports(desk: Desk, status: PipelineStatus, out: Path) -> list[Path]:
    """Write a review in all formats; returns the files."""
    stem = out / f"{Path(status.document_name or 'deck').stem}-{status.id[:SHORT_ID]}"
    return [write_result(desk, status.id, Path(f"{stem}.{each}"), each) for each in FORMATS]


def write_result(desk: Desk, pipeline_id: str, out: Path, kind: str) -> Path:
    """Write what is known of a pipeline's deck, as html, md or json; returns `out`."""
    review = desk.review(pipeline_id)
    if kind == "html":
        return write_report(review, desk.store, out)
    if kind == "md":
        return write_markdown(review, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(review.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return out


def result_text(desk: Desk, pipeline_id: str, kind: str) -> str:
    """Return what is known of a pipeline's deck as text, md or json."""
    review = desk.review(pipeline_id)
    return markdown(review) if kind == "md" else review.model_dump_json(indent=1) + "\n"
