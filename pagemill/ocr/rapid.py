"""RapidOCR as an engine: plain text of pages that Nougat cannot read; its models come with its package."""

import collections
import dataclasses
import importlib
import importlib.util
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pagemill.errors import UserError
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Draft, Engine, Finisher, PageInput, PageText, Pixels, Preparer
from pagemill.ocr.nougat.preparing import is_blank
from pagemill.records import Reason, Status

PACKAGES = ("onnxruntime", "rapidocr")
WHITE = (255, 255, 255)
MAX_SIDE_PIXELS = 2000  # RapidOCR makes larger images smaller than this itself (`Global.max_side_len`)
PARAGRAPH_GAP = 0.5  # between the boxes of two lines, in heights of a line; leading alone leaves 0.0 to 0.3
MIN_COLUMN_LINES = 3
MIN_COLUMN_SHARE = 0.25  # of the block's width: page numbers beside a list of contents are no column


def preparer(checkpoint: Checkpoint) -> Preparer:
    """Return the preparation of a page; the checkpoint is not RapidOCR's and is ignored, here and below."""
    return _PagePreparer()


def finisher(checkpoint: Checkpoint) -> Finisher:
    """Return the clean-up of what was read: there is none."""
    return _Finisher()


def check_installed() -> None:
    """Raise UserError when what this engine needs is not installed; nothing of it is loaded."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"package {package}", "rapidocr is not installed", "pip install 'pagemill[rapidocr]'")


def load(checkpoint: Checkpoint, device: str = "auto", threads: int = 0, precision: str = "auto") -> Engine:
    """Load RapidOCR, which reads on the CPU in the precision of its models.

    Args:
        checkpoint: Ignored.
        device: Ignored.
        threads: CPU threads of each model; 0 leaves the choice to onnxruntime.
        precision: Ignored.

    Raises:
        UserError: The package is not installed.
    """
    check_installed()
    rapidocr = importlib.import_module("rapidocr")
    settings = "EngineConfig.onnxruntime"
    return _RapidEngine(
        rapidocr.RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.max_side_len": MAX_SIDE_PIXELS,
                "Global.use_cls": False,  # no line of a book stands on its head
                f"{settings}.intra_op_num_threads": threads or -1,
                f"{settings}.inter_op_num_threads": 1,
            }
        )
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A piece of a line of text where it stands on the page, in pixels from the top left."""

    left: float
    top: float
    right: float
    bottom: float
    text: str

    @property
    def height(self) -> float:
        """How high its box is."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Half way between its top and bottom."""
        return (self.top + self.bottom) / 2


class _PagePreparer:
    def __call__(self, image: Image.Image, margin: float = 0.0) -> Pixels | None:
        """Return uint8 [height, width, 3] in RGB, no side above `MAX_SIDE_PIXELS`; None for a page without ink."""
        if not all(image.size):
            raise ValueError("there is nothing to read in an image without pixels")
        image = image.convert("RGB")
        if is_blank(image):
            return None
        if margin:
            image = ImageOps.expand(image, round(margin * image.height), WHITE)
        image.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
        return np.asarray(image).copy()


class _Finisher:
    def __call__(self, draft: Draft) -> PageText:
        return PageText(draft.text, draft.tokens, draft.status, draft.reason)


class _RapidEngine:
    """Reads one page a step, in the order in which they were admitted."""

    name = "rapidocr"
    default_batch_size = 1

    def __init__(self, read: Any) -> None:
        self._read = read
        self._waiting: collections.deque[PageInput] = collections.deque()

    def admit(self, pages: Sequence[PageInput]) -> None:
        self._waiting.extend(pages)

    def step(self) -> list[Draft]:
        if not self._waiting:
            return []
        page = self._waiting.popleft()
        found = self._read(np.ascontiguousarray(page.pixels[:, :, ::-1]))  # RapidOCR takes BGR
        text = text_of([] if found.boxes is None else _lines(found.boxes, found.txts))
        characters = sum(not character.isspace() for character in text)
        status, reason = (Status.OK, None) if text else (Status.EMPTY, Reason.NO_TEXT)
        return [Draft(page.key, text, characters, status, reason)]

    def drop(self) -> None:
        self._waiting.clear()


def _lines(boxes: Any, texts: Iterable[str]) -> list[Line]:
    """Return the upright rectangles around boxes of four corners [n, 4, 2] (x, y), with their texts."""
    lines = []
    for corners, text in zip(np.asarray(boxes), texts, strict=True):
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        lines.append(Line(left, top, right, bottom, text.strip()))
    return [line for line in lines if line.text]


def text_of(lines: Sequence[Line]) -> str:
    """Return the text of a page: its lines in reading order, an empty line between paragraphs.

    The order is that of a recursive cut of the page along its white space (XY-cut; Nagy and Seth, 1984):
    columns from left to right, in a column rows from the top. A gap of more than `PARAGRAPH_GAP` line
    heights begins a paragraph. A word that is broken at the end of a line becomes one again.
    """
    if not lines:
        return ""
    usual_height = statistics.median(line.height for line in lines)
    paragraphs: list[str] = []
    for block in _blocks(list(lines), usual_height):
        end = None
        for row in _rows(block):
            text = " ".join(piece.text for piece in sorted(row, key=lambda piece: piece.left))
            if end is None or min(piece.top for piece in row) - end > PARAGRAPH_GAP * usual_height:
                paragraphs.append(text)
            else:
                paragraphs[-1] = _joined(paragraphs[-1], text)
            end = max(piece.bottom for piece in row)
    return "\n\n".join(paragraphs)


def _blocks(lines: list[Line], usual_height: float) -> list[list[Line]]:
    """Cut lines into blocks that hold no columns, in reading order."""
    blocks, uncut = [], [lines]
    while uncut:
        block = uncut.pop()
        if halves := _columns(block, usual_height) or _above_and_below(block, usual_height):
            uncut.extend(reversed(halves))
        else:
            blocks.append(block)
    return blocks


def _columns(lines: list[Line], usual_height: float) -> tuple[list[Line], list[Line]] | None:
    """Cut at the widest gutter that no line crosses; None where there are not two columns of text."""
    left, right = _cut_at_widest_gap(lines, "left", "right", at_least=usual_height)
    width = max(line.right for line in lines) - min(line.left for line in lines)
    for side in (left, right):
        if len(_rows(side)) < MIN_COLUMN_LINES:
            return None
        if max(line.right for line in side) - min(line.left for line in side) < MIN_COLUMN_SHARE * width:
            return None
    return left, right


def _above_and_below(lines: list[Line], usual_height: float) -> tuple[list[Line], list[Line]] | None:
    """Cut at the highest gap between paragraphs that runs across all lines; None where there is none."""
    above, below = _cut_at_widest_gap(lines, "top", "bottom", at_least=PARAGRAPH_GAP * usual_height)
    return (above, below) if below else None


def _cut_at_widest_gap(lines: list[Line], begin: str, end: str, at_least: float) -> tuple[list[Line], list[Line]]:
    """Return the lines before and after the widest white band across; ([all], []) where there is none."""
    ordered = sorted(lines, key=lambda line: getattr(line, begin))
    widest, place, reached = at_least, len(ordered), getattr(ordered[0], end)
    for number, line in enumerate(ordered[1:], 1):
        if (gap := getattr(line, begin) - reached) > widest:
            widest, place = gap, number
        reached = max(reached, getattr(line, end))
    return ordered[:place], ordered[place:]


def _rows(lines: list[Line]) -> list[list[Line]]:
    """Group what stands beside one another, from the top: the middle of a piece is within the row's first."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if rows and line.middle < rows[-1][0].bottom and line.top < rows[-1][0].middle:
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def _joined(text: str, more: str) -> str:
    """Return two lines as one, without the hyphen of a word that was broken between them."""
    if text.endswith("-") and text[-2:-1].isalpha() and more[:1].islower():
        return text[:-1] + more
    return f"{text} {more}"
