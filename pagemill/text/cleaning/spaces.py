"""Puts back spaces that were lost between two words, where the book itself shows that two were meant.

No dictionary is asked: what a word is, in any language, the book says by using it. A form that the
book has once only, such as "ofthe" or "hypothesisstipulates", is taken apart if both its parts are
words that stand on their own in the book, and the book either has them side by side elsewhere, or
is a book that does not write such parts as one word ("railway", "Regenwetter").
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pagemill.text.cleaning.evidence import Evidence
from pagemill.text.cleaning.joining import HYPHENS, protected_spans, span_around
from pagemill.text.cleaning.words import CLOSING, OPENING, Pairs, Words, changes_between, gone_and_come
from pagemill.text.mmd.blocks import parse_layout

_LETTERS = r"[^\W\d_]++"
_WORD = re.compile(OPENING + _LETTERS + CLOSING)
_FEW_FORMS = 40  # so many are looked for faster one by one than by finding all words of a page


class JoinedForms:
    """Finds the forms that are two words, again and again while the pages of a book change."""

    def __init__(self) -> None:
        self._pairs = Pairs()
        self._pages: Sequence[str] = ()
        self._evidence = Evidence(Words())
        self._found: dict[str, int] = {}

    def find(self, pages: Sequence[str], words: Words) -> dict[str, int]:
        """Return the forms that are two words, with the length of the first.

        None are returned without a look if all that were found before are gone, and nothing has changed
        that may tell of others.

        Args:
            pages: The pages of a book.
            words: The words of these pages.
        """
        if self._found and self._says_no_more(pages, words):
            return {}
        self._evidence, self._pages = Evidence(words), pages
        self._evidence.pairs = self._pairs.count(self._evidence.telling_pairs(), pages, words)
        ends = ((form, self._evidence.end_of_first_word(form)) for form in self._evidence.candidates)
        self._found = {form: end for form, end in ends if end}
        return self._found

    def _says_no_more(self, pages: Sequence[str], words: Words) -> bool:
        if not self._found.keys().isdisjoint(words.alone):
            return False
        changes = changes_between(self._pages, pages)
        if changes is None:
            return False
        (gone,), (come,) = gone_and_come(changes)
        return self._evidence.is_the_same(words, gone, come)


def restore_spaces(
    pages: Sequence[str], words: Words | None = None, forms: JoinedForms | None = None
) -> tuple[list[str], int]:
    """Put back the spaces that were lost between two words of a book.

    Mathematics, tables, code, addresses, and words with capitals within them stay as they are, and
    so does a form that the book has twice. Only spaces are added. The time is linear in the length
    of the text, but for the sorting of the book's words.

    Args:
        pages: The pages of a book in order; the words of all of them say what is a word.
        words: The words of these pages, if they have been counted already.
        forms: What found the spaces that were put into these pages before.

    Returns:
        The pages and how many spaces were put back. A page without any is the same object.
    """
    ends = (forms or JoinedForms()).find(pages, words or Words(pages))
    if not ends:
        return list(pages), 0
    restored, count, follows_cut = [], 0, False
    for text in pages:
        spaced = _with_spaces(text, ends, follows_cut)
        restored.append(spaced)
        count += len(spaced) - len(text)
        follows_cut = text.endswith(HYPHENS)
    return restored, count


def find_joined(pages: Sequence[str]) -> dict[str, int]:
    """Return the forms in a book's pages that are two words, with the length of the first."""
    return JoinedForms().find(pages, Words(pages))


def _with_spaces(text: str, ends: Mapping[str, int], follows_cut: bool) -> str:
    """Return a page with a space in every joined form outside what is protected.

    A word that the page before cut in two begins with its second half, which is no form.
    """
    found = [match for match in _words_among(text, ends) if not (follows_cut and not match.start())]
    if not found:
        return text
    protected = protected_spans(parse_layout(text))
    pieces, position = [], 0
    for match in found:
        if not span_around(protected, match.start()):
            cut = match.start() + ends[match.group()]
            pieces.append(text[position:cut])
            position = cut
    return " ".join([*pieces, text[position:]])


def _words_among(text: str, forms: Mapping[str, int]) -> list[re.Match[str]]:
    """Return the words of a page that are among some forms, in order."""
    if len(forms) > _FEW_FORMS:
        if forms.keys().isdisjoint(_WORD.findall(text)):
            return []
        return [match for match in _WORD.finditer(text) if match.group() in forms]
    found = [match for form in forms if form in text for match in _words_that_are(form, text)]
    return sorted(found, key=lambda match: match.start())


def _words_that_are(form: str, text: str) -> Iterator[re.Match[str]]:
    position = text.find(form)
    while position >= 0:
        match = _WORD.match(text, position)
        if match and match.group() == form:
            yield match
        position = text.find(form, position + 1)
