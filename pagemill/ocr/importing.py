"""Imports that make a million objects, as those of torch and Nougat do, without the collector that looks at each."""

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def large_imports() -> Iterator[None]:
    """Import in the block: without collections meanwhile, nor of everything once more when the process ends.

    Nougat and what it needs are imported in 3 s of CPU time, not 3.7, and the process ends 2 s sooner.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        atexit.register(gc.freeze)  # what is frozen is not collected; while the process works, all is
