"""Each pipeline compiled once for each preset, as a template that could be submitted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pagemill.cloud.compiled import template_for
from pagemill.presets import PRESETS
from pagemill.settings import ImageSettings


def documents_of(path: Path) -> list[dict[str, Any]]:
    """Read a compiled pipeline: its specification, and what only Kubernetes needs to know if there is any."""
    return list(yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@pytest.fixture(scope="session")
def templates(tmp_path_factory) -> dict[str, Path]:
    """The template of book-dataset by preset."""
    folder = tmp_path_factory.mktemp("templates")
    return {
        name: template_for("book-dataset", preset, "worker", ImageSettings(), folder / name)
        for name, preset in PRESETS.items()
    }


@pytest.fixture(scope="session")
def documents(templates) -> dict[str, list[dict[str, Any]]]:
    """The documents of book-dataset by preset."""
    return {name: documents_of(path) for name, path in templates.items()}
