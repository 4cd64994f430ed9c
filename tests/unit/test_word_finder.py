"""Words are found as byte-level tokenizers find them, in every script that a text turns out to have."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from pagemill.text.chunking.words import WordFinder

BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
SCRIPTS = {
    "Latin": "na\u00efve \u201cquotes\u201d, it's \u2014 two\u00a0words",
    "Greek": "\u03b1\u03b2\u03b3 \u0394\u03b5 12",
    "Cyrillic": "\u0441\u043b\u043e\u0432\u043e \u2116 5",
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd 3",
    "Chinese": "\u4e2d\u6587\u3002\u3000\u4e09 3",
    "mathematical": "\U0001d465\u00b2 \U0001d7d9 x",
    "of a plane of its own": "\U00010400\U00010401 \U00010330 a",
}


def words_of(text: str) -> list[str]:
    return [text[start:end] for _, (start, end) in BYTE_LEVEL.pre_tokenize_str(text)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_words_are_those_of_the_tokenizer(script: str) -> None:
    finder = WordFinder()
    assert finder.learn(SCRIPTS[script])
    assert finder.words(SCRIPTS[script]) == words_of(SCRIPTS[script])


@settings(max_examples=50)
@given(st.permutations(list(SCRIPTS.values())))
def test_what_is_learned_later_changes_nothing_that_was_learned_before(texts: list[str]) -> None:
    finder = WordFinder()
    for index, text in enumerate(texts):
        assert finder.learn(text)
        for known in texts[: index + 1]:
            assert finder.words(known) == words_of(known)


@pytest.mark.parametrize("character", ["\u0378", "\ud800", "\U000e0080", "\U0010ffff"])
def test_characters_that_unicode_changed_its_mind_on_or_has_not_got_are_not_certain(character: str) -> None:
    finder = WordFinder()
    assert finder.learn("caf\u00e9")
    assert not finder.learn(f"caf\u00e9 {character}")
    assert finder.words("caf\u00e9 x") == ["caf\u00e9", " x"]


def test_ascii_needs_no_learning() -> None:
    assert WordFinder().learn("plain text, it's 12 \x00\x1c\n")
    assert WordFinder().words("plain text, it's 12 \n x") == words_of("plain text, it's 12 \n x")


def test_threads_learn_without_forgetting_what_others_learned() -> None:
    finder = WordFinder()
    threads = [threading.Thread(target=finder.learn, args=(text,)) for text in list(SCRIPTS.values()) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(finder.words(text) == words_of(text) for text in SCRIPTS.values())
