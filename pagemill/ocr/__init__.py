"""Recognition: rendered pages in, their text out, one ledger row for every page."""

from pagemill.ocr.checkpoint import Checkpoint, resolve_checkpoint
from pagemill.ocr.folder import read_pdfs
from pagemill.ocr.recognize import recognize_pages

__all__ = ["Checkpoint", "read_pdfs", "recognize_pages", "resolve_checkpoint"]
