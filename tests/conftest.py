"""What tests of several rooms share: how examples are drawn, quick kfp, sleeps, a Hub, and a book of the demo."""

import gc
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

from tests.hub import Hub
from tests.hub_server import running_hub
from tests.sleeping import collect_sleeps

# The same examples in every run; a slow machine is no failure.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

DEMO = Path(__file__).parent.parent / "demo"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the garbage collector from what tests import, which is a lot, while that is imported and ever after."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def quick_kfp() -> Iterator[None]:
    """Gives kfp, which looks who called it, no more of the stack than that: all of it takes 50 ms in a worker of xdist.

    There each look at a frame without a file goes through all modules, and tests have imported 9,000.
    """

    def stack() -> list[tuple[str, ...]]:
        caller = sys._getframe(2)
        return [(), ("", "", "", caller.f_code.co_name)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfp.dsl.pipeline_task.inspect", SimpleNamespace(stack=stack))
        yield


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collects the seconds that the test would have slept."""
    return collect_sleeps(monkeypatch)


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
