"""A queue of several parties: everything comes out once, in the order of its party, and nobody waits long."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill.ocr.serving.turns import TurnQueue


def filled(parties: list[str]) -> TurnQueue[tuple[str, int]]:
    queue: TurnQueue[tuple[str, int]] = TurnQueue()
    for number, party in enumerate(parties):
        queue.put(party, (party, number))
    return queue


def test_parties_take_turns() -> None:
    queue = filled(["long", "long", "long", "long", "short", "short"])
    assert [queue.take() for _ in range(6)] == [
        ("long", 0),
        ("short", 4),
        ("long", 1),
        ("short", 5),
        ("long", 2),
        ("long", 3),
    ]


def test_an_empty_queue_has_nothing_to_take() -> None:
    queue = filled(["one"])
    queue.take()
    assert not queue
    with pytest.raises(IndexError):
        queue.take()


@given(st.lists(st.sampled_from("abcd"), max_size=40))
def test_everything_comes_out_once_and_nobody_waits_for_more_than_one_of_each(parties: list[str]) -> None:
    queue = filled(parties)
    assert len(queue) == len(list(queue)) == len(parties)
    taken = [queue.take() for _ in parties]

    assert sorted(taken, key=lambda item: item[1]) == list(zip(parties, range(len(parties)), strict=True))
    for party in "abcd":
        own = [number for owner, number in taken if owner == party]
        places = [place for place, (owner, _) in enumerate(taken) if owner == party]
        assert own == sorted(own)
        assert all(later - earlier <= 4 for earlier, later in itertools.pairwise(places))
