"""Extraction with hashing and checking beside the unpacking program alone, on the same archives in one run.

The runs alternate, so that both meet the same state of the machine. Each is a process of its own,
whose peak memory the system reports. Times are those of the work itself, without starting Python.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pagemill.archives.backends import sevenzip

PDF_BYTES = 4 << 20
WORDS = [f"word{number} " for number in range(4000)]
REPEATED_BYTES = 64 << 10


@dataclasses.dataclass(frozen=True)
class Run:
    """The time of a run, and the memory of its largest process."""

    seconds: float
    peak_bytes: int


def write_archive(path: Path, megabytes: int, solid: bool) -> None:
    """Write an archive of PDF-like files: half of each is text, half is noise, as of compressed images."""
    import rars

    source = random.Random(megabytes)
    builder = rars.RarBuilder(format="rar50", compression=1, solid=solid)
    for number in range(megabytes * (1 << 20) // PDF_BYTES):
        page = "".join(source.choices(WORDS, k=REPEATED_BYTES // 8)).encode()
        text = b"".join(page[source.randrange(len(page)) :] for _ in range(PDF_BYTES // REPEATED_BYTES))
        noise = source.randbytes(PDF_BYTES - len(text) - 9)
        builder.add_bytes(b"%PDF-1.7\n" + text + noise, f"books/{number}.pdf")
    builder.write(str(path))


def write_elsewhere(path: Path, megabytes: int, solid: bool) -> None:
    """Write the archive in another process: what this one holds would count as its children's peak memory."""
    writer = multiprocessing.get_context("spawn").Process(target=write_archive, args=(path, megabytes, solid))
    writer.start()
    writer.join()
    assert writer.exitcode == 0


OURS = """
import json, sys, time
from pathlib import Path
from pagemill.archives import extract_members
started = time.monotonic()
rows = extract_members([Path(sys.argv[1])], Path(sys.argv[2]))
seconds = time.monotonic() - started
assert all(row.status == "ok" for row in rows)
print(json.dumps(seconds))
"""


def ours(archive: Path, out: Path) -> Run:
    process = subprocess.Popen([sys.executable, "-c", OURS, archive, out], stdout=subprocess.PIPE)
    assert process.stdout is not None
    seconds = json.loads(process.stdout.read())
    return Run(seconds, _peak_bytes(process))


def backend(archive: Path, out: Path) -> Run:
    program = sevenzip()
    assert program is not None
    started = time.monotonic()
    process = subprocess.Popen([program, "x", "-bd", f"-o{out}", archive], stdout=subprocess.DEVNULL)
    peak_bytes = _peak_bytes(process)
    return Run(time.monotonic() - started, peak_bytes)


def _peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process and return the peak memory of it or any of its children, whichever had more."""
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss * 1024


def measure(run: Callable[[Path, Path], Run], archive: Path, folder: Path) -> Run:
    out = folder / "out"
    try:
        return run(archive, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def compare(archive: Path, folder: Path, repeats: int) -> tuple[Run, Run]:
    """Return the medians of ours and of the backend alone, after one run of each to warm the disk's cache."""
    pairs = [(measure(ours, archive, folder), measure(backend, archive, folder)) for _ in range(repeats + 1)][1:]
    mine, theirs = zip(*pairs, strict=True)
    return _median(mine), _median(theirs)


def _median(runs: tuple[Run, ...]) -> Run:
    return Run(statistics.median(run.seconds for run in runs), max(run.peak_bytes for run in runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[128, 256], help="sizes of the archives' contents")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print("| archive | unpacked | pagemill | 7zz alone | share of its speed | peak, pagemill | peak, 7zz |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for solid in (False, True):
            for megabytes in options.megabytes:
                archive = Path(name, "archive.rar")
                write_elsewhere(archive, megabytes, solid)
                mine, theirs = compare(archive, Path(name), options.repeats)
                print(_line("solid" if solid else "plain", megabytes, mine, theirs), flush=True)


def _line(kind: str, megabytes: int, mine: Run, theirs: Run) -> str:
    share = theirs.seconds / mine.seconds
    peaks = f"{mine.peak_bytes >> 20} MiB | {theirs.peak_bytes >> 20} MiB"
    return f"| {kind} | {megabytes} MiB | {mine.seconds:.2f} s | {theirs.seconds:.2f} s | {share:.2f} | {peaks} |"


if __name__ == "__main__":
    main()
