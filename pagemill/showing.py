"""How the commands show rows: as a table whose first column is never cut, for it is what people copy; or as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

PIPED_WIDTH = 200  # of what goes to a file or another program

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def show_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows that have the same columns; what is not known is None."""
    if as_json:
        show_json(rows)
        return
    if not rows:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(rows[0]):
        whole = number == 0
        table.add_column(name.replace("_", " "), no_wrap=whole, overflow="ignore" if whole else "fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    console.print(table)


def show_json(value: Any) -> None:
    """Print a value as JSON; times are in ISO 8601."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))
