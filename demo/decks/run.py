"""Review a sample deck with the tiny model, then say what came out of it, and open the report."""

import contextlib
import json
import os
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Any

from rich.console import Console

HERE = Path(__file__).parent
OUT = Path("out/demo-decks")
PAGEMILL = Path(sys.executable).with_name("pagemill")
MODELS = "PAGEMILL_DECKS__VISION__URL=http://… PAGEMILL_DECKS__TEXT__URL=http://…"  # of real ones
OPTIONS = {"out": OUT, "store": OUT / "store", "template": HERE / "questions.yaml", "specialists": "always"}
OWN_SETTINGS = "PAGEMILL_"  # what the user's variables begin with; the demo has settings of its own

console = Console()


def main() -> None:
    """Review the deck, then print where everything is."""
    review = review_deck()
    files = {Path(each).suffix: Path(each) for each in review["files"]}
    show_review(json.loads(files[".json"].read_text()))
    console.rule("where it is")
    pagemill = os.path.relpath(PAGEMILL)
    console.print(
        f"report   {files['.html']}\ntext     {files['.md']}\nlogs     {OUT / 'store/decks/logs'}/", soft_wrap=True
    )
    console.print(f"tasks    {pagemill} decks status {review['review'][:8]} --store {OUT / 'store'}", soft_wrap=True)
    console.print(f"next     {MODELS} {pagemill} decks review deck.pdf --wait", soft_wrap=True)
    open_in_browser(files[".html"])


def review_deck() -> dict[str, Any]:
    """Run the review, all of it on this machine; when it is there already, nothing is done again."""
    words = [str(word) for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    command = [PAGEMILL, "decks", "review", HERE / "korbland.pdf"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    settings = OUT / "pagemill.toml"  # empty
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.touch()
    environment["PAGEMILL_CONFIG"] = str(settings)
    with subprocess.Popen([*command, "--wait", "--json", *words], stdout=subprocess.PIPE, env=environment) as process:
        try:
            told, _ = process.communicate()
        except KeyboardInterrupt:  # the command has met it too, and ends in its own way
            sys.exit(process.wait())
    if process.returncode:
        sys.exit(process.returncode)
    return dict(json.loads(told)[0])


def show_review(review: dict[str, Any]) -> None:
    """Print what the model made of the deck, and which of it was not believed."""
    console.rule("what the model says, and what became of it")
    for name, found in (review["extractions"] or {"extractions": {}})["extractions"].items():
        flags = ", ".join(found["flags"]) or "no flag"
        console.print(f"{name}: {found['value']!r} ({flags})", markup=False, highlight=False)
    parts = [review["visual"], review["feedback"], review["extractions"], *review["specialists"]]
    calls = [call for part in parts if part for call in part["calls"]]
    seconds = sum(call["seconds"] for call in calls)
    console.print(
        f"{len(calls)} questions, {seconds:.0f} s of the model. It is the smallest there is: its answers have the form"
        " that was asked for and hardly any sense, and flags tell what no slide says.",
        highlight=False,
    )


def open_in_browser(page: Path) -> None:
    """Show a page where there is a browser with a screen."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin":
        with contextlib.suppress(Exception):
            webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    main()
