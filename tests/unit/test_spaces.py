"""Spaces that were lost between words come back where the book is sure of them, and nowhere else."""

import itertools
import random
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.documents import read_document
from pagemill.manifest import Outcome, Stage
from pagemill.records import BookRecord, PageRecord, PdfRecord, Status
from pagemill.storage import Store
from pagemill.text.clean_documents import clean_documents
from pagemill.text.cleaning.book import clean
from pagemill.text.cleaning.evidence import Evidence
from pagemill.text.cleaning.spaces import JoinedForms, find_joined, restore_spaces
from pagemill.text.cleaning.words import Words

SYLLABLES = (("bran", "dol", "fer", "gim", "lus"), ("aver", "ilom", "oned"), ("tian", "mous", "sque", "ling"))
LONG_WORDS = " ".join(map("".join, itertools.product(*SYLLABLES))) + ". "

# A book that knows these words well, and has no compounds among its long ones.
KNOWN = "A hypothesis stipulates water below. Some hypothesis of water. A theory stipulates water. "
BOOK = LONG_WORDS * 2 + KNOWN * 3 + "Over the sea and under the sun. " * 15


def restored(text, book=BOOK):
    """Return what becomes of a text at the end of a book."""
    (_, last), count = restore_spaces([book, text])
    assert count == len(last) - len(text)
    return last


# what is parted ---------------------------------------------------------------------------------


def test_two_long_words_are_parted():
    assert restored("This hypothesisstipulates rain.") == "This hypothesis stipulates rain."


def test_words_that_often_stand_side_by_side_are_parted():
    assert restored("It lies inthe sea.", "in the sun and in the sky, in the end") == "It lies in the sea."


def test_a_frequent_word_is_parted_from_a_long_one():
    assert restored("Now thehypothesis fails.") == "Now the hypothesis fails."


def test_a_capital_at_the_beginning_is_no_hindrance():
    assert restored("Inthe sea it rains.", "in the sun and in the sky, in the end. In all") == "In the sea it rains."


@pytest.mark.parametrize("around", ["({})", "“{}”", "_{}_", "{}, and", "{}.", "rain\n{}\nrain", "rain—{}—rain"])
def test_punctuation_may_stand_around(around):
    assert restored(around.format("hypothesisstipulates")) == around.format("hypothesis stipulates")


def test_other_scripts_with_spaces_are_parted_too():
    book = "гипотеза утверждает снова. " * 3
    assert restored("новая гипотезаутверждает", book) == "новая гипотеза утверждает"


# what stays -------------------------------------------------------------------------------------

JOINED = "hypothesisstipulates"


@pytest.mark.parametrize(
    "text",
    [
        f"\\({JOINED}\\)",
        f"\\( a {JOINED} b \\)",
        f"\\[ a {JOINED} b \\]",
        f"```\nprint {JOINED} now\n```",
        f"\\begin{{table}}\n\\begin{{tabular}}{{l}} a & {JOINED}\\end{{tabular}}\n\\end{{table}}\nTable 1: {JOINED}",
        f"https://{JOINED}.org/{JOINED}",
        f"www.{JOINED}.org and {JOINED}@rain.org and rain@{JOINED}.org",
        f"{JOINED}_rain {JOINED}2 2{JOINED} {JOINED}/rain \\{JOINED} {JOINED}'s",
        f"a {JOINED}-rain or rain-{JOINED}",
        "HypothesisStipulates HYPOTHESISSTIPULATES hypothesisStipulates",
        f"{JOINED} and {JOINED}",
        f"{JOINED} and {JOINED.capitalize()}",
        f"{JOINED} and {JOINED}'s",
    ],
)
def test_what_is_no_plain_word_or_comes_twice_stays(text):
    assert restored(text) == text


@pytest.mark.parametrize(
    ("text", "book"),
    [
        ("hypothesisrained", BOOK),  # half of it is unknown
        ("hypothesiswater", "hypothesis water. " * 2),  # known, but not well
        ("waterbelow", "water or below. " * 9),  # might be one word
        ("waterfallen", "water fallen or water fallen or water fallen, in a waterhole. " * 2 + "hole " * 9),
        ("Livingstone", "living or stone. Living or stone. " * 9),  # might be a name
        ("understands", "under or stands. " * 30 + "understanding "),  # kin of another word
        ("Regenwetter", "Regen und Wetter. " * 9),  # a noun of German is no word in lower case
        ("ahypothesis", "a hypothesis. " * 9),  # too short a part
        ("hypothesis" * 9, BOOK),
        ("水的沸点取决于空气的压力", "水的沸点 取决于空气的压力。 " * 9),
    ],
)
def test_what_may_be_one_word_stays(text, book):
    assert restored(text, book) == text


def test_books_that_write_long_compounds_keep_them():
    compounds = ["schneewetter", "sommerregen", "wintersturm", "nebelwetter"]
    parts = "schnee, wetter, sommer, regen, winter, sturm, nebel, weiter, dunkel, "
    book = (LONG_WORDS + parts + "gewitter. ") * 4
    assert restored("dunkelgewitter", book) == "dunkel gewitter"
    assert restored("dunkelgewitter", book + " ".join(compounds * 4)) == "dunkelgewitter"


def test_a_short_text_says_too_little_of_its_compounds():
    assert restored("stipulateshypothesis", BOOK) == "stipulates hypothesis"
    assert restored("stipulateshypothesis", KNOWN * 3) == "stipulateshypothesis"


def test_the_second_half_of_a_cut_word_is_no_word():
    assert restore_spaces([BOOK + "anti-", "hypothesisstipulates"]) == ([BOOK + "anti-", "hypothesisstipulates"], 0)


@pytest.mark.parametrize("pages", [[], [""], ["", " \n"], ["a"], ["12 34"], ["\\("], ["\x00\ud800"]])
def test_nothing_to_part(pages):
    assert restore_spaces(pages) == (pages, 0)


# a whole book -----------------------------------------------------------------------------------


def test_pages_end_where_their_text_ends_after_spaces_came_back():
    pages = [BOOK + "Now hypothesisstipulates", "water and", "It ends, thehypothesis", "and more."]
    cleaned = clean(pages)
    assert cleaned.removed.lost_spaces == 2
    expected = [page.replace("sisst", "sis st").replace("thehyp", "the hyp") for page in pages]
    assert [page.rstrip() for page in cleaned.pages()] == expected
    assert cleaned.page_ends[-1] == len(cleaned.text)
    assert cleaned.text == clean(expected).text


def test_a_document_knows_its_pages_after_spaces_came_back(tmp_path):
    store = Store(str(tmp_path))
    pages = [BOOK + "Now hypothesisstipulates", "water and", "It ends, thehypothesis", "and more."]
    pdf = PdfRecord("b", "books.rar", "ab" * 32, "shelf/b.pdf", 1000, 4, Status.OK)
    inspected = Stage("inspect_pdfs", 1, PdfRecord).once(store, [], {}, lambda: Outcome([pdf]))
    read = [
        PageRecord("b", number, Status.OK, None, "nougat", 1, text, 10, 0.1) for number, text in enumerate(pages, 1)
    ]
    store.write_jsonl("pages/key/b.jsonl", [each.to_dict() for each in read])
    books = [BookRecord("b", "pages/key/b.jsonl", 4, Status.OK)]
    recognized = Stage("recognize_pages", 1, BookRecord).once(store, [inspected], {}, lambda: Outcome(books))
    (row,) = clean_documents(recognized, store).rows
    document = read_document(store, row.result)
    starts = (0, *document.page_ends)
    found = [document.text[start:end].rstrip() for start, end in itertools.pairwise(starts)]
    assert found[1:] == ["water and", "It ends, the hypothesis", "and more."]
    assert found[0].endswith("Now hypothesis stipulates")
    assert document.page_ends[-1] == len(document.text)
    assert document.quality.lost_spaces == 2


def test_a_space_that_came_back_can_make_another_certain():
    book = "It was rain of gold, rain of ash, rain of fire, rain of the hills, rain of the sea. To the moon. "
    text = book + "A rainof the west, a part ofthe sky."
    assert restore_spaces([text])[1] == 1
    cleaned = clean(text)
    assert cleaned.text.endswith("A rain of the west, a part of the sky.")
    assert cleaned.removed.lost_spaces == 2


def found_again(pages, forms, monkeypatch):
    """Return what is found in changed pages, and how often the evidence was weighed anew for it."""
    weighed = []

    def weigh(words):
        weighed.append(words)
        return Evidence(words)

    with monkeypatch.context() as patch:
        patch.setattr("pagemill.text.cleaning.spaces.Evidence", weigh)
        return forms.find(pages, Words(pages)), len(weighed)


def test_spaces_that_say_nothing_of_other_forms_are_not_looked_at_again(monkeypatch):
    forms, pages = JoinedForms(), [BOOK + "Now hypothesisstipulates water."]
    after, count = restore_spaces(pages, forms=forms)
    assert count == 1
    assert found_again(after, forms, monkeypatch) == ({}, 0)


@pytest.mark.parametrize(
    "end",
    [
        " Now hypothesisstipulates.",  # what was found came back
        " Now thehypothesis fails.",  # a new form
        " Wind, wind, wind.",  # a new word
        " Sea of stars.",  # a word that may be frequent now
        "\n\n" + "Over the sea. " * 99,  # much of the book
    ],
)
def test_what_may_say_something_of_other_forms_is_looked_at(end, monkeypatch):
    forms, pages = JoinedForms(), [BOOK + "Now hypothesisstipulates water." + " sea" * 4]
    (text,), _ = restore_spaces(pages, forms=forms)
    found, weighed = found_again([text + end], forms, monkeypatch)
    assert (found, weighed) == (find_joined([text + end]), 1)


BITS = ["in", "to", "into", "the", "of", "rain", "fall", "rainfall", "under", "stand", "understand", "sea", "The", "In"]
GAPS = [*[" "] * 12, "", ". ", "\n\n"]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(["", " in", " rainfall", " into the"]))
def test_looking_again_finds_what_a_first_look_would(seed, end):
    chance = random.Random(seed)
    bits = chance.sample(BITS, 9)
    text = "".join(chance.choice(bits) + chance.choice(GAPS) for _ in range(250))
    forms = JoinedForms()
    (after,), _ = restore_spaces([text], forms=forms)
    after += end
    assert forms.find([after], Words([after])) == find_joined([after])


ADJECTIVES = ["ancient", "gentle", "hidden", "purple", "quiet", "rapid", "silver", "violet"]
NOUNS = ["captain", "garden", "island", "letter", "morning", "picture", "question", "river"]
VERBS = ["admires", "brings", "draws", "follows", "keeps", "leaves", "paints", "watches"]


def story(seed, sentences=600):
    """Write sentences of a small language, in which compounds do not occur."""
    chance = random.Random(seed)
    words = (ADJECTIVES, NOUNS, VERBS, ADJECTIVES, NOUNS)
    picked = ([chance.choice(each) for each in words] for _ in range(sentences))
    return " ".join(f"The {a} {b} {c} the {d} {e}, and so on." for a, b, c, d, e in picked)


@pytest.mark.parametrize("seed", range(4))
def test_spaces_removed_at_random_come_back_at_their_places(seed):
    whole = story(seed)
    chance = random.Random(seed)
    damaged = re.sub(r"(?<=[a-z]) (?=[a-z])", lambda gap: "" if chance.random() < 0.01 else gap[0], whole)
    (text,), count = restore_spaces([damaged])
    lost = len(whole) - len(damaged)
    places = [set(itertools.accumulate(map(len, each.split()))) for each in (whole, text)]
    assert places[1] <= places[0]  # every space is one that was there
    assert count > lost / 4
    assert find_joined([whole]) == {}


# invariants -------------------------------------------------------------------------------------

PIECES = [
    "water",
    "hypothesis",
    "stipulates",
    "the",
    "in",
    "The",
    " ",
    " ",
    " ",
    "\n\n",
    "-",
    ". ",
    "\\(",
    "\\)",
    "```",
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT | st.text(max_size=40), max_size=5))
def test_nothing_but_spaces_is_added(pages):
    texts, count = restore_spaces(pages)
    assert len(texts) == len(pages)
    assert ["".join(text.split()) for text in texts] == ["".join(page.split()) for page in pages]
    assert count == sum(map(len, texts)) - sum(map(len, pages))


@settings(max_examples=150, deadline=None)
@given(TEXT, st.sampled_from(["", BOOK]))
def test_cleaning_a_text_again_adds_no_space(text, book):
    once = clean(book + text).text
    assert clean(once).text == once


def calls_for(text):
    """Count the calls, of Python and of C, that a text takes."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        restore_spaces([text])
    finally:
        sys.setprofile(before)
    return calls


def unlike_words(number):
    """Write as many words, each once, half of which can be taken apart in many ways."""
    chance = random.Random(number)
    return " ".join("".join(chance.choices("ab", k=chance.randrange(2, 64))) for _ in range(number))


@pytest.mark.parametrize(
    "write",
    [lambda n: story(0, n), unlike_words, lambda n: "a" * 40 * n, lambda n: "ab" * n + " ab" * n, lambda n: "\\( " * n],
)
def test_twice_the_text_takes_twice_the_work(write):
    assert calls_for(write(800)) < 2.5 * calls_for(write(400)) + 100


@pytest.mark.parametrize(
    "forms",
    [
        lambda words: [f"abcd{word}" for word in words],
        lambda words: [f"{word}abcd" for word in words],
        lambda words: [f"abcd{word} {word}abcd" for word in words],
    ],
)
def test_forms_that_are_much_alike_take_no_more_time_than_others(forms):
    words = ["xyz" + "".join(letters) for letters in itertools.product("abcdefgh", repeat=3)][:400]
    few, many = (calls_for(" ".join(["abcd", *some] * 3 + forms(some))) for some in (words[:200], words))
    assert many < 2.3 * few
