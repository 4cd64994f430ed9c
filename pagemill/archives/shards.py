"""Sharding: spread archives over a fixed number of workers, so that each has about as many bytes."""

import heapq
from collections.abc import Sequence

from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import Archive
from pagemill.storage import Store

PLAN = Stage("plan_shards", 1, Archive)
MAX_SHARDS = 100


def plan_shards(archives: Manifest[Archive], store: Store, *, max_shards: int = 100) -> list[str]:
    """Balance archives over shards by bytes and write each shard's manifest.

    A shard's name depends on its archives alone, so that a shard which another plan, or an earlier
    run over a smaller source, has already worked on is found again.

    Args:
        archives: what `discover_archives` found.
        store: where the shards' manifests go.
        max_shards: the most shards to make, from 1 to 100.

    Returns:
        The store names of the shards' manifests, the heaviest shard first.

    Raises:
        UserError: `max_shards` is out of range.
    """
    check_max_shards(max_shards)
    return [_write_shard(shard, store).name for shard in balance(archives.rows, max_shards)]


def check_max_shards(max_shards: int) -> None:
    """Raise UserError when `max_shards` is out of range."""
    if not 1 <= max_shards <= MAX_SHARDS:
        raise UserError(f"max_shards={max_shards}", "is out of range", f"choose a number from 1 to {MAX_SHARDS}")


def balance(archives: Sequence[Archive], max_shards: int) -> list[tuple[Archive, ...]]:
    """Give each archive, the largest first, to the shard that has the fewest bytes so far.

    This is Graham's longest-processing-time-first rule: with m shards, the heaviest is at most
    4/3 - 1/(3m) times as heavy as in the best plan (R. L. Graham, "Bounds on Multiprocessing Timing
    Anomalies", SIAM J. Appl. Math. 17, 1969). The order of the input does not matter.

    Returns:
        Shards, heaviest first, none of them empty; each has its archives sorted by name.
    """
    if max_shards < 1:
        raise ValueError(f"max_shards must be at least 1, not {max_shards}")
    number = min(max_shards, len(archives))
    shards: list[list[Archive]] = [[] for _ in range(number)]
    # A shard's number of archives breaks ties, so that archives of no bytes are spread as well.
    lightest = [(0, 0, index) for index in range(number)]
    for archive in sorted(archives, key=_largest_first):
        load_bytes, members, index = heapq.heappop(lightest)
        shards[index].append(archive)
        heapq.heappush(lightest, (load_bytes + archive.size_bytes, members + 1, index))
    ordered = (tuple(sorted(shard, key=_by_name)) for shard in shards)
    return sorted(ordered, key=lambda shard: (-_size_bytes(shard), [_by_name(archive) for archive in shard]))


def read_shard(name: str, store: Store) -> Manifest[Archive]:
    """Read a shard's manifest.

    Raises:
        UserError: there is no such manifest in the store.
    """
    try:
        return Manifest.load(store, name, Archive)
    except FileNotFoundError as error:
        reason = f"is not in the store {store.uri}"
        raise UserError(name, reason, "plan the shards again, or check the address of the store") from error


def _write_shard(shard: tuple[Archive, ...], store: Store) -> Manifest[Archive]:
    counts = {"archives": len(shard), "bytes": _size_bytes(shard)}
    parameters = {"archives": sorted(archive.fingerprint for archive in shard)}
    outcome = Outcome(shard, counts)
    known = PLAN.once(store, (), parameters, lambda: outcome)
    # The same archives may have moved: then the manifest keeps its name and learns the new addresses.
    return known if known.rows == shard else PLAN.record(store, (), parameters, outcome, {}, 0.0)


def _size_bytes(shard: Sequence[Archive]) -> int:
    return sum(archive.size_bytes for archive in shard)


def _by_name(archive: Archive) -> tuple[str, str]:
    return (archive.name, archive.fingerprint)


def _largest_first(archive: Archive) -> tuple[int, str, str]:
    return (-archive.size_bytes, archive.name, archive.fingerprint)
