"""The word list that Nougat looks into after every page, kept in memory and never downloaded."""

import functools
import os
from pathlib import Path
from typing import Any

from pagemill.ocr.checkpoint import cache_folder

CORPUS = "corpora/words"


def provide_word_list() -> Path | None:
    """Make NLTK's corpus `words` available to this process without the network.

    Nougat's post-processing asks after every page whether its last word is in that corpus; where
    NLTK has none it would try to download it, page after page. A list is written from the package
    `english-words` (Webster's Second, as NLTK's own) into the user's cache, once.

    The corpus is also parsed only once a process instead of once a page: 236,000 lines each time.

    Returns:
        The folder that was put on NLTK's path (give it as NLTK_DATA to other programs), or None
        where NLTK had the corpus already.
    """
    import nltk

    folder = None
    try:
        nltk.data.find(CORPUS)
    except LookupError:
        folder = write_word_list(cache_folder() / "nltk_data")
        nltk.data.path.append(str(folder))
    _parse_once()
    return folder


def write_word_list(folder: Path) -> Path:
    """Write `corpora/words/en` below a folder, unless it is there, and return the folder."""
    target = folder / CORPUS / "en"
    if target.is_file():
        return folder
    from english_words import get_english_words_set

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".en-{os.getpid()}")  # a dot keeps it out of what other processes read
    partial.write_text("\n".join(sorted(get_english_words_set(["web2"]))) + "\n", encoding="utf-8")
    os.replace(partial, target)
    return folder


def _parse_once() -> None:
    from nltk.corpus import words

    words.ensure_loaded()
    if not hasattr(words.words, "cache_info"):
        words.words = functools.cache(_as_set(words.words))


def _as_set(read: Any) -> Any:
    return lambda: frozenset(read())
