"""Each image's environment is built from its lock by its Dockerfile's own steps, and works on a sample.

They are installed from the package index, so this stands apart from the other tests: `make test` builds that of
`pipeline` after them, `make test-images` all.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dockerfiles import context_of, run_steps, steps_of

ROOT = Path(__file__).parents[1]

DONE = {  # what the smoke test says at its end
    "pipeline": "3 chunks of secret.rar",
    "nougat": "3 chunks of secret.rar",
    "vision": "check review",
    "text": "check review",
}
# The Python is this machine's; files are linked to, not copied; what is imported is compiled once, the rest never.
HERE = {
    "UV_PYTHON_PREFERENCE": "only-system",
    "UV_LINK_MODE": "hardlink",
    "UV_COMPILE_BYTECODE": "0",
    "PYTHONDONTWRITEBYTECODE": "",
}


@pytest.mark.timeout(1200)  # the larger one begins with gigabytes to fetch
@pytest.mark.parametrize("image", DONE)
def test_what_the_steps_of_a_dockerfile_build_does_the_work_of_its_image(image, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # for uv
    context, root = context_of(ROOT, tmp_path / "context"), tmp_path / "root"
    variables = run_steps(steps_of(ROOT / "containers" / image / "Dockerfile"), context, root, HERE)

    options = ["--demo", ROOT / "demo", "--server", root / "opt/pagemill"]
    smoke = [root / "opt/venv/bin/python", root / "smoke.py", image, *options]
    done = subprocess.run(smoke, cwd=root / "tmp", env=variables, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    assert f"{image}: {DONE[image]}" in done.stdout
