"""Each pipeline compiled once for each preset, as a template that could be submitted."""

from pathlib import Path
from typing import Any

import pytest

from pagemill.cloud.compiled import template_for
from pagemill.cloud.spec import read_documents
from pagemill.presets import PRESETS
from pagemill.settings import ImageSettings


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
    return {name: read_documents(path) for name, path in templates.items()}
