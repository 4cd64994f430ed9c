"""A page after the model, in a child: what the model wrote is cleaned up and compared with the PDF's own text."""

import dataclasses
from typing import Any

from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Draft, Finisher, PageText, finisher_for


@dataclasses.dataclass(frozen=True, slots=True)
class FinishOrder:
    """What is known of a page when the model is done with it."""

    draft: Draft
    text_layer: str  # the PDF's own text of the page, "" where there is none


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """A page as it goes into the ledger."""

    page: PageText
    agreement: float | None  # with the text layer, from 0.0 to 1.0; None where the layer is no good judge


class FinishPage:
    """Cleans up a page as its engine's authors would, and measures how far it agrees with its text layer.

    What that needs is imported where the object arrives, so that the parent does not wait for it and
    the children's time limit does not count it.
    """

    def __init__(self, engine: str, checkpoint: Checkpoint) -> None:
        self.engine, self.checkpoint = engine, checkpoint
        self.finish: Finisher | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"engine": self.engine, "checkpoint": self.checkpoint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.finish = finisher_for(self.engine, self.checkpoint)

    def __call__(self, order: FinishOrder) -> Finished:
        """Return the finished page; raises what the engine's clean-up raises."""
        from pagemill.ocr.agreement import agreement

        assert self.finish is not None, "pages are finished in children"
        page = self.finish(order.draft)
        return Finished(page, agreement(page.text, order.text_layer))
