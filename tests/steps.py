"""How much work something is, whatever the machine: the lines of ours that it runs through."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pagemill

OURS = str(Path(pagemill.__file__).parent)


def count_steps(work: Callable[..., object], *arguments: object) -> int:
    """Return how many lines of `pagemill` a call runs; what others import or clean up meanwhile is not counted."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work(*arguments)
    finally:
        sys.settrace(before)
    return count
