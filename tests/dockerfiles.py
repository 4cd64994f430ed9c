"""Reads Dockerfiles, and runs the steps of one in a folder that stands for the image's root: no engine is needed.

All stages share that root, so COPY --from has nothing to do; steps that change the system itself (apt-get, users) are
left out, and so is the base: what the steps find is this machine's.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

OF_THE_SYSTEM = ("apt-get ", "groupadd ")
_MOVED = re.compile(r"(?<![\w.-])/(?=(?:locks|models|opt|smoke\w*\.py|source|tmp|wheel)\b)")
_NAMED = re.compile(r"\$\{(\w+)\}")
_MOUNT = re.compile(r"--mount=(\S+)\s+")


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    name: str  # RUN, COPY, ...
    value: str  # continued lines joined


def steps_of(dockerfile: Path) -> list[Step]:
    """Return the instructions of a Dockerfile, without comments."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def values_of(steps: list[Step], name: str) -> dict[str, str]:
    """Return what all ENV, ARG or LABEL instructions set; an argument without a default is not among it."""
    words = (word for step in steps if step.name == name for word in shlex.split(step.value) if "=" in word)
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def last_stage(steps: list[Step]) -> list[Step]:
    """Return the instructions from the last FROM on."""
    return steps[max(index for index, step in enumerate(steps) if step.name == "FROM") :]


def context_of(repository: Path, target: Path) -> Path:
    """Copy what .dockerignore lets into a build, and return the copy."""
    lines = (repository / ".dockerignore").read_text().splitlines()
    ignored = shutil.ignore_patterns(*(line.removeprefix("**/") for line in lines if line.startswith("**/")))
    target.mkdir()
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, target / name)
    return target


def run_steps(steps: list[Step], context: Path, root: Path, environment: dict[str, str]) -> dict[str, str]:
    """Run the steps of a Dockerfile, and return the environment that the last stage leaves.

    Args:
        steps: What is run.
        context: Where COPY and mounts take files from.
        root: A folder for `/`, in every path of the steps.
        environment: What beats the ENV of the Dockerfile.
    """
    (root / "tmp").mkdir(parents=True)
    variables = dict(os.environ)
    first = next(index for index, step in enumerate(steps) if step.name == "FROM")
    of_all_stages = values_of(steps[:first], "ARG")
    for step in steps[first:]:
        if step.name == "FROM":
            variables = os.environ | environment
        elif step.name == "ARG" and step.value in of_all_stages:
            variables[step.value] = of_all_stages[step.value]
        elif step.name in ("ARG", "ENV"):
            values = {key: _filled(value, variables) for key, value in values_of([step], step.name).items()}
            variables |= {key: _moved(value, root) for key, value in values.items()} | environment
        elif step.name == "COPY" and not step.value.startswith("--from="):
            *sources, target = step.value.split()
            for source in sources:
                _copy(context / source, _moved(target, root))
        elif step.name == "RUN" and not step.value.startswith(OF_THE_SYSTEM):
            _run(step.value, context, root, variables)
    return variables


def _filled(value: str, variables: dict[str, str]) -> str:
    return _NAMED.sub(lambda name: variables[name[1]], value)


def _run(command: str, context: Path, root: Path, variables: dict[str, str]) -> None:
    for mount in _MOUNT.findall(command):
        options = dict(each.partition("=")[::2] for each in mount.split(","))
        if options["type"] == "bind" and "from" not in options:
            _copy(context / options["source"], _moved(options["target"], root))
    line = _moved(_MOUNT.sub("", command), root)
    done = subprocess.run(["sh", "-ec", line], cwd=root / "tmp", env=variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def _copy(source: Path, target: str) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
        return
    folder = Path(target) if target.endswith("/") else Path(target).parent
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _moved(text: str, root: Path) -> str:
    return _MOVED.sub(f"{root}/", text)
