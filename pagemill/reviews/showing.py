"""How the commands show reviews: a row of progress each, and tables of pipelines, tasks and servers."""

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from pagemill.flow.reading import PipelineStatus, TaskStatus
from pagemill.flow.servers import ServerStatus
from pagemill.flow.states import TaskState

UNDER_WAY = (TaskState.WARMING, TaskState.RUNNING, TaskState.RETRYING)
SHORT_ID = 8  # as much of an id as people read
ROUGHLY = 10.0  # percent; a log has a line whenever so much more is done


@contextlib.contextmanager
def shown_progress(console: Console) -> Iterator[Callable[[Sequence[PipelineStatus]], None]]:
    """Give a function that shows how pipelines stand: in place on a terminal, else in a line when that has changed."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[left]:>8}"),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    with Progress(*columns, console=console) as display:
        rows: dict[str, TaskID] = {}

        def show(found: Sequence[PipelineStatus]) -> None:
            for each in found:
                if each.id not in rows:
                    rows[each.id] = display.add_task(title_of(each), total=100, left="", doing="")
                display.update(rows[each.id], completed=each.progress, left=left(each), doing=doing(each))

        yield show


class _Lines:
    """Says in a line that a pipeline has come further."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[int, str]] = {}

    def __call__(self, found: Sequence[PipelineStatus]) -> None:
        for each in found:
            standing = int(each.progress / ROUGHLY), _states(each)
            if self._said.get(each.id) != standing:
                self._said[each.id] = standing
                told = f"{title_of(each)}: {each.progress:.0f} %, {doing(each)} {left(each)}"
                self._console.print(Text(told.strip()), soft_wrap=True)


def title_of(status: PipelineStatus) -> str:
    """Return what people call a pipeline."""
    return f"{Path(status.document_name).stem or 'deck'} {status.id[:SHORT_ID]}"


def doing(status: PipelineStatus) -> str:
    """Say what is done for a pipeline now, or how it ended."""
    if status.is_over:
        return str(status.state)
    return ", ".join(_doing(task) for task in status.tasks if task.state in UNDER_WAY) or "waiting"


def left(status: PipelineStatus) -> str:
    """Say how long a pipeline will take, where that can be told."""
    if status.is_over or status.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(status.seconds_left), 60)
    return f"{minutes}:{seconds:02} left"


def pipeline_row(status: PipelineStatus, *, whole_id: bool = False) -> dict[str, Any]:
    """Return a pipeline as a row of a table."""
    return {
        "review": status.id if whole_id else status.id[:SHORT_ID],
        "deck": status.document_name,
        "state": status.state,
        "done": f"{status.progress:.0f} %",
        "doing": "" if status.is_over else doing(status),
        "left": left(status),
        "added": _time(status.created_at),
    }


def task_row(task: TaskStatus) -> dict[str, Any]:
    """Return a task as a row of a table."""
    end = task.finished_at or datetime.datetime.now(datetime.UTC)
    return {
        "task": task.name,
        "state": task.state,
        "done": f"{task.share:.0%}",
        "seconds": f"{(end - task.started_at).total_seconds():.1f}" if task.started_at else "",
        "failures": task.failures or "",
        "reason": task.reason,
    }


def server_row(status: ServerStatus) -> dict[str, Any]:
    """Return a server as a row of a table."""
    return {
        "server": status.server.id,
        "type": status.server.server_type,
        "state": "suspected" if status.is_suspected else status.status,
        "tasks": ", ".join(f"{each.name} of {each.pipeline_id[:SHORT_ID]}" for each in status.tasks),
        "models": ", ".join(sorted(set(status.server.models.values()))),
        "url": status.server.url,
    }


def _doing(task: TaskStatus) -> str:
    name = task.name.removeprefix("specialized_").replace("_", " ")
    if task.state is TaskState.RUNNING:
        return f"{name} {task.share:.0%}"
    return f"{name} {task.state}" + (f" ({task.reason})" if task.reason else "")


def _states(status: PipelineStatus) -> str:
    return " ".join(task.state for task in status.tasks)


def _time(moment: datetime.datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
