"""Tags the pages of a book by what they are: body, front matter, contents, index, references, copyright."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pagemill.text.mmd.blocks import BlockKind, parse_blocks

BODY, FRONT_MATTER, CONTENTS, INDEX, REFERENCES, COPYRIGHT = (
    "body",
    "front_matter",
    "contents",
    "index",
    "references",
    "copyright",
)
TAGS = (BODY, FRONT_MATTER, CONTENTS, INDEX, REFERENCES, COPYRIGHT)

# What pages are headed with: in English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Czech,
# Russian, Chinese and Japanese.
_TITLES = {
    CONTENTS: "contents|table of contents|brief contents|list of figures|list of tables"
    "|inhalt|inhaltsverzeichnis|abbildungsverzeichnis|tabellenverzeichnis|table des matières|sommaire"
    "|índice|índice general|contenido|tabla de contenido|indice|indice generale|sommario|sumário|conteúdo"
    "|inhoud|inhoudsopgave|spis treści|obsah|содержание|оглавление|目录|目錄|目次",
    INDEX: "index|subject index|author index|name index|general index|index of names|index of subjects"
    "|register|sachregister|namensregister|personenregister|stichwortverzeichnis|index des noms|index général"
    "|índice analítico|índice alfabético|índice de nombres|índice remissivo|indice analitico|indice dei nomi"
    "|zakenregister|trefwoordenregister|skorowidz|indeks|rejstřík"
    "|предметный указатель|именной указатель|алфавитный указатель|указатель|索引",
    REFERENCES: "references|bibliography|works cited|literature cited|literature|further reading"
    "|literatur|literaturverzeichnis|bibliographie|quellenverzeichnis|références|références bibliographiques"
    "|bibliografía|referencias|bibliografia|referências|referências bibliográficas|riferimenti bibliografici"
    "|literatuur|literatuurlijst|literatura|литература|список литературы|библиография"
    "|参考文献|參考文獻|参考资料",
    FRONT_MATTER: "preface|foreword|acknowledgements|acknowledgments|dedication|about the author|about the authors"
    "|list of abbreviations|list of symbols|vorwort|geleitwort|danksagung|abkürzungsverzeichnis"
    "|préface|avant propos|remerciements|prólogo|prefacio|agradecimientos|prefazione|premessa|ringraziamenti"
    "|prefácio|agradecimentos|voorwoord|woord vooraf|przedmowa|předmluva|предисловие|前言|序言|序文|はじめに",
}
_TAG_OF_TITLE = {title: tag for tag, titles in _TITLES.items() for title in titles.split("|")}
_NOT_LETTERS = re.compile(r"[\W\d_]+")

# What a copyright page has two of, without case.
_RIGHTS = (
    *("©", "(c) 1", "(c) 2", "isbn", "copyright", "library of congress", "cataloguing", "first published"),
    *("all rights reserved", "alle rechte vorbehalten", "tous droits réservés", "todos los derechos reservados"),
    *("todos os direitos reservados", "tutti i diritti riservati", "alle rechten voorbehouden"),
    *("wszelkie prawa zastrzeżone", "все права защищены", "dépôt légal", "depósito legal", "版权所有", "著作権"),
)
_DOTS = ("..", ". .")  # one of which every leader has
_LEADER = re.compile(r"(?:\. ?){4}[. ]*+\d{1,4}\Z|\.{4}\.*+ ?[ivxlc]{1,6}\Z")
_NUMBER_AT_END = re.compile(r"[ \t.]\d{1,4}\Z")
_INDEX_ENTRY = re.compile(r"[^\d,][^,]*+(?:, ?[^\d, ][^\d,]*+)*+(?:, ?\d{1,4}(?:[-\u2013]\d{1,4})?[nf]{0,2}\.?)++\Z")
_AFTER_INDEX_NUMBER = "nf."

_REFERENCE = re.compile(r"\n[ \t]*+[*+-][ \t]+\[")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d[a-z]?\b")

_MAX_ENTRY_CHARACTERS = 200
_MAX_WORK_CHARACTERS = 600
_MIN_ENTRIES = 3
_MAX_COPYRIGHT_CHARACTERS = 3000
_FRONT_SHARE = 0.2  # of a book's pages, and at least so many pages, in which its front matter lies
_FRONT_MIN_PAGES = 4
_BACK_SHARE = 0.5  # of a book's pages, after which an index can begin


class _Page(NamedTuple):
    """A page's text and where in its book it stands, 0 to 1."""

    text: str
    title: str
    lines: list[str]
    position: float
    in_front: bool
    previous: str  # the tag of the page before


def tag_pages(pages: Sequence[str]) -> tuple[str, ...]:
    """Return a tag for each page of a book, from its cleaned texts in order.

    A page is what its heading says, or what most of its lines look like; what lies before the last
    of a book's opening pages so tagged is its front matter; everything else is its body.
    """
    tags: list[str] = []
    for index, text in enumerate(pages):
        tags.append(_tag(_read(text, index, len(pages), tags[-1] if tags else "")))
    front = [index for index in range(_front_pages(len(pages))) if tags[index] in (CONTENTS, COPYRIGHT, FRONT_MATTER)]
    for index in range(front[-1] if front else 0):
        if tags[index] == BODY:
            tags[index] = FRONT_MATTER
    return tuple(tags)


def _tag(page: _Page) -> str:
    return next((tag for tag, holds in _RULES if holds(page)), BODY)


def _read(text: str, index: int, count: int, previous: str) -> _Page:
    first, _, _ = text.partition("\n")
    title = _NOT_LETTERS.sub(" ", first).strip().casefold() if len(first) <= _MAX_ENTRY_CHARACTERS else ""
    lines = list(filter(None, map(str.strip, text.split("\n"))))
    return _Page(text, title, lines, (index + 1) / count, index < _front_pages(count), previous)


def _front_pages(count: int) -> int:
    return min(count, max(_FRONT_MIN_PAGES, int(_FRONT_SHARE * count)))


def _is_contents(page: _Page) -> bool:
    if _TAG_OF_TITLE.get(page.title) == CONTENTS:
        return True
    if any(dots in page.text for dots in _DOTS) and _most(page.lines, _LEADER.search):
        return True
    return page.previous == CONTENTS and _most(page.lines, _NUMBER_AT_END.search)


def _is_index(page: _Page) -> bool:
    if page.position <= _BACK_SHARE:
        return False
    return _TAG_OF_TITLE.get(page.title) == INDEX or _most(page.lines, _match_index_entry)


def _match_index_entry(line: str) -> re.Match[str] | None:
    ends_with_number = line.rstrip(_AFTER_INDEX_NUMBER)[-1:].isdecimal()
    return _INDEX_ENTRY.match(line) if ends_with_number else None


def _is_references(page: _Page) -> bool:
    if _TAG_OF_TITLE.get(page.title) == REFERENCES:
        return True
    if page.previous == REFERENCES and _most(page.lines, _YEAR.search, _MAX_WORK_CHARACTERS):
        return True
    if not _REFERENCE.search(f"\n{page.text}"):
        return False
    listed = (block.end - block.start for block in parse_blocks(page.text) if block.kind is BlockKind.REFERENCES)
    return sum(listed) > len(page.text) / 2


def _is_copyright(page: _Page) -> bool:
    if not page.in_front or len(page.text) > _MAX_COPYRIGHT_CHARACTERS:
        return False
    text = page.text.casefold()
    return sum(mark in text for mark in _RIGHTS) > 1


def _is_front_matter(page: _Page) -> bool:
    return page.in_front and _TAG_OF_TITLE.get(page.title) == FRONT_MATTER


_RULES: tuple[tuple[str, Callable[[_Page], bool]], ...] = (
    (CONTENTS, _is_contents),
    (COPYRIGHT, _is_copyright),
    (FRONT_MATTER, _is_front_matter),
    (REFERENCES, _is_references),
    (INDEX, _is_index),
)


def _most(
    lines: Sequence[str],
    matches: Callable[[str], re.Match[str] | None],
    max_characters: int = _MAX_ENTRY_CHARACTERS,
) -> bool:
    """Say whether more than half of a page's lines, and a few at least, match."""
    found = sum(1 for line in lines if len(line) <= max_characters and matches(line))
    return found >= _MIN_ENTRIES and 2 * found > len(lines)
