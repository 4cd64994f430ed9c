"""`pagemill decks review --wait` with all of its processes, killed in the midst and typed again."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagemill.decks.asking import Context
from pagemill.decks.models.chat import ChatModel
from pagemill.decks.review import Review, review
from pagemill.decks.tasks import Parameters
from pagemill.storage import Store
from tests.deck_answers import answer_from_truth
from tests.deck_containers import until
from tests.decks import FOLDER, NO_OCR, PARCELS, prepared
from tests.model_server import running_model_server
from tests.model_service import ModelService

PAGEMILL = Path(sys.executable).with_name("pagemill")
MODELS = {"VISION": "llava:13b", "TEXT": "gemma3:27b"}
SLOW_SECONDS = 600.0  # which nobody waits for


@pytest.fixture
def service() -> Iterator[ModelService]:
    with running_model_server("openai") as server:
        answer_from_truth(server)
        yield server


def started(service: ModelService, folder: Path) -> subprocess.Popen[str]:
    """Type the command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAGEMILL_")}
    for name, model in MODELS.items():
        environment |= {f"PAGEMILL_DECKS__{name}__URL": service.endpoint, f"PAGEMILL_DECKS__{name}__MODEL": model}
    return subprocess.Popen(
        [PAGEMILL, "decks", "review", FOLDER / f"{PARCELS}.pdf", folder / "no-deck.pdf", "--wait", "--no-ocr"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    )


def children_of(process: subprocess.Popen[str]) -> list[int]:
    threads = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(word) for thread in threads for word in thread.read_text().split()]


def lives(process_id: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def undisturbed(service: ModelService, folder: Path) -> Review:
    """The same review in one process."""
    store = Store(str(folder / "undisturbed"))
    models = {name.lower(): ChatModel(service.endpoint, model) for name, model in MODELS.items()}
    return review(prepared(PARCELS, store), Context(store, models.__getitem__), Parameters(slides=NO_OCR))


def test_a_review_that_is_killed_goes_on_when_it_is_typed_again(service: ModelService, tmp_path: Path) -> None:
    service.fail_next("slow", about="Section_problem", seconds=SLOW_SECONDS)
    with started(service, tmp_path) as killed:
        until(lambda: any(asked.schema_name == "Section_problem" for asked in service.asked))
        children = children_of(killed)
        assert len(children) == 2
        killed.send_signal(signal.SIGKILL)
    until(lambda: not any(map(lives, children)))
    before = len(service.asked)

    with started(service, tmp_path) as again:
        out, told = again.communicate()

    assert again.returncode == 2, told
    assert f"pagemill: {tmp_path / 'no-deck.pdf'}: No such file or directory; give the path of a PDF" in told
    files = [tmp_path / line for line in out.splitlines()]
    assert [file.suffix for file in files] == [".html", ".md", ".json"]
    found = Review.model_validate_json(files[2].read_text())
    asked = Counter((each.system, each.text, each.schema_name) for each in service.asked[before:] if each.schema)
    assert not {schema for _, _, schema in asked} & {"SlideDescription", "SlideFeedback", "BundledExtractions"}
    assert set(asked.values()) == {1}
    assert found.content_digest == undisturbed(service, tmp_path).content_digest
