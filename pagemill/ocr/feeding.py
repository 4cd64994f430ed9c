"""What happens to a page before the model: rendered and prepared in a killable child, its length foretold."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from pagemill import language
from pagemill.children import cpu_count, in_children
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import PageOrder, Prepared, Preparer, preparer_for
from pagemill.ocr.foresight import expected_tokens, ink_share, is_good_text, likely_loop
from pagemill.pages.document import PdfFault, text_layer
from pagemill.pages.render import render_page
from pagemill.records import Reason

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
MAX_RENDER_WORKERS = 8  # of one model: 60 MB each, and more for a picture

# A page is kept from the model for its language only when there is no doubt of it, for a page kept back by mistake
# is lost, and one let through costs its time. lid.176 gives a sentence of prose in any of its common languages a score
# above 0.9; names, formulas and text in two languages stay below 0.8.
GATE_LETTERS = 200
GATE_SCORE = 0.8


class PreparePage:
    """Renders a page and makes the engine's input of it, and says what can be known of its text.

    What is needed for that is imported where the object arrives, so that the parent does not wait for
    it and the children's time limit does not count it.

    Args:
        engine: One of `pagemill.ocr.engine.ENGINES`.
        checkpoint: The verified model files.
        languages: What the model is to read, as lid.176 names it (ISO 639-1 where there is such a code):
            a page whose text layer is surely in another language is not prepared. () for any.
    """

    def __init__(self, engine: str, checkpoint: Checkpoint, languages: tuple[str, ...] = ()) -> None:
        self.engine, self.checkpoint, self.languages = engine, checkpoint, languages
        self.prepare: Preparer | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.prepare = preparer_for(self.engine, self.checkpoint)
        if self.languages:
            language.detect_plain("warm up")

    def __call__(self, order: PageOrder) -> Prepared:
        """Return the engine's input, or why there is none.

        Raises:
            RenderError: The page cannot be rendered.
            ValueError: The engine cannot make an input of its image.
            OSError: The file itself cannot be read.
        """
        text = page_text(order)
        if self.languages and is_in_another_language(text, self.languages):
            return Prepared(None, Reason.OTHER_LANGUAGE, text)
        image = render_page(order.path, order.page, order.rendering.dpi).image()
        return self._prepared(image, order, text)

    def _prepared(self, image: Image.Image, order: PageOrder, text: str) -> Prepared:
        assert self.prepare is not None, "pages are prepared in children"
        pixels = self.prepare(image, order.rendering.margin)
        if pixels is None:
            return Prepared(None, Reason.BLANK_PAGE, text)
        ink = ink_share(image)
        square_inches = image.width * image.height / order.rendering.dpi**2
        return Prepared(
            pixels=pixels,
            text_layer=text,
            expected_tokens=expected_tokens(text, ink, square_inches),
            likely_loop=likely_loop(text, ink),
        )


def page_text(order: PageOrder) -> str:
    """Return the text layer of a page without the space around it; "" where it has none or it cannot be had."""
    try:
        return text_layer(order.path, order.page).strip()
    except PdfFault:
        return ""


def is_in_another_language(text: str, languages: tuple[str, ...]) -> bool:
    """Say whether a text layer is good, long enough, and surely in none of these languages."""
    if sum(map(str.isalpha, text)) < GATE_LETTERS or not is_good_text(text):
        return False
    found, score = language.detect_plain(text)
    return found not in languages and score >= GATE_SCORE


def text_layers(orders: Iterable[PageOrder], time_limit_seconds: float) -> Iterator[str]:
    """Yield the text layer of each page, in order; "" where there is none or it cannot be had."""
    for answer in in_children(page_text, orders, workers=1, time_limit_seconds=time_limit_seconds):
        yield answer.value if answer.ok else ""


def render_workers_for(device: str, workers: int = 1) -> int:
    """Return how many children keep the model of each of so many workers busy: one on the CPU.

    One child prepares some fifty pages a second, far more than a model on the same CPUs reads and more
    than most GPUs do. Beside a GPU there are more of them for the sake of pages that take seconds to
    render: the workers share half the CPUs.
    """
    on_gpu = device != "cpu" and NVIDIA_DRIVER.exists()
    return max(1, min(MAX_RENDER_WORKERS, cpu_count() // 2 // workers)) if on_gpu else 1
