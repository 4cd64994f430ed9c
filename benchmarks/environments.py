"""Environments of the peers that benchmarks measure against: pinned packages in a folder of their own below `out/`."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENTS = Path(__file__).parents[1] / "out" / "bench-env"
UV = Path(sys.executable).with_name("uv")


def python_with(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment that holds these packages; make it if it is not as it should be."""
    folder = ENVIRONMENTS / name
    python, ready = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(requirements)
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *requirements], check=True)
        ready.write_text(wanted)
    return python
