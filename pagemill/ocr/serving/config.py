"""What a server reads pages with, as each of its predictions says: enough to tell what the records stand for."""

import dataclasses

from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.plan import READING_VERSION
from pagemill.ocr.serving.settings import Settings
from pagemill.records import Row

TOKENIZER = "tokenizer.json"  # of a checkpoint


@dataclasses.dataclass(frozen=True, slots=True)
class EngineConfig(Row):
    """Engine, checkpoint and whatever else decides what is read on a page; how it is rendered says the request."""

    engine: str
    reading_version: int
    checkpoint_name: str
    checkpoint_sha256: str
    checkpoint_license: str
    tokenizer_sha256: str
    precision: str
    languages: tuple[str, ...]
    page_time_limit_seconds: float


def config_of(settings: Settings, checkpoint: Checkpoint) -> EngineConfig:
    """Return what a server with these settings reads with."""
    return EngineConfig(
        engine=settings.engine,
        reading_version=READING_VERSION,
        checkpoint_name=checkpoint.name,
        checkpoint_sha256=checkpoint.sha256,
        checkpoint_license=checkpoint.license,
        tokenizer_sha256=checkpoint.files[TOKENIZER],
        precision=settings.precision,
        languages=tuple(sorted(set(settings.languages))),
        page_time_limit_seconds=settings.page_time_limit_seconds,
    )
