"""Leases: a plan that every rank makes alike, and a table from which each page is done exactly once, come what may."""

import json
import random
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pagemill.ocr.leases import Lease, Leases, LocalTable, plan_leases

STALE_SECONDS = 60.0

books = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.sets(st.integers(1, 300), max_size=80), max_size=6)


class Clock:
    """A rank's own clock: it starts anywhere and goes on when it is told to."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class CountingTable(LocalTable):
    """Counts the calls, and the keys asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.keys = 0

    def add(self, key: str, amount: int, /) -> int:
        self.calls += 1
        return super().add(key, amount)

    def check(self, keys: list[str], /) -> bool:
        self.calls += 1
        return super().check(keys)

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        self.calls += 1
        self.keys += len(keys)
        return super().multi_get(keys)

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        self.calls += 1
        return super().compare_set(key, expected, desired)


def one_book(leases: int) -> tuple[Lease, ...]:
    return tuple(Lease(index, "book", (index + 1,)) for index in range(leases))


def pages_of(leases: Sequence[Lease]) -> list[tuple[str, int]]:
    return [(lease.pdf_sha256, page) for lease in leases for page in lease.pages]


def taken(leases: Leases) -> Lease:
    lease = leases.grant()
    assert lease is not None
    return lease


# The plan


def test_the_longest_book_comes_first_and_books_of_one_length_by_their_digest() -> None:
    plan = plan_leases([("c", range(1, 4)), ("b", range(1, 4)), ("long", range(1, 6)), ("none", [])])
    assert list(dict.fromkeys(lease.pdf_sha256 for lease in plan)) == ["long", "b", "c"]


def test_leases_are_cut_at_the_lines_of_a_grid_whatever_pages_are_missing() -> None:
    assert [lease.pages for lease in plan_leases([("book", [64, 3, 33, 3, 32, 65, 500])])][:2] == [(3, 32), (33, 64)]
    whole = plan_leases([("book", range(1, 401))])
    rest = plan_leases([("book", range(50, 401))])
    assert {lease.pages for lease in rest[1:]} <= {lease.pages for lease in whole}


def test_leases_become_smaller_towards_the_end_so_that_ranks_finish_together() -> None:
    sizes = [len(lease.pages) for lease in plan_leases([("book", range(1, 10_001))], lease_pages=32, ranks=8)]
    assert sizes[0] == 32
    assert sizes[-1] == 1
    assert sizes[: sizes.index(16)] == [32] * (sizes.index(16))
    assert max(sizes[-3 * 8 :]) <= 2
    assert len(sizes) < 10_000 / 32 * 1.5


def test_a_grid_that_cannot_be_halved_stays_as_it_is() -> None:
    assert {len(lease.pages) for lease in plan_leases([("book", range(1, 51))], lease_pages=25, ranks=8)} == {25}


def test_nothing_to_read_is_an_empty_plan() -> None:
    assert plan_leases([]) == plan_leases([("book", [])]) == ()


@given(books, st.sampled_from([1, 2, 5, 32]), st.integers(1, 9), st.randoms(use_true_random=False))
def test_every_page_is_in_one_lease_and_every_rank_makes_the_same_plan(
    missing: dict[str, set[int]], lease_pages: int, ranks: int, chance: random.Random
) -> None:
    order = list(missing.items())
    plan = plan_leases([(pdf, sorted(pages)) for pdf, pages in order], lease_pages, ranks)
    chance.shuffle(order)
    assert (
        plan_leases([(pdf, chance.sample(sorted(pages), len(pages))) for pdf, pages in order], lease_pages, ranks)
        == plan
    )
    assert sorted(pages_of(plan)) == sorted((pdf, page) for pdf, pages in missing.items() for page in pages)
    assert [lease.index for lease in plan] == list(range(len(plan)))
    for lease in plan:
        assert lease.pages == tuple(sorted(lease.pages))
        assert len({(page - 1) // lease_pages for page in lease.pages}) == 1


# The table


def test_a_rank_takes_the_plan_in_order_and_is_finished_when_all_is_done() -> None:
    plan = one_book(3)
    leases = Leases(LocalTable(), plan, rank=0)
    assert [leases.grant(), leases.grant(), leases.grant(), leases.grant()] == [*plan, None]
    assert leases.held == plan
    assert [leases.done(lease) for lease in plan] == [True, True, True]
    assert leases.finished
    assert leases.held == ()


def test_an_empty_plan_is_finished_at_once() -> None:
    leases = Leases(LocalTable(), (), rank=0)
    assert leases.finished
    assert leases.grant() is None


def test_ranks_never_take_the_same_lease_and_learn_what_others_did() -> None:
    table, plan, clock = LocalTable(), one_book(2), Clock()
    first, second = (Leases(table, plan, rank, STALE_SECONDS, clock) for rank in range(2))
    assert [first.grant(), second.grant()] == list(plan)
    assert first.done(plan[0])
    assert second.done(plan[1])
    assert not first.finished
    assert first.grant() is None
    assert first.finished


def test_done_counts_once_and_only_for_who_holds_the_lease() -> None:
    table, plan = LocalTable(), one_book(2)
    first, second = (Leases(table, plan, rank) for rank in range(2))
    lease = taken(first)
    assert not second.done(lease)
    assert first.done(lease)
    assert not first.done(lease)
    first.release(lease)
    assert not second.done(lease)


def test_a_lease_given_back_is_taken_by_another_at_once() -> None:
    table, plan = LocalTable(), one_book(1)
    first, second = (Leases(table, plan, rank) for rank in range(2))
    lease = taken(first)
    first.release(lease)
    assert second.grant() == lease
    assert not first.done(lease)
    assert second.done(lease)
    assert table.multi_get(["lease/0"]) == [b"2 1 done"]  # taken twice, done by rank 1


def test_a_rank_may_take_again_what_it_gave_back() -> None:
    leases = Leases(LocalTable(), one_book(1), rank=0)
    leases.release(taken(leases))
    assert leases.done(taken(leases))


def test_a_rank_that_beats_no_more_loses_its_leases_and_what_it_says_later_does_not_count() -> None:
    table, plan = LocalTable(), one_book(1)
    clock = Clock()
    silent, other = Leases(table, plan, 0, STALE_SECONDS, Clock(1e6)), Leases(table, plan, 1, STALE_SECONDS, clock)
    lease = taken(silent)
    assert other.grant() is None
    clock.pass_by(STALE_SECONDS - 1)
    assert other.grant() is None
    clock.pass_by(1)
    assert other.grant() == lease
    assert not silent.done(lease)
    assert other.done(lease)


def test_both_say_done_and_one_of_them_is_believed() -> None:
    table, plan, clock = LocalTable(), one_book(1), Clock()
    silent, other = Leases(table, plan, 0, STALE_SECONDS, Clock()), Leases(table, plan, 1, STALE_SECONDS, clock)
    lease = taken(silent)
    other.grant()
    clock.pass_by(STALE_SECONDS)
    assert other.done(taken(other))
    assert not silent.done(lease)


def test_a_rank_that_beats_keeps_its_leases_for_ever() -> None:
    table, plan, clock = LocalTable(), one_book(1), Clock()
    slow, other = (Leases(table, plan, rank, STALE_SECONDS, clock) for rank in range(2))
    lease = taken(slow)
    for _ in range(20):
        clock.pass_by(STALE_SECONDS / 2)
        slow.beat()
        assert other.grant() is None
    assert slow.done(lease)


def test_a_rank_that_comes_back_to_life_keeps_what_nobody_took_meanwhile() -> None:
    table, plan, clock = LocalTable(), one_book(2), Clock()
    sleeper, other = (Leases(table, plan, rank, STALE_SECONDS, clock) for rank in range(2))
    mine, lost = taken(sleeper), taken(sleeper)
    assert other.grant() is None
    clock.pass_by(STALE_SECONDS)
    assert other.grant() == lost
    sleeper.beat()
    clock.pass_by(STALE_SECONDS / 2)
    assert other.grant() is None
    assert sleeper.done(mine)
    assert not sleeper.done(lost)


def test_a_lease_counted_out_to_a_rank_that_died_at_once_is_not_lost() -> None:
    table, plan, clock = LocalTable(), one_book(3), Clock()
    table.add("next", 1)  # all that the dead rank came to do
    leases = Leases(table, plan, 0, STALE_SECONDS, clock)
    assert [leases.grant(), leases.grant(), leases.grant()] == [plan[1], plan[2], None]
    clock.pass_by(STALE_SECONDS)
    assert leases.grant() == plan[0]


def test_who_comes_late_to_a_lease_counted_out_to_it_takes_the_next() -> None:
    table, plan, clock = LocalTable(), one_book(2), Clock()
    late, other = (Leases(table, plan, rank, STALE_SECONDS, clock) for rank in range(2))
    add = table.add

    def add_and_sleep(key: str, amount: int, /) -> int:
        table.add = add  # type: ignore[method-assign]
        count = add(key, amount)
        assert [other.grant(), other.grant()] == [plan[1], None]
        clock.pass_by(STALE_SECONDS)
        assert other.grant() == plan[0]
        return count

    clock.pass_by(STALE_SECONDS)
    late.beat()
    table.add = add_and_sleep  # type: ignore[method-assign]
    assert late.grant() is None


def test_ten_thousand_leases_cost_two_calls_each_and_looks_are_rare() -> None:
    table, clock = CountingTable(), Clock()
    ranks = [Leases(table, one_book(10_000), rank, STALE_SECONDS, clock) for rank in range(16)]
    granted = [taken(ranks[index % 16]) for index in range(10_000)]
    assert table.calls <= 2 * 10_000 + 16
    for index, lease in enumerate(granted[:-16]):
        assert ranks[index % 16].done(lease)
    table.calls = table.keys = 0
    for rank in ranks:
        assert [rank.grant() for _ in range(100)] == [None] * 100
    assert table.calls <= 16 * 30
    table.calls = table.keys = 0
    clock.pass_by(1)
    for rank in ranks:
        assert rank.grant() is None
    assert table.keys <= 16 * (16 + 16)


# Any order of events


class Died(Exception):
    """A rank ended in the middle of what it did."""


class Lifeline(LocalTable):
    """A rank's way to the shared table, which may break before any call."""

    def __init__(self, table: LocalTable) -> None:
        self.values, self.lock = table.values, table.lock
        self.calls_left = -1  # none: it never breaks

    def live_on(self) -> None:
        if self.calls_left == 0:
            raise Died
        self.calls_left -= 1

    def add(self, key: str, amount: int, /) -> int:
        self.live_on()
        return super().add(key, amount)

    def check(self, keys: list[str], /) -> bool:
        self.live_on()
        return super().check(keys)

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        self.live_on()
        return super().multi_get(keys)

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        self.live_on()
        return super().compare_set(key, expected, desired)


class Rank:
    """A process: its clock, its view of the leases and what it has in hand."""

    def __init__(self, number: int, table: LocalTable, plan: Sequence[Lease]) -> None:
        self.clock, self.lifeline = Clock(number * 1e5), Lifeline(table)
        self.leases = Leases(self.lifeline, plan, number, STALE_SECONDS, self.clock)
        self.in_hand: list[Lease] = []


numbers = st.integers(0, 3)


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Four ranks and a ledger of what was accepted as done; the last rank never dies."""

    @initialize(leases=st.integers(0, 12))
    def begin(self, leases: int) -> None:
        self.plan = one_book(leases)
        table = LocalTable()
        self.ranks = {number: Rank(number, table, self.plan) for number in range(4)}
        self.ledger: Counter[int] = Counter()

    @rule(number=numbers)
    def take(self, number: int) -> None:
        if (rank := self.ranks.get(number)) and (lease := rank.leases.grant()):
            rank.in_hand.append(lease)

    @rule(number=numbers, which=st.integers(0, 11))
    def finish(self, number: int, which: int) -> None:
        if (rank := self.ranks.get(number)) and rank.in_hand:
            lease = rank.in_hand.pop(which % len(rank.in_hand))
            self.ledger[lease.index] += rank.leases.done(lease)

    @rule(number=numbers, which=st.integers(0, 11))
    def give_back(self, number: int, which: int) -> None:
        if (rank := self.ranks.get(number)) and rank.in_hand:
            rank.leases.release(rank.in_hand.pop(which % len(rank.in_hand)))

    @rule(number=numbers)
    def beat(self, number: int) -> None:
        if rank := self.ranks.get(number):
            rank.leases.beat()

    @rule(number=numbers, seconds=st.sampled_from([1.0, STALE_SECONDS / 2, STALE_SECONDS]))
    def pass_by(self, number: int, seconds: float) -> None:
        if rank := self.ranks.get(number):
            rank.clock.pass_by(seconds)

    @rule(number=st.integers(0, 2), calls=st.integers(0, 6), done=st.booleans())
    def die(self, number: int, calls: int, done: bool) -> None:
        if not (rank := self.ranks.pop(number, None)):
            return
        rank.lifeline.calls_left = calls
        try:
            for lease in rank.in_hand if done else ():
                self.ledger[lease.index] += rank.leases.done(lease)
            while rank.leases.grant():
                pass
        except Died:
            pass

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert set(self.ledger.values()) <= {0, 1}

    def teardown(self) -> None:
        """Let the living go on: every lease is done once, and all learn of it, within a bounded time."""
        for _ in range(40 if hasattr(self, "ranks") else 0):
            for rank in self.ranks.values():
                rank.clock.pass_by(STALE_SECONDS / 10)
                while lease := rank.leases.grant():
                    rank.in_hand.append(lease)
                while rank.in_hand:
                    lease = rank.in_hand.pop()
                    self.ledger[lease.index] += rank.leases.done(lease)
        if hasattr(self, "ranks"):
            assert +self.ledger == Counter(range(len(self.plan)))
            assert all(rank.leases.finished and not rank.leases.held for rank in self.ranks.values())


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


# The table that ranks really share

WORKER = textwrap.dedent("""
    import json, os, sys, time
    from datetime import timedelta
    from torch.distributed import PrefixStore, TCPStore
    from pagemill.ocr.leases import Leases, plan_leases

    rank, port, deserts = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "deserts"
    store = TCPStore("127.0.0.1", port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=60))
    leases = Leases(PrefixStore("job/", store), plan_leases([("book", range(1, 1001))], 8, ranks=3), rank, 1.0)
    if deserts:  # with leases in its hands, however slow it is
        assert all(leases.grant() for _ in range(3))
    store.add("ready", 1)
    while store.add("ready", 0) < 3:
        time.sleep(0.01)
    done = []
    while not deserts and not leases.finished:
        lease = leases.grant()
        if lease is None:
            time.sleep(0.01)
        elif leases.done(lease):
            done += lease.pages
    print(json.dumps(done), flush=True)
    os._exit(0)
""")


def test_processes_share_a_store_of_torch_and_one_of_them_dies() -> None:
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(store.port), role], stdout=subprocess.PIPE, text=True)
        for rank, role in enumerate(["reads", "reads", "deserts"])
    ]
    first, second, deserter = (json.loads(worker.communicate()[0]) for worker in workers)
    assert sorted(first + second) == list(range(1, 1001))
    assert deserter == []


def test_the_local_table_answers_as_a_store_of_torch_does() -> None:
    from torch.distributed import HashStore

    def answers(table: LocalTable | HashStore) -> list[object]:
        return [
            table.compare_set("a", "", "1"),
            table.compare_set("a", "", "2"),
            table.compare_set("a", "0", "2"),
            table.compare_set("a", "1", "3"),
            table.add("n", 2),
            table.add("n", 0),
            table.set("s", "x"),
            table.multi_get(["a", "n", "s"]),
            table.multi_get([]),
            table.check(["a", "n"]),
            table.check(["a", "nothing"]),
            table.check([]),
        ]

    assert answers(LocalTable()) == answers(HashStore())
