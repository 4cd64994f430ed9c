"""Who may import whom: the library knows no orchestrator, its rooms keep apart, and the command starts light."""

import ast
import functools
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("archives", "pages", "ocr", "text", "dataset", "decks")
FOUNDATION = (
    "children",
    "documents",
    "download",
    "errors",
    "google_apis",
    "language",
    "ledger",
    "manifest",
    "progress",
    "records",
    "secrets",
    "storage",
    "templates",
    "waiting",
)
NEIGHBOURS = {
    "ocr": {"pages"},  # pages are rendered for the engine by the code that inspected them
    "decks": {"pages", "ocr", "archives"},  # slides are pages, read by RapidOCR if need be; decks are found as archives
}
ORCHESTRATORS = ("dbos", "fastapi", "google.cloud", "kfp", "typer")
HEAVY = (
    "dbos",
    "fastapi",
    "google.api_core",
    "google.cloud.aiplatform",
    "httpx",
    "kfp",
    "matplotlib",
    "nougat",
    "openai",
    "pandas",
    "sqlalchemy",
    "torch",
    "transformers",
)


class Import(NamedTuple):
    """An import statement: of which module, where, and whether it runs when its file is imported."""

    module: str
    place: str
    at_top: bool


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below folders of the repository, each once although some are linked to."""
    return sorted({path.resolve() for folder in folders for path in (ROOT / folder).rglob("*.py")})


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import in a file, those in functions too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, place, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place}: a relative import"
            whole = node.module == "pagemill"
            names = {f"pagemill.{alias.name}" if whole else str(node.module) for alias in node.names}
            yield from (Import(name, place, node in tree.body) for name in names)


def part_of(module: str) -> str:
    """Return which part of the project a module belongs to; "" for other people's and for `pagemill` itself."""
    package, _, rest = module.partition(".")
    name = rest.split(".")[0]
    return name if package == "pagemill" and name != "__version__" else ""


def files_by_part() -> dict[str, list[Path]]:
    """Return the project's files by part: a folder or a file of the library, components or pipelines."""
    parts: dict[str, list[Path]] = {}
    for path in python_files("pagemill", "components", "pipelines"):
        names = path.relative_to(ROOT).parts
        part = names[0] if names[0] != "pagemill" else names[1].removesuffix(".py")
        parts.setdefault(part, []).append(path)
    del parts["__init__"]
    return parts


BY_PART = files_by_part()


@functools.cache
def imports_of_part(part: str) -> list[Import]:
    return [each for path in BY_PART.get(part, []) for each in imports_of(path)]


@pytest.mark.parametrize("part", ROOMS + FOUNDATION)
def test_the_library_knows_no_orchestrator(part: str) -> None:
    orchestrators = tuple(f"{each}." for each in ORCHESTRATORS)
    assert [each for each in imports_of_part(part) if f"{each.module}.".startswith(orchestrators)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_itself_and_the_foundation(room: str) -> None:
    allowed = {"", room, *FOUNDATION, *NEIGHBOURS.get(room, ())}
    assert [each for each in imports_of_part(room) if part_of(each.module) not in allowed] == []


@pytest.mark.parametrize("part", FOUNDATION)
def test_the_foundation_stands_on_itself(part: str) -> None:
    assert [each for each in imports_of_part(part) if part_of(each.module) not in {"", *FOUNDATION}] == []


def test_components_reach_the_library_inside_their_bodies() -> None:
    reached = [each for each in imports_of_part("components") if part_of(each.module) not in {"", "components"}]
    assert reached
    assert [each for each in reached if each.at_top] == []
    assert [each for each in reached if part_of(each.module) in {"cli", "cloud", "pipelines"}] == []


def test_pipelines_are_made_of_components_for_a_preset() -> None:
    reached = [each for each in imports_of_part("pipelines") if part_of(each.module) not in {"", "pipelines"}]
    assert {part_of(each.module) for each in reached} == {"components", "presets", "errors", "decks"}


@pytest.mark.parametrize(("package", "part"), [("dbos", "flow"), ("fastapi", "reviews")])
def test_one_part_alone_knows_a_framework(package: str, part: str) -> None:
    assert {
        each for each in BY_PART if any(f"{it.module}.".startswith(f"{package}.") for it in imports_of_part(each))
    } == {part}


def test_nobody_imports_the_command() -> None:
    everything = [each for part in BY_PART for each in imports_of_part(part)]
    assert [each for each in everything if part_of(each.module) == "cli"] == []


def test_the_parts_stand_in_an_order() -> None:
    graph = {part: {part_of(each.module) for each in imports_of_part(part)} - {"", part} for part in BY_PART}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("storage") < order.index("dataset") < order.index("components") < order.index("pipelines")


def test_every_file_opens_by_saying_in_one_line_what_it_is_for() -> None:
    files = python_files("pagemill", "components", "pipelines", "tests")
    assert {str(path): fault for path in files if (fault := fault_of_opening(path.read_text()))} == {}


def fault_of_opening(text: str) -> str:
    """Return what is wrong with how a file begins; "" for nothing."""
    docstring = ast.get_docstring(ast.parse(text), clean=False)
    if not docstring:
        return "no docstring"
    purpose, *rest = docstring.split("\n")
    if not purpose.endswith("."):
        return "the sentence goes on in the next line"
    return "more than a sentence comes after an empty line" if rest and rest[0] else ""


def loaded_by(code: str) -> list[str]:
    """Run code in a new interpreter and return which heavy packages it loaded."""
    ask = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", f"{code}\n{ask}"], capture_output=True, text=True, check=True)
    return list(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module", ["pagemill", *(f"pagemill.{part}" for part in (*ROOMS, "flow", "reviews", "cli") if part in BY_PART)]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") == []


def test_help_loads_nothing_heavy() -> None:
    ask_all = """
import typer
from pagemill.cli import app
command = typer.main.get_command(app)
for words in ([], *([name] for name in command.commands), *(
    [name, inner] for name, group in command.commands.items() for inner in getattr(group, "commands", {})
)):
    try:
        app([*words, "--help"])
    except SystemExit as ended:
        assert ended.code == 0, words
"""
    assert loaded_by(ask_all) == []


def test_help_loads_nothing_heavy_as_a_process() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pagemill.cli", "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert "pagemill" in {name.split(".")[0] for name in loaded}
    assert loaded.isdisjoint(HEAVY)
