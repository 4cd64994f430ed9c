"""Runs a compiled pipeline as `pagemill.cloud.local` does, but forks its tasks, so that none imports all anew.

Most of a short task's time goes into that. Of each pipeline one run or more has tasks that start from nothing.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pagemill.cloud import local

ROOT = Path(__file__).parents[1]
IMPORTS_OF_TASKS = {  # by pipeline, what many of its tasks import
    "book-dataset": (
        *("kfp.dsl.executor_main", "pagemill.archives", "pagemill.pages.inspect", "pagemill.ocr"),
        *("pagemill.text", "pagemill.dataset", "pagemill.report"),
    ),
    "deck-review": (
        *("kfp.dsl.executor_main", "pagemill.decks.batch.collecting", "pagemill.decks.batch.reporting"),
        *("pagemill.decks.batch.running", "pagemill.decks.models.chat", "pagemill.templates"),
    ),
}
IMPORTS_OF_READING = "pagemill.ocr.nougat.decoding"  # with torch: worth it where several tasks read pages
FORKED = multiprocessing.get_context("forkserver")  # by a process that does nothing else; a run's own has threads


def warm_program(pipeline: str, *more: str) -> str:
    """Return what stands in for `pagemill.cloud.local.PROGRAM`; `more` is imported beside what many tasks import."""
    return _calling("execute", *IMPORTS_OF_TASKS[pipeline], *more)


def warm_pagemill(*more: str) -> tuple[str, ...]:
    """Return the command that is `pagemill`, but that the tasks of its runs are warm."""
    return sys.executable, "-c", _calling("main", *more)


def _calling(function: str, *arguments: str) -> str:
    return (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests import warm_tasks; warm_tasks.{function}{arguments}"
    )


def main(*more: str) -> None:
    """Be the command `pagemill run`, with warm tasks."""
    from pagemill import cli

    local.PROGRAM = warm_program(sys.argv[2], *more)
    cli.main()


def execute(*imports: str) -> None:
    """Run the pipeline that the process's argument describes."""
    from kfp.local import subprocess_task_handler

    FORKED.set_forkserver_preload(list(imports))
    subprocess_task_handler.run_local_subprocess = run_forked
    local.execute()


def run_forked(full_command: list[str], env_vars: Mapping[str, str] | None = None) -> int:
    """Run a task's command, which is a shell, its program, the component's source and the executor's arguments."""
    _, _, _, source, *arguments = full_command
    task = FORKED.Process(target=run_task, args=(source, arguments, env_vars or {}))
    sys.stdout.flush()
    task.start()
    task.join()
    return task.exitcode or 0


def run_task(source: str, arguments: list[str], variables: Mapping[str, str]) -> None:
    """Be the process of a task."""
    from kfp.dsl.executor_main import executor_main

    os.environ.update(variables)
    with tempfile.TemporaryDirectory() as folder:
        component = Path(folder) / "ephemeral_component.py"
        component.write_text(source)
        sys.argv = ["executor_main", "--component_module_path", str(component), *arguments]
        executor_main()
