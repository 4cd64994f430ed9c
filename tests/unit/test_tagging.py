"""Pages are tagged by their headings, in a dozen languages, or by what their lines look like."""

# ruff: noqa: RUF001  letters of other scripts are meant

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.cleaning.tagging import TAGS, tag_pages

BODY = "## 1 Rain\n\nIt rains on the harbour, and the captain thinks of the year 1897 and of what he saw in it."
BOOKS = {  # title, preface, contents, references and index as each language heads them
    "en": ("Foreword", "Table of Contents", "References", "Subject Index", "All rights reserved. ISBN 1"),
    "de": ("Vorwort", "Inhaltsverzeichnis", "Literaturverzeichnis", "Sachregister", "Alle Rechte vorbehalten. ISBN 1"),
    "fr": ("Avant-propos", "Table des matières", "Références", "Index des noms", "Tous droits réservés. © 1999"),
    "es": ("Prólogo", "Índice general", "Bibliografía", "Índice analítico", "Todos los derechos reservados. © 1999"),
    "it": ("Prefazione", "Sommario", "Bibliografia", "Indice dei nomi", "Tutti i diritti riservati. ISBN 1"),
    "pt": ("Prefácio", "Sumário", "Referências", "Índice remissivo", "Depósito legal 12/99. ISBN 1"),
    "nl": ("Voorwoord", "Inhoudsopgave", "Literatuurlijst", "Zakenregister", "Alle rechten voorbehouden. © 1999"),
    "pl": ("Przedmowa", "Spis treści", "Bibliografia", "Skorowidz", "Wszelkie prawa zastrzeżone. ISBN 1"),
    "cs": ("Předmluva", "Obsah", "Literatura", "Rejstřík", "Copyright 1999. ISBN 1"),
    "ru": ("Предисловие", "Содержание", "Список литературы", "Предметный указатель", "Все права защищены. ISBN 1"),
    "zh": ("前言", "目录", "参考文献", "索引", "版权所有 ISBN 1"),
    "ja": ("はじめに", "目次", "参考文献", "索引", "著作権 © 1999"),
}


@pytest.mark.parametrize("language", BOOKS)
def test_headings_of_many_languages(language):
    preface, contents, references, index, rights = BOOKS[language]
    book = ["A Title", rights, f"# {preface}\n\nWhy.", f"## {contents}\n\nRain", *[BODY] * 5]
    book += [f"## {references}\n\nLee, Rain.", f"# {index.upper()}\n\nrain, 1, 3-5"]
    assert tag_pages(book) == (
        *("front_matter", "copyright", "front_matter", "contents"),
        *["body"] * 5,
        *("references", "index"),
    )


def test_numbers_and_marks_around_a_heading_do_not_matter():
    pages = [BODY, BODY, "## 12. References\n\nLee.", "**References**\n\nLee.", "REFERENCES\n\nLee."]
    assert tag_pages(pages)[2:] == ("references",) * 3


def test_a_heading_counts_only_if_it_is_all_of_the_first_line():
    pages = [BODY, "The index of prices\n\nrose.", "Index of prices rose, references say.\n\nIt did."]
    assert tag_pages(pages) == ("body",) * 3


def test_references_go_on_while_most_entries_have_a_year():
    first = "## References\n\nAdams, B. (1990). Rain. Journal of Weather 3, 1–20."
    second = "\n\n".join(f"Lee, C. ({1980 + n}a). On the nature of storms. Weather {n}, 12–{n + 20}." for n in range(5))
    after = "## Chapter 2\n\nIn 1897 it rained.\n\nIt rained for long.\n\nThen it stopped."
    assert tag_pages([BODY, first, second, second, after, BODY]) == ("body", *["references"] * 3, "body", "body")


def test_numbered_references_need_no_heading():
    listed = "* [12] A. Author, Rain.\n* [13] B. Author, Snow and what comes of it, and how it melts."
    assert tag_pages([BODY, listed]) == ("body", "references")
    assert tag_pages([BODY, f"{BODY}\n\n{BODY}\n\n* [12] A. Author, Rain."]) == ("body", "body")


def test_contents_go_on_while_most_lines_end_in_a_number():
    first = "Contents\n\n1 Rain 1\n\n1.1 Fog 5"
    second = "2 Snow 12\n\n2.1 Hail 15\n\n2.2 Dew 19"
    assert tag_pages([first, second, BODY, BODY])[:3] == ("contents", "contents", "body")
    assert tag_pages([BODY, second, BODY, BODY])[1] == "body"


def test_leaders_make_contents_without_a_heading():
    page = "1 Rain ........ 1\n\n2 Snow . . . . . . 5\n\nPreface ....... xii"
    assert tag_pages([page, BODY, BODY])[0] == "contents"


def test_an_index_stands_in_the_second_half():
    entries = "rain, 1, 3–5\nsnow, 5\nthunder, 7, 9f.\nwater, boiling point of, 8"
    assert tag_pages([BODY, BODY, BODY, entries])[-1] == "index"
    assert tag_pages([entries, BODY, BODY, BODY])[0] == "body"


def test_one_word_of_rights_is_no_copyright_page():
    assert tag_pages(["Copyright is a right of authors.", BODY])[0] == "body"
    assert tag_pages([BODY] * 9 + ["Copyright 1999. All rights reserved. ISBN 1"])[-1] == "body"


def test_a_table_of_numbers_is_none_of_these():
    table = (
        "\\begin{table}\n\\begin{tabular}{ll} rain & 12 \\\\ snow & 13 \\\\ \\end{tabular}\n\\end{table}\nTable 1: 1999"
    )
    assert tag_pages([table] * 4) == ("body",) * 4


def test_no_pages_and_empty_pages():
    assert tag_pages([]) == ()
    assert tag_pages(["", " \n", ""]) == ("body",) * 3


@pytest.mark.parametrize(
    "text", ["a, " * 50_000, "." * 100_000, ". " * 50_000 + "5", "* [" * 50_000, "\n" * 100_000, "\ud800"]
)
def test_hostile_pages_have_a_tag(text):
    assert set(tag_pages([text] * 3)) <= set(TAGS)


@settings(max_examples=100)
@given(st.lists(st.text(), max_size=6))
def test_every_page_has_a_tag(pages):
    tags = tag_pages(pages)
    assert len(tags) == len(pages)
    assert set(tags) <= set(TAGS)
