"""From what was read to the ledger: doubtful pages are flagged, and lost ones take another text where asked."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from pagemill.ocr.engine import PageOrder, Rendering, load_engine
from pagemill.ocr.feeding import PreparePage, text_layers
from pagemill.ocr.finishing import FinishPage
from pagemill.ocr.line import Line
from pagemill.ocr.plan import OCR, TEXT_LAYER, Plan
from pagemill.records import PageRecord, Reason, Status
from pagemill.storage import Store

FALLBACK_ENGINE = "rapidocr"
FALLBACK_RENDERING = Rendering(150)


@dataclasses.dataclass(frozen=True, slots=True)
class Substitute:
    """Another text of a page, and where it is from."""

    text: str
    engine: str


class LedgerWriter:
    """Makes the ledgers of books from what was read of them.

    A page whose text disagrees with its text layer is flagged. With a fallback it takes that layer, and
    so does a page on which the engine failed; one without a text layer is read by another engine where
    that is the fallback. `reason` goes on telling why.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self.other_engine = _OtherEngine(plan)

    def rows(self, read: Sequence[PageRecord]) -> list[PageRecord]:
        """Return the ledger of a book, given what was read of it."""
        flagged = [self._flagged(row) for row in read]
        doubtful = [row for row in flagged if row.page > 0 and (row.status is Status.FAILED or self._disagrees(row))]
        if self.plan.fallback == "none" or not doubtful:
            return flagged
        with self.store.local(f"pdf/{read[0].pdf_sha256}.pdf") as path:
            substitutes = self._substitutes([PageOrder(row.pdf_sha256, row.page, str(path)) for row in doubtful])
        return [_replaced(row, substitutes[row.page]) if row.page in substitutes else row for row in flagged]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.other_engine.close()

    def _disagrees(self, row: PageRecord) -> bool:
        return row.agreement is not None and row.agreement < self.plan.min_agreement

    def _flagged(self, row: PageRecord) -> PageRecord:
        flag = self._disagrees(row) and row.reason is None
        return dataclasses.replace(row, reason=Reason.LOW_AGREEMENT) if flag else row

    def _substitutes(self, orders: Sequence[PageOrder]) -> dict[int, Substitute]:
        """Return other texts of pages of one book, by page, where they can be had."""
        layers = zip(orders, text_layers(orders, self.plan.page_time_limit_seconds), strict=True)
        found = {order.page: Substitute(text, TEXT_LAYER) for order, text in layers if text}
        if self.plan.fallback == OCR:
            bare = [order for order in orders if order.page not in found]
            texts = zip(bare, self.other_engine.read(bare), strict=True)
            found |= {order.page: Substitute(text, FALLBACK_ENGINE) for order, text in texts if text}
        return found


class _OtherEngine:
    """The engine that reads what the first one could not, loaded when it is first needed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.resources = contextlib.ExitStack()
        self.line: Line | None = None

    def read(self, orders: Sequence[PageOrder]) -> Iterator[str]:
        """Yield the text of each page, in order; "" where nothing was read."""
        if not orders:
            return
        self.line = self.line or self._started()
        orders = [dataclasses.replace(order, rendering=FALLBACK_RENDERING) for order in orders]
        for reading in [self.line.submit(order) for order in orders]:
            yield reading.result().page.text

    def close(self) -> None:
        """Let go of the engine."""
        self.resources.close()

    def _started(self) -> Line:
        plan = self.plan
        line = Line(
            PreparePage(FALLBACK_ENGINE, plan.checkpoint),
            FinishPage(FALLBACK_ENGINE, plan.checkpoint),
            lambda: load_engine(FALLBACK_ENGINE, plan.checkpoint),
            page_time_limit_seconds=plan.page_time_limit_seconds,
        )
        thread = threading.Thread(target=_run, args=(line,), name="fallback")
        self.resources.enter_context(line)
        self.resources.callback(thread.join)
        self.resources.callback(line.close)
        thread.start()
        return line


def _run(line: Line) -> None:
    """Run a line; whoever waits for one of its pages is told why it ended."""
    with contextlib.suppress(Exception):
        line.run()


def _replaced(row: PageRecord, substitute: Substitute) -> PageRecord:
    return dataclasses.replace(row, status=Status.FALLBACK, engine=substitute.engine, text=substitute.text, tokens=0)
