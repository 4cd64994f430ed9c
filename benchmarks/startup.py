"""Measure how long `pagemill --help` takes, beside a Python that does nothing and one that imports kfp."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "pagemill --help": [str(Path(sys.executable).with_name("pagemill")), "--help"],
    "python -c 'import kfp'": [sys.executable, "-c", "import kfp"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - started)
    print(f"| command | median of {RUNS} interleaved runs, s |\n| --- | --- |")
    for name, measured in seconds.items():
        print(f"| `{name}` | {statistics.median(measured):.3f} |")


if __name__ == "__main__":
    main()
