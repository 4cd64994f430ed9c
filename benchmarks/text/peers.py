"""The other splitters, each in an environment of its own with pinned versions, and how they are run."""

import dataclasses
import enum
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.environments import python_with
from benchmarks.text.corpus import Document

WORKER = Path(__file__).parent / "worker.py"
OURS = "pagemill"

# What each environment holds, by name.
REQUIREMENTS = {
    "langchain": ("langchain-text-splitters==1.1.3", "tokenizers==0.23.3"),
    "semchunk": ("semchunk==4.1.1", "tokenizers==0.23.3"),
    "semantic-text-splitter": ("semantic-text-splitter==0.33.1", "tokenizers==0.23.3"),
    "chonkie": ("chonkie==1.7.0", "tokenizers==0.23.3"),
    "docling": ("docling-core[chunking]==2.104.0", "transformers==5.23.0", "tokenizers==0.23.3"),
}


class Structure(enum.StrEnum):
    """What a splitter knows of a document's structure."""

    PARSED = "parsed"  # it parses the markup, or is given blocks
    SEPARATORS = "separators"  # it cuts at strings of the markup first
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Splitter:
    """A splitter by its name in `worker.py`."""

    name: str
    environment: str  # "" for the one that this runs in
    structure: Structure


SPLITTERS = (
    Splitter(OURS, "", Structure.PARSED),
    Splitter("langchain Recursive", "langchain", Structure.NONE),
    Splitter("langchain Markdown", "langchain", Structure.SEPARATORS),
    Splitter("langchain Latex", "langchain", Structure.NONE),  # Nougat writes none of its separators
    Splitter("semchunk", "semchunk", Structure.NONE),
    Splitter("semantic-text-splitter", "semantic-text-splitter", Structure.PARSED),
    Splitter("chonkie Recursive", "chonkie", Structure.NONE),
    Splitter("chonkie Sentence", "chonkie", Structure.NONE),
    Splitter("docling Hybrid", "docling", Structure.PARSED),
)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A chunk as its splitter hands it on."""

    text: str
    span: tuple[int, int] | None  # of the document, where the splitter tells it
    marks: tuple[int, ...] | None  # of the document's truth, where it goes by these


@dataclasses.dataclass(frozen=True)
class Cutting:
    """What a splitter made of a document, and the processor time it took."""

    seconds: float
    pieces: tuple[Piece, ...]


def cut(
    splitter: Splitter, documents: Sequence[Document], tokenizer: Path, tokens: int, budget_seconds: float
) -> list[Cutting]:
    """Have documents cut in a process of the splitter's environment, one thread, as many as the budget allows.

    Raises:
        RuntimeError: The splitter failed; the message ends with what it said.
    """
    python = sys.executable
    if splitter.environment:
        python = str(python_with(splitter.environment, REQUIREMENTS[splitter.environment]))
    command = [python, str(WORKER), splitter.name, str(tokenizer), str(tokens), str(budget_seconds)]
    lines = "".join(json.dumps({"text": document.text, "marks": document.truth}) + "\n" for document in documents)
    result = subprocess.run(
        command, input=lines, capture_output=True, text=True, check=False, env={**os.environ, **one_thread()}
    )
    if result.returncode:
        raise RuntimeError(f"{splitter.name} ended with {result.returncode}: {result.stderr[-2000:]}")
    return list(_cuttings(result.stdout))


def one_thread() -> dict[str, str]:
    """Return the settings that keep the tokenizers' library to one thread."""
    return {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def _cuttings(output: str) -> Iterator[Cutting]:
    for line in output.splitlines():
        values = json.loads(line)
        pieces = (
            Piece(
                text=chunk["text"],
                span=tuple(chunk["span"]) if "span" in chunk else None,
                marks=tuple(chunk["marks"]) if "marks" in chunk else None,
            )
            for chunk in values["chunks"]
        )
        yield Cutting(values["seconds"], tuple(pieces))
