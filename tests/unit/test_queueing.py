"""Pages wait for the model in an order that keeps its batch full, and each comes out once."""

import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagemill.ocr.engine import PageInput, Prepared
from pagemill.ocr.queueing import PageQueue

PIXELS = np.zeros(1, np.uint8)


def put(queue: PageQueue, key: str, tokens: int, likely_loop: bool = False) -> None:
    queue.put(PageInput(key, PIXELS), Prepared(PIXELS, expected_tokens=tokens, likely_loop=likely_loop))


def keys(pages: list[PageInput]) -> list[str]:
    return [page.key for page in pages]


def test_likely_loops_come_first_and_long_pages_before_short_ones():
    queue = PageQueue()
    put(queue, "cover", 4000, likely_loop=True)
    put(queue, "short", 100)
    put(queue, "long", 900)
    put(queue, "contents", 50, likely_loop=True)

    assert keys(queue.take(3)) == ["cover", "contents", "long"]
    assert keys(queue.take(3)) == ["short"]


def test_no_page_is_passed_over_for_ever():
    queue = PageQueue(generation_pages=4)
    put(queue, "shortest", 1)
    for number in range(8):
        put(queue, f"long {number}", 1000)

    assert "shortest" in keys(queue.take(4))


@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans())), st.integers(1, 7), st.integers(1, 9))
def test_every_page_comes_out_once(pages, limit, generation_pages):
    queue = PageQueue(generation_pages)
    for number, (tokens, loops) in enumerate(pages):
        put(queue, number, tokens, loops)

    taken = []
    while batch := queue.take(limit):
        assert len(batch) <= limit
        taken += keys(batch)

    assert sorted(taken) == list(range(len(pages)))
    order = [(number // generation_pages, not pages[number][1], -pages[number][0], number) for number in taken]
    assert order == sorted(order)


def test_who_waits_is_woken_by_a_page_and_by_the_end():
    queue = PageQueue()
    taken = []

    def take_until_the_end():
        while pages := queue.take(10, wait_seconds=60):
            taken.extend(keys(pages))

    thread = threading.Thread(target=take_until_the_end)
    thread.start()
    put(queue, "late", 1)
    while not taken:
        time.sleep(0.001)
    queue.close()
    thread.join(60)

    assert taken == ["late"]
    assert not thread.is_alive()


def test_nobody_waits_unless_asked():
    assert PageQueue().take(1) == []
