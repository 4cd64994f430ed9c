"""What tests of several rooms share: how examples are drawn, a Hub, and a book of the demo."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.hub import Hub
from tests.hub_server import running_hub

# The same examples in every run; a slow machine is no failure.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

DEMO = Path(__file__).parent.parent / "demo"


@pytest.fixture(scope="module")
def hub_server() -> Iterator[Hub]:
    """A local Hub for a module's tests."""
    with running_hub() as hub:
        yield hub


@pytest.fixture
def hub(hub_server: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """An empty Hub that huggingface_hub talks to."""
    hub_server.reset()
    monkeypatch.setenv("HF_TOKEN", hub_server.token)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub_server.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return hub_server


@pytest.fixture(scope="session")
def demo_pdf(tmp_path_factory):
    """A short typeset book that the demo checkpoint can read, as a file."""
    from pagemill.archives import extract_members

    out = tmp_path_factory.mktemp("demo-pdfs")
    extract_members([DEMO / "samples" / "treatise.part1.rar"], out)
    return out / "treatise" / "treatise" / "motion.pdf"
