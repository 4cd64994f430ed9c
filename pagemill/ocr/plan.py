"""How pages are to be read, what of that decides what is read, and what decides the ledger made of it."""

import dataclasses
from typing import Any

from pagemill.errors import UserError
from pagemill.language import check_languages
from pagemill.manifest import Stage
from pagemill.ocr import rapid
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Rendering
from pagemill.records import BookRecord, PageRecord, Status
from pagemill.storage import digest

RECOGNIZE = Stage("recognize_pages", 2, BookRecord)
READING_VERSION = 1  # raise it when the same page would be read otherwise

TEXT_LAYER = "text-layer"  # a fallback, and the engine that its rows name
OCR = "ocr"
FALLBACKS = ("none", TEXT_LAYER, OCR)

# Which pages of the earlier reading a round of retries reads again.
RETRIES = {
    "failed": frozenset({Status.FAILED}),
    "truncated": frozenset({Status.TRUNCATED}),
    "all": frozenset({Status.FAILED, Status.TRUNCATED}),
}
# How a page is rendered in each further round, beside the first: times its dpi, and a margin. Another
# picture of the same page is often enough for Nougat not to fall into the same loop.
RETRY_RENDERINGS = ((1.25, 0.02), (0.75, 0.05), (1.5, 0.08))


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How the pages of a manifest are to be read; the fields are those of `recognize_pages`."""

    checkpoint: Checkpoint
    engine: str
    dpi: int
    precision: str
    languages: tuple[str, ...]
    page_time_limit_seconds: float
    retry: tuple[str, ...]  # rounds, each over the result of the one before
    fallback: str
    min_agreement: float
    batch_size: int
    render_workers: int
    device: str
    threads: int
    workers: int
    instances_per_gpu: int
    nodes: int = 1
    rendezvous: str = ""

    @property
    def reading_parameters(self) -> dict[str, Any]:
        """What decides what is read on a page."""
        return {
            "engine": self.engine,
            "checkpoint_name": self.checkpoint.name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "dpi": self.dpi,
            "precision": self.precision,
            "languages": ",".join(self.languages),
            "page_time_limit_seconds": self.page_time_limit_seconds,
            "retry": ",".join(self.retry),
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides the ledger."""
        return {**self.reading_parameters, "fallback": self.fallback, "min_agreement": self.min_agreement}

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
            "workers": self.workers,
            "instances_per_gpu": self.instances_per_gpu,
            "nodes": self.nodes,
        }

    @property
    def readings_folder(self) -> str:
        """The folder of the store for what is read."""
        return f"readings/{digest({'version': READING_VERSION, **self.reading_parameters})[:32]}"

    @property
    def folder(self) -> str:
        """The folder of the store for the ledgers."""
        return f"pages/{RECOGNIZE.config_key(self.parameters)}"

    @property
    def tokenizer(self) -> str:
        """Store name of the checkpoint's tokenizer, which chunks are measured with."""
        return f"tokenizers/{self.checkpoint.sha256}/{self.checkpoint.name}.json"

    @property
    def rendering(self) -> Rendering:
        """How pages are rendered in the last round."""
        if not self.retry:
            return Rendering(self.dpi)
        scale, margin = RETRY_RENDERINGS[min(len(self.retry), len(RETRY_RENDERINGS)) - 1]
        return Rendering(round(self.dpi * scale), margin)

    @property
    def rounds(self) -> "tuple[Plan, ...]":
        """The first reading and every round of retries, each a plan of its own."""
        return tuple(dataclasses.replace(self, retry=self.retry[:number]) for number in range(len(self.retry) + 1))

    def reads_again(self, row: PageRecord) -> bool:
        """Say whether the last round reads this page of the round before again."""
        return row.page > 0 and row.status in RETRIES[self.retry[-1]]


def check_fallback(fallback: str) -> None:
    """Raise UserError for a fallback that is not known, or not installed."""
    if fallback not in FALLBACKS:
        raise UserError(f"fallback {fallback}", "is not known", f"choose one of: {', '.join(FALLBACKS)}")
    if fallback == OCR:
        rapid.check_installed()


def retry_rounds(retry: str) -> tuple[str, ...]:
    """Return the rounds in "none" or a list with commas, such as "failed,truncated"; raises UserError."""
    rounds = tuple(each.strip() for each in retry.split(",")) if retry not in ("", "none") else ()
    for each in rounds:
        if each not in RETRIES:
            raise UserError(f"retry {each}", "is not known", f"choose none or of: {', '.join(RETRIES)}")
    return rounds


def language_codes(languages: str) -> tuple[str, ...]:
    """Return the codes in a list with commas, in lower case and in order; () for any language.

    Raises:
        UserError: No language has such a code.
    """
    codes = tuple(sorted({code.strip().lower() for code in languages.split(",") if code.strip()}))
    check_languages(codes)
    return codes
