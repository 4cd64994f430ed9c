"""What tests of several rooms share: how examples are drawn, and a book of the demo."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run; a slow machine is no failure.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

DEMO = Path(__file__).parent.parent / "demo"


@pytest.fixture(scope="session")
def demo_pdf(tmp_path_factory):
    """A short typeset book that the demo checkpoint can read, as a file."""
    from pagemill.archives import extract_members

    out = tmp_path_factory.mktemp("demo-pdfs")
    extract_members([DEMO / "samples" / "treatise.part1.rar"], out)
    return out / "treatise" / "treatise" / "motion.pdf"
