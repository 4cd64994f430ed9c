"""Nougat, unmodified: its own preparation, model and clean-up, fed continuously."""

from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Engine, Finisher, Preparer


def preparer(checkpoint: Checkpoint) -> Preparer:
    """Return Nougat's preparation of a page, without torch and the model."""
    from pagemill.ocr.nougat.preparing import PagePreparer

    return PagePreparer.of(checkpoint)


def finisher(checkpoint: Checkpoint) -> Finisher:
    """Return Nougat's clean-up of what its model wrote, without torch and the model."""
    from pagemill.ocr.nougat.cleanup import Cleanup

    return Cleanup()


def load(checkpoint: Checkpoint, device: str = "auto", threads: int = 0, precision: str = "auto") -> Engine:
    """Load the model of a verified checkpoint; see `pagemill.ocr.engine.load_engine`."""
    from pagemill.ocr.nougat.decoding import ContinuousEngine
    from pagemill.ocr.nougat.loading import load_model

    return ContinuousEngine(load_model(checkpoint, device, threads, precision))
