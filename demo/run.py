"""Make a dataset from the sample archives, then show what came out of it and how much of it is right."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from pagemill.ledger import read_ledger, summarize, summary_table

HERE = Path(__file__).parent
OUT = Path("out/demo")
DATASET = OUT / "dataset"

console = Console()


def main() -> None:
    """Run the pipeline, then print where everything is."""
    run_pipeline()
    console.rule("pages")
    console.print(summary_table(summarize(read_ledger(str(DATASET)))))
    exact, known = count_exact_pages()
    console.print(f"{exact} of {known} typeset pages came out exactly as they were typeset")
    console.rule("three chunks")
    show_chunks()
    console.rule("where it is")
    console.print(f"dataset  {DATASET}/   datasets.load_dataset('{DATASET}')\nreport   {OUT / 'report.html'}")


def run_pipeline() -> None:
    """Run book-dataset on the samples with the demo's checkpoint."""
    options = {
        "source": HERE / "samples",
        "store": OUT / "store",
        "publish": DATASET,
        "runs": OUT / "runs",
        "checkpoint": HERE / "checkpoint",
        "passwords": HERE / "passwords.txt",
        "name": "pagemill demo",
        "max-shards": 3,
        "target-tokens": 128,
        "max-tokens": 256,
        "max-failed-fraction": 0.4,
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    subprocess.run([Path(sys.executable).with_name("pagemill"), "run", "book-dataset", *words], check=True)
    reports = sorted((OUT / "runs").glob("book-dataset-*/report.html"))
    shutil.copy(reports[-1], OUT / "report.html")


def count_exact_pages() -> tuple[int, int]:
    """Compare the pages read with what was typeset: pages that came out right, pages whose text is known.

    Of the page on which the model loops, what it read before the loop is right.
    """
    read = {(row.pdf_sha256, row.page): row.text for row in read_ledger(str(DATASET))}
    truth = [json.loads(line) for line in (HERE / "truth.jsonl").read_text().splitlines()]
    return sum(is_right(read[page["pdf_sha256"], page["page"]], page) for page in truth), len(truth)


def is_right(text: str, page: dict[str, Any]) -> bool:
    """Say whether a page's text is what was typeset."""
    return text.startswith(page["text"]) if page.get("loops") else text == page["text"]


def show_chunks() -> None:
    """Print the first chunk with a table, the first with mathematics and the first with neither."""
    import pyarrow.parquet as pq

    chunks = [row for file in sorted(DATASET.glob("data/chunks/*.parquet")) for row in pq.read_table(file).to_pylist()]
    kinds = {(chunk["has_table"], chunk["has_math"]): chunk for chunk in reversed(chunks) if chunk["heading_path"]}
    for kind in ((False, False), (False, True), (True, False)):
        chunk = kinds[kind]
        where = f"pages {chunk['page_start']} to {chunk['page_end']}, {chunk['token_count']} tokens"
        console.print(f"[bold]{' > '.join(chunk['heading_path'])}[/bold] ({where})", highlight=False)
        console.print(chunk["text"].strip(), markup=False, highlight=False, end="\n\n")


if __name__ == "__main__":
    main()
