"""Results in the store: found again by what decided them, and known to be lost when they are."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from pagemill.decks.records import Deck, Result
from pagemill.storage import Store, digest

ResultT = TypeVar("ResultT", bound=Result)

KEY_CHARACTERS = 32


class ResultLost(RuntimeError):
    """A result that another stage needs is not in the store, or cannot be read: the stage that made it has to run."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} is not in the store"


@dataclasses.dataclass(frozen=True, slots=True)
class Keeper(Generic[ResultT]):
    """Keeps the results of one stage.

    Raise `version` whenever the same inputs would give another result.
    """

    folder: str  # below `decks/`
    version: int
    result: type[ResultT]

    def key(self, deck: Deck, parts: Mapping[str, Any]) -> str:
        """Digest of what decides a result: the stage, its version, the PDF, and `parts`, which are plain JSON."""
        decides = {"stage": self.folder, "version": self.version, "pdf_sha256": deck.pdf_sha256, **parts}
        return digest(decides)[:KEY_CHARACTERS]

    def name(self, key: str) -> str:
        """Return where the result of a key lies in the store."""
        return f"decks/{self.folder}/{key}.json"

    def once(self, store: Store, key: str, body: Callable[[], ResultT]) -> ResultT:
        """Return the result of a key, doing the work only when the store has none that is final.

        When another one has done the same work meanwhile, the first result stays.
        """
        if kept := self.final(store, key):
            return kept
        started = time.monotonic()
        result = body()
        if kept := self.final(store, key):
            return kept
        result = result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
        store.write_json(self.name(key), result.model_dump(mode="json"))
        return result

    def final(self, store: Store, key: str) -> ResultT | None:
        """Return the result of a key when the store has one that is final."""
        try:
            kept = load(store, self.name(key), self.result)
        except ResultLost:
            return None
        return kept if kept.is_final else None


def load(store: Store, name: str, result: type[ResultT]) -> ResultT:
    """Read a result.

    Raises:
        ResultLost: There is none of that name, or it is damaged or of an older form.
    """
    try:
        return result.model_validate_json(store.read_bytes(name))
    except (FileNotFoundError, ValidationError):
        raise ResultLost(name) from None
