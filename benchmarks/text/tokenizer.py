"""The tokenizer that all count with: byte-level BPE of up to 50,000 pieces, as Nougat has, trained once under out/."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.text import corpus, formulas, words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECES = 50_000
SEED = 1_000_003  # documents that no measure uses
PAGES = 2_000
FOLDER = Path(__file__).parents[2] / "out" / "bench-text"


def tokenizer_file() -> Path:
    """Return the path of the tokenizer.json; train it if this corpus has none yet."""
    path = FOLDER / f"tokenizer-{_digest()}" / "tokenizer.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        train(PIECES, PAGES).save(str(path))
    return path


def train(pieces: int, pages: int) -> "Tokenizer":
    """Train a tokenizer of at most so many pieces on Python's documentation and so many pages of the corpus."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(pages), trainer)
    return tokenizer


def _texts(pages: int) -> Iterator[str]:
    yield words.documentation()
    for document in corpus.documents(SEED, pages):
        yield document.text


def _digest() -> str:
    """Return what tells one corpus from another: its modules and the words that it has."""
    sources = [Path(str(module.__file__)).read_text() for module in (corpus, formulas, words)]
    parts = [*sources, words.documentation(), str((PIECES, PAGES, SEED, random.Random(SEED).random()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
