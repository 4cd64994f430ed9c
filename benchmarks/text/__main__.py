"""Compare chunkers and measure cleaning: `python -m benchmarks.text` from the project's folder."""

from benchmarks.text.compare import main

main()
