"""How pages are to be read, and what of that decides the result."""

import dataclasses
from typing import Any

from pagemill.errors import UserError
from pagemill.manifest import Stage
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.records import BookRecord

RECOGNIZE = Stage("recognize_pages", 1, BookRecord)

TEXT_LAYER = "text-layer"  # the fallback, and the engine that its rows name
FALLBACKS = ("none", TEXT_LAYER)


def check_fallback(fallback: str) -> None:
    """Raise UserError for a fallback that is not known."""
    if fallback not in FALLBACKS:
        raise UserError(f"fallback {fallback}", "is not known", f"choose one of: {', '.join(FALLBACKS)}")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How the pages of a manifest are to be read; the fields are those of `recognize_pages`."""

    checkpoint: Checkpoint
    engine: str
    fallback: str
    dpi: int
    batch_size: int
    page_time_limit_seconds: float
    render_workers: int
    device: str
    threads: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides the result."""
        return {
            "engine": self.engine,
            "checkpoint_name": self.checkpoint.name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "fallback": self.fallback,
            "dpi": self.dpi,
            "page_time_limit_seconds": self.page_time_limit_seconds,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What does not, or is known already where the digest of the checkpoint is."""
        return {
            "checkpoint_license": self.checkpoint.license,
            "checkpoint_tokenizer": self.tokenizer,
            "batch_size": self.batch_size,
            "render_workers": self.render_workers,
            "device": self.device,
            "threads": self.threads,
        }

    @property
    def folder(self) -> str:
        """The folder of the store for the ledgers."""
        return f"pages/{RECOGNIZE.config_key(self.parameters)}"

    @property
    def tokenizer(self) -> str:
        """Store name of the checkpoint's tokenizer, which chunks are measured with."""
        return f"tokenizers/{self.checkpoint.sha256}/{self.checkpoint.name}.json"
