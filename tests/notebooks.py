"""Executes the notebooks, with all clouds on this machine; `make notebooks` writes what they show into them."""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.clouds import running_clouds

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SHOWN = {"text/plain", "text/html", "image/png"}
OF_A_RUN = {r"\d{14}-[0-9a-f]{6}": "20260101000000-000000", r"127\.0\.0\.1:\d+": "127.0.0.1:8080"}


def execute(name: str, folder: Path, *, before: str = "") -> Any:
    """Run a notebook and return it with its outputs.

    Args:
        name: Of the notebook.
        folder: Stands for the project; what an earlier notebook left in it is there for the next.
        before: Code that is run before the notebook's first cell.
    """
    (folder / "notebooks").mkdir(exist_ok=True)
    if not (folder / "demo").exists():
        (folder / "demo").symlink_to(ROOT / "demo")
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    if before:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder / "notebooks")}})
    return client.execute()


def tidied(notebook: Any) -> Any:
    """Return a notebook as it is committed: outputs without times, numbers of runs and pictures twice."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        for output in cell.outputs:
            if "data" in output:
                output.data = {kind: data for kind, data in output.data.items() if kind in SHOWN}
            for part in (output, output.get("data", {})):
                for key in ("text", "text/plain", "text/html"):
                    if key in part:
                        part[key] = _settled(part[key])
    return notebook


def _settled(text: str) -> str:
    for pattern, instead in OF_A_RUN.items():
        text = re.sub(pattern, instead, text)
    return text


def main() -> None:
    """Execute all notebooks and write their outputs."""
    with tempfile.TemporaryDirectory() as folder, running_clouds():
        for name in NAMES:
            nbformat.write(tidied(execute(name, Path(folder))), ROOT / "notebooks" / f"{name}.ipynb")
            sys.stdout.write(f"notebooks/{name}.ipynb\n")


if __name__ == "__main__":
    main()
