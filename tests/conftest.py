"""What tests of several rooms share: the demo's own PDFs."""

from pathlib import Path

import pytest

DEMO = Path(__file__).parent.parent / "demo"


@pytest.fixture(scope="session")
def demo_pdf(tmp_path_factory):
    """A short typeset book that the demo checkpoint can read, as a file."""
    from pagemill.archives import extract_members

    out = tmp_path_factory.mktemp("demo-pdfs")
    extract_members([DEMO / "samples" / "treatise.part1.rar"], out)
    return out / "treatise" / "treatise" / "motion.pdf"
