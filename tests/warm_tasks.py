"""Runs a compiled pipeline as `pagemill.cloud.local` does, but forks its tasks, so that none imports all anew.

Most of a short task's time goes into that. Runs in tests/e2e have tasks that start from nothing.
"""

import contextlib
import logging
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from kfp.dsl.executor_main import executor_main
from kfp.local import subprocess_task_handler

import pagemill.decks.batch.reporting
import pagemill.decks.batch.running
import pagemill.decks.models.chat
import pagemill.templates  # noqa: F401  # these four are what tasks import
from pagemill.cloud import local


def execute() -> None:
    """Run the pipeline that the process's argument describes."""
    subprocess_task_handler.run_local_subprocess = run_forked
    local.execute()


def run_forked(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
    """Run a task's command, which is a shell, its program, the component's source and the executor's arguments."""
    _, _, _, source, *arguments = full_command
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.environ.update(env_vars or {})
        run_task(source, arguments)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_task(source: str, arguments: list[str]) -> NoReturn:
    """Be the process of a task."""
    code = 1
    sys.stdout = sys.__stdout__
    logging.root.handlers.clear()
    with contextlib.suppress(BaseException), tempfile.TemporaryDirectory() as folder:
        component = Path(folder) / "ephemeral_component.py"
        component.write_text(source)
        sys.argv = ["executor_main", "--component_module_path", str(component), *arguments]
        try:
            executor_main()
            code = 0
        except BaseException:
            traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
