"""Nougat's own clean-up of what its model wrote, without its model: small enough for a child process of its own."""

import contextlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from pagemill.ocr.engine import Draft, PageText
from pagemill.ocr.nougat.words import provide_word_list
from pagemill.records import Reason, Status

UNREADABLE = "[MISSING_PAGE_POST]"  # what Nougat's clean-up leaves of a page that was nothing but loops
_SENTENCE_END = re.compile(r"[.?!\n]")


class Cleanup:
    """Makes of a draft the text that the stock command writes of the page.

    A page takes 2 to 5 ms. Some patterns of Nougat's backtrack without bound, and only a time limit helps:
    a heading with a run of digits, or of the letters i, v and x, doubles its time with each (24 take a second),
    and hundreds of `[FOOTNOTE:` in one line take time by the cube (a thousand take 17 s).
    """

    def __init__(self) -> None:
        self.postprocessing = load_postprocessing()
        provide_word_list()

    def __reduce__(self) -> tuple[type["Cleanup"], tuple[()]]:
        return Cleanup, ()

    def __call__(self, draft: Draft) -> PageText:
        """Return the text of the page, and what became of it; a truncated page keeps what stands before its end."""
        if draft.status is Status.FAILED:
            return PageText("", draft.tokens, draft.status, draft.reason)
        with contextlib.redirect_stdout(sys.stderr):  # Nougat prints remarks
            text: str = self.postprocessing.postprocess(draft.text, markdown_fix=False)
            if text.strip() == UNREADABLE:
                return PageText("", draft.tokens, Status.FAILED, Reason.REPETITION_FROM_START)
            text = self.postprocessing.markdown_compatible(text)
        if draft.status is Status.OK and not text.strip():
            return PageText("", draft.tokens, Status.EMPTY, Reason.NO_TEXT)
        return PageText(text, draft.tokens, draft.status, draft.reason)


def load_postprocessing() -> ModuleType:
    """Load the installed `nougat/postprocessing.py` as a module of its own, with its search for repetitions made fast.

    Importing it as `nougat.postprocessing` would import the package first, and with it torch and
    transformers: half a gigabyte and several seconds.

    Raises:
        ModuleNotFoundError: Nougat is not installed.
    """
    module = installed_postprocessing()
    module.truncate_repetitions = truncate_repetitions  # type: ignore[attr-defined]
    return module


def installed_postprocessing() -> ModuleType:
    """Load the installed `nougat/postprocessing.py` as it is, without the package around it."""
    package = importlib.util.find_spec("nougat")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("nougat is not installed", name="nougat")
    path = Path(package.origin).with_name("postprocessing.py")
    spec = importlib.util.spec_from_file_location("pagemill_nougat_postprocessing", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def truncate_repetitions(text: str, min_len: int = 30) -> str:
    """Cut what repeats itself at the end of a text, but for its first time: as Nougat's function of this name does.

    Nougat compares the end with what stands before it, for every length and letter by letter: seconds on a
    page of dot leaders. Here all lengths are found in one pass; the result is the same for every text.
    """
    lower = text.lower()
    length = longest_repeat_at_end(lower, min_len)
    if length is None:
        return text
    start = len(lower)
    while lower.endswith(lower[-length:], 0, start):
        start -= length
    return text[: _end_of_first_time(lower, start)]


def longest_repeat_at_end(text: str, min_len: int) -> int | None:
    """Return the greatest length, from `min_len` and below half the text's, whose end stands there twice in a row.

    Time is linear: the Z algorithm (Gusfield, Algorithms on Strings, Trees, and Sequences, 1.4) on the reversed text.
    """
    backwards = text[::-1]
    size = len(backwards)
    longest = None
    matches = [0] * (size // 2)  # how many letters from here on are those at the beginning
    left = right = 0  # the match that reaches furthest
    for place in range(1, size // 2):
        match = min(matches[place - left], right - place) if place < right else 0
        while place + match < size and backwards[match] == backwards[place + match]:
            match += 1
        if place + match > right:
            left, right = place, place + match
        matches[place] = match
        if match >= place >= min_len:
            longest = place
    return longest


def _end_of_first_time(lower: str, start: int) -> int:
    """Return where to cut, given where the repetitions start: after the first sentence that comes again in them."""
    tail = lower[start:]
    end = start
    while True:
        sentence_end = _SENTENCE_END.search(lower, end)
        sentence_start = max(lower.rfind(mark, 1, end) for mark in ".?!\n")
        if not sentence_end or not sentence_end.start() or sentence_start < 0:
            return end
        end = sentence_end.end()
        if lower[sentence_start : end - 1] in tail:
            return end
