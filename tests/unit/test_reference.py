"""The page of components: as fresh as the code, and with every component, port and resource in it."""

from pagemill.cloud.reference import PAGE, reference


def test_the_committed_page_is_what_the_code_gives() -> None:
    assert PAGE.read_text() == reference(), "run `make docs`"


def test_it_tells_what_reading_pages_runs_on() -> None:
    section = reference().partition("## recognize-pages")[2].partition("\n## ")[0]
    assert "custom job on a2-highgpu-1g with 1 x NVIDIA_TESLA_A100" in section
    assert "1 x nvidia.com/gpu" in section
    assert "| `pdfs` | Dataset |" in section
    assert "`pages_<status>`" in section
