"""Sharding: every archive in exactly one shard, and the shards about equally heavy."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.archives import balance, plan_shards, read_shard
from pagemill.archives.discover import DISCOVER
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome
from pagemill.records import Archive, Volume
from pagemill.storage import Store


def archive(name: str, size_bytes: int, uri: str = "") -> Archive:
    return Archive(name, (Volume(uri or f"file:///{name}", size_bytes, "v1"),), (), f"digest of {name}")


def discovered(store: Store, archives: list[Archive]) -> Manifest[Archive]:
    return DISCOVER.record(store, (), {}, Outcome(archives), {}, 0.0)


def load_bytes(shard: tuple[Archive, ...]) -> int:
    return sum(each.size_bytes for each in shard)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


sizes = st.lists(st.integers(0, 10**12), max_size=60)
limits = st.integers(1, 100)


@settings(max_examples=80)
@given(sizes, limits)
def test_every_archive_is_in_exactly_one_shard(sizes_bytes: list[int], max_shards: int) -> None:
    archives = [archive(f"{index}.rar", size) for index, size in enumerate(sizes_bytes)]
    shards = balance(archives, max_shards)
    assert sorted((each for shard in shards for each in shard), key=lambda each: each.name) == sorted(
        archives, key=lambda each: each.name
    )
    assert len(shards) == min(max_shards, len(archives))
    assert all(shards)


@settings(max_examples=80)
@given(sizes, limits, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(sizes_bytes: list[int], max_shards: int, random: object) -> None:
    archives = [archive(f"{index}.rar", size) for index, size in enumerate(sizes_bytes)]
    shuffled = list(archives)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert balance(archives, max_shards) == balance(shuffled, max_shards)


@settings(max_examples=80)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), limits)
def test_no_shard_is_heavier_than_any_list_schedule_may_be(sizes_bytes: list[int], max_shards: int) -> None:
    """Whoever got the last archive was lightest then: at most the mean of the rest, and that archive on top."""
    shards = balance([archive(f"{index}.rar", size) for index, size in enumerate(sizes_bytes)], max_shards)
    number, total, largest = len(shards), sum(sizes_bytes), max(sizes_bytes)
    assert load_bytes(shards[0]) * number <= total + (number - 1) * largest


@settings(max_examples=60)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=7), st.integers(1, 3))
def test_no_shard_is_heavier_than_grahams_bound_on_the_best_plan(sizes_bytes: list[int], max_shards: int) -> None:
    shards = balance([archive(f"{index}.rar", size) for index, size in enumerate(sizes_bytes)], max_shards)
    best = best_possible(sizes_bytes, len(shards))
    assert 3 * len(shards) * load_bytes(shards[0]) <= (4 * len(shards) - 1) * best


def best_possible(sizes_bytes: list[int], number: int) -> int:
    """Weigh every plan there is."""
    plans = {(0,) * number}
    for size in sizes_bytes:
        plans = {
            tuple(sorted(load + size * (index == chosen) for index, load in enumerate(plan)))
            for plan in plans
            for chosen in range(number)
        }
    return min(max(plan) for plan in plans)


def test_the_largest_archive_gets_a_shard_of_its_own() -> None:
    shards = balance([archive("a", 90), archive("b", 30), archive("c", 30), archive("d", 30)], 2)
    assert [[each.name for each in shard] for shard in shards] == [["a"], ["b", "c", "d"]]


def test_archives_without_bytes_are_spread_as_well() -> None:
    assert [len(shard) for shard in balance([archive(str(index), 0) for index in range(6)], 3)] == [2, 2, 2]


def test_nothing_makes_no_shard(store: Store) -> None:
    assert balance([], 5) == []
    assert plan_shards(discovered(store, []), store) == []


@pytest.mark.parametrize("number", [0, -1, 101])
def test_a_number_of_shards_out_of_range(number: int, store: Store) -> None:
    with pytest.raises(UserError, match="1 to 100"):
        plan_shards(discovered(store, [archive("a", 1)]), store, max_shards=number)


def test_balance_refuses_no_shards() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        balance([], 0)


def test_shards_are_written_and_read_back(store: Store) -> None:
    archives = [archive("a", 5), archive("b", 3), archive("c", 3)]
    first, second = plan_shards(discovered(store, archives), store, max_shards=2)
    assert read_shard(first, store).rows == (archives[1], archives[2])
    assert read_shard(second, store).rows == (archives[0],)
    assert read_shard(first, store).counts == {"rows": 2, "archives": 2, "bytes": 6}


def test_the_name_of_a_shard_depends_on_its_archives_alone(store: Store) -> None:
    small = plan_shards(discovered(store, [archive("a", 5)]), store)
    larger = plan_shards(discovered(store, [archive("a", 5), archive("b", 3)]), store)
    assert set(small) < set(larger)


def test_archives_that_moved_keep_their_shard_and_get_their_new_address(store: Store) -> None:
    (before,) = plan_shards(discovered(store, [archive("a", 5, "file:///old/a")]), store)
    (after,) = plan_shards(discovered(store, [archive("a", 5, "file:///new/a")]), store)
    assert before == after
    assert read_shard(after, store).rows[0].volumes[0].uri == "file:///new/a"


def test_a_shard_that_is_not_there(store: Store) -> None:
    with pytest.raises(UserError, match="is not in the store"):
        read_shard("manifests/plan_shards/root/none.json", store)
