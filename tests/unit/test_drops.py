"""What rules left out is counted by rule, and some of it is shown."""

import random

from pagemill.records import Drop
from pagemill.text.judging.drops import count_drops, format_drops


def drop(book: str, page: int, rule: str = "garbage_page") -> Drop:
    return Drop(book * 32, page, rule, f"figure {page} is above 0", f"text of {book} {page}")


DROPS = [drop("ab", 1), drop("ab", 2), drop("cd", 5), drop("cd", 0, "no_text"), drop("ef", 7, "looping_page")]


def test_what_each_rule_left_out_is_counted():
    counts = count_drops(DROPS)
    assert [(each.rule, each.pages, each.documents, each.books) for each in counts] == [
        ("garbage_page", 3, 0, 2),
        ("looping_page", 1, 0, 1),
        ("no_text", 0, 1, 1),
    ]
    assert counts[0].examples == tuple(DROPS[:3])


def test_examples_are_few_and_the_same_in_any_order():
    drops = [drop(f"{book:02x}", page) for book in range(20) for page in range(1, 30)]
    (count,) = count_drops(drops, examples=5)
    assert (count.pages, count.books, len(count.examples)) == (580, 20, 5)
    assert len({each.pdf_sha256 for each in count.examples}) > 2  # from all over the collection
    random.Random(1).shuffle(drops)
    assert count_drops(drops, examples=5) == [count]
    assert count_drops(drops, examples=0)[0].examples == ()


def test_lines_for_people():
    assert format_drops(count_drops(DROPS)).split("\n")[:3] == [
        "garbage_page: 3 pages, in 2 books",
        "  abababababab page 1: figure 1 is above 0",
        "    text of ab 1",
    ]
    assert "no_text: 1 whole book, in 1 book\n  cdcdcdcdcdcd whole book: figure 0" in format_drops(count_drops(DROPS))
    assert format_drops([]) == "nothing was left out"
