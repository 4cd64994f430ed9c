"""The collector rests while large packages are imported, and works on afterwards whatever came of it."""

import gc
import importlib
import subprocess
import sys

import pytest

from pagemill.ocr.importing import large_imports


def test_the_collector_rests_within_the_block_and_works_after_it_even_after_an_error():
    with large_imports():
        assert not gc.isenabled()
    with pytest.raises(ModuleNotFoundError), large_imports():
        importlib.import_module("no_such_package")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with large_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_nothing_is_frozen_before_the_process_ends():
    program = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0))  # runs after what is registered later
from pagemill.ocr.importing import large_imports
with large_imports():
    import json
print(gc.get_freeze_count() > 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
