"""Results that come over HTTP instead of by a task: checked, kept under their key, and found again."""

import re
from typing import Annotated

from fastapi import Query

from pagemill.decks.extractions import DeckExtractions
from pagemill.decks.feedback import DeckFeedback
from pagemill.decks.keeping import Keeper, ResultLost, ResultT, load
from pagemill.decks.records import Record, Result
from pagemill.decks.specialized import SpecializedAnalysis
from pagemill.decks.tasks import BY_NAME, ResultName
from pagemill.decks.visual import KEEPER as VISUAL
from pagemill.decks.visual import VisualAnalysis
from pagemill.reviews.http import refused
from pagemill.reviews.wire import ErrorKind
from pagemill.storage import Store

KEY_PATTERN = r"[0-9a-f]{32}"
ResultKey = Annotated[str, Query(pattern=f"^{KEY_PATTERN}$", description="The key of the result.")]


class SavedResult(Record):
    """A result, and the task whose it is."""

    task: str
    result: VisualAnalysis | DeckFeedback | DeckExtractions | SpecializedAnalysis


class Kept(Record):
    """Where a result lies in the store, and the digest of what is there."""

    result: ResultName
    content_digest: str


def keep_visual(store: Store, result: VisualAnalysis) -> Kept:
    """Keep a visual analysis; raises Refused."""
    return _keep(store, VISUAL, result)


def keep(store: Store, saved: SavedResult) -> Kept:
    """Keep a result of any task.

    Raises:
        Refused: There is no such task, or the result is another's.
    """
    task = BY_NAME.get(saved.task)
    if task is None or not isinstance(saved.result, task.keeper.result) or not _is_of(saved.task, saved.result):
        raise refused(ErrorKind.INVALID, f"The result is none of {saved.task!a}.")
    return _keep(store, task.keeper, saved.result)


def cached_visual(store: Store, key: str) -> VisualAnalysis:
    """Return a visual analysis.

    Raises:
        Refused: It is not there, or no longer.
    """
    try:
        return load(store, VISUAL.name(key), VisualAnalysis)
    except ResultLost as lost:
        raise refused(ErrorKind.NOT_FOUND, f"{lost}.") from None


def _is_of(task: str, result: Result) -> bool:
    return not isinstance(result, SpecializedAnalysis) or task == f"specialized_{result.specialty}"


def _check_key(result: Result) -> None:
    """Refuse a key that is no digest: it becomes a part of a path."""
    if not re.fullmatch(KEY_PATTERN, result.key, re.ASCII):
        raise refused(ErrorKind.INVALID, "The result's key is no digest.")


def _keep(store: Store, keeper: Keeper[ResultT], result: ResultT) -> Kept:
    """Keep a result, unless there is one of its key that is final: the first stays; raises Refused."""
    _check_key(result)
    kept = keeper.final(store, result.key)
    if kept is None:
        kept = result
        store.write_json(keeper.name(result.key), result.model_dump(mode="json"))
    return Kept(result=keeper.name(result.key), content_digest=kept.content_digest)
