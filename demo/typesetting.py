"""Turns a book written in Nougat's dialect into typst and PDF, so that the truth and the page have one source."""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import typst

BOOKS = Path(__file__).parent / "books"
FIGURES = {"alice": "garden", "origin": "tree", "motion": "flame"}
DIRECTIVE = re.compile(r'^%page(?: head="(?P<head>[^"]*)")?(?P<read> read)?(?P<loops> loops)?(?: blank)?$')
ENDS_SENTENCE = re.compile(r"""[.!?:;\]"_]$""")


@dataclasses.dataclass(frozen=True)
class Page:
    """One page of a book: what stands above the text, and the text as Nougat writes it."""

    number: int
    head: str
    head_is_read: bool
    text: str
    loops: bool  # the model is to lose itself in the last dot leader, as models do

    @property
    def target(self) -> str:
        """What the model is to write for the page; Nougat mostly leaves running heads out."""
        if self.loops:
            return re.sub(r"\.+ \d+$", "", self.text)
        return f"{self.head} {self.number}\n\n{self.text}" if self.head_is_read else self.text


def read_pages(book: str) -> list[Page]:
    """Split `books/<book>.mmd` at its `%page` lines."""
    pages: list[Page] = []
    for part in re.split(r"^(?=%page)", (BOOKS / f"{book}.mmd").read_text(encoding="utf-8"), flags=re.M)[1:]:
        directive, _, text = part.partition("\n")
        options = DIRECTIVE.match(directive)
        assert options, directive
        read, loops = (options[name] is not None for name in ("read", "loops"))
        pages.append(Page(len(pages) + 1, options["head"] or "", read, text.strip(), loops))
    return pages


def typeset(book: str, author: str) -> bytes:
    """Return the book as PDF; the same source gives the same bytes."""
    pages = read_pages(book)
    title = pages[0].text.splitlines()[0].lstrip("# ")
    body = "\n#pagebreak()\n".join(_page(book, page) for page in pages)
    source = f'{(BOOKS / "template.typ").read_text()}\n#show: book.with(title: "{title}", author: "{author}")\n{body}\n'
    return typst.compile(source.encode(), ignore_system_fonts=True)


def _page(book: str, page: Page) -> str:
    head = f"#running_head[{page.head}][{page.number}]\n\n" if page.head else ""
    paragraphs = re.split(r"\n\n+", page.text) if page.text else []
    body = "\n\n".join(_paragraph(book, each) for each in paragraphs) or "#box()"
    runs_on = bool(page.head and paragraphs and not ENDS_SENTENCE.search(page.text))
    return head + body + ("#linebreak(justify: true)" if runs_on else "")


def _paragraph(book: str, text: str) -> str:
    for pattern, write in _BLOCKS.items():
        if match := re.match(pattern, text, flags=re.S):
            return write(match, book)
    return _inline(text)


def _heading(match: re.Match[str], _book: str) -> str:
    return f"{'=' * len(match[1])} {_inline(match[2])}"


def _formula(match: re.Match[str], _book: str) -> str:
    formula = f"$ {_mathematics(match[1])} $"
    return f"#numbered({match[2]}, {formula})" if match[2] else formula


def _table(match: re.Match[str], _book: str) -> str:
    columns = match[1].split()
    alignment = ", ".join({"l": "left", "r": "right", "c": "center"}[column] for column in columns)
    rows = [row.split("&") for row in match[2].split(r"\\") if row.strip()]
    cells = ", ".join(f"[{cell.strip()}]" for row in rows for cell in row)
    table = f"#align(center, table(columns: {len(columns)}, align: ({alignment}), stroke: 0.4pt, {cells}))"
    return f'{table}\n#caption("Table", {match[3]})[{_inline(match[4])}]'


def _figure(match: re.Match[str], book: str) -> str:
    return f'#v(6mm)\n#align(center, {FIGURES[book]})\n#v(4mm)\n#caption("Figure", {match[1]})[{_inline(match[2])}]'


def _footnote(match: re.Match[str], _book: str) -> str:
    return f"#bottom_note[{match[1]}][{_inline(match[2])}]"


def _contents_entry(match: re.Match[str], _book: str) -> str:
    return f"#contents_entry[{match[1].replace('.', chr(92) + '.')}][{match[2]}]"


def _references(match: re.Match[str], _book: str) -> str:
    return "\n\n".join(_inline(line.removeprefix("* ")) for line in match[0].splitlines())


def _list(match: re.Match[str], _book: str) -> str:
    return "\n".join(f"- {_inline(line.removeprefix('* '))}" for line in match[0].splitlines())


_BLOCKS: dict[str, Callable[[re.Match[str], str], str]] = {
    r"(#+) ([^\n]+)$": _heading,
    r"\\\[(.+?)(?: \\tag\{(.+?)\})?\\\]$": _formula,
    r"\\begin\{table\}\n\\begin\{tabular\}\{(.+?)\} (.+) \\end\{tabular\}\n\\end\{table\}\nTable (\d+): (.+)$": _table,
    r"Figure (\d+): (.+)$": _figure,
    r"Footnote (\d+): (.+)$": _footnote,
    r"([^\n]+?)[ .]* (\d+)$": _contents_entry,
    r"\* \[\d+\] .+$": _references,
    r"\* .+$": _list,
}


def _inline(text: str) -> str:
    """Write a run of text: formulas in typst, bold as typst has it, words broken by hand at the line end."""
    pieces = re.split(r"\\\((.+?)\\\)", text)
    pieces[1::2] = [f"${_mathematics(formula)}$" for formula in pieces[1::2]]
    pieces[::2] = [re.sub(r"(\w)- (\w)", r"\1-?\2", piece.replace("**", "*")) for piece in pieces[::2]]
    return "".join(pieces)


def _mathematics(latex: str) -> str:
    return _formulas()[latex]


@functools.cache
def _formulas() -> dict[str, str]:
    return tomllib.loads((BOOKS / "mathematics.toml").read_text(encoding="utf-8"))
