"""How fast a GPU reads pages, by the user's own runs, by what is published, or by hand; and how sure that is."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from pagemill.costs.ranges import Range
from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.records import BookRecord
from pagemill.storage import Store

# "On a machine with a NVIDIA A10G graphics card with 24GB VRAM we can process 6 pages in parallel. […] With an average
# number of tokens of ~1400 we get an mean generation time of 19.5s per batch for the base model without any inference
# optimization": Blecher et al., Nougat, under limitations, https://arxiv.org/abs/2308.13418.
PUBLISHED = "Nougat's paper: 6 pages in 19.5 s on an A10G (arXiv 2308.13418)"
PUBLISHED_PAGES_PER_SECOND = 6 / 19.5
ASSUMED_START_SECONDS = Range(30.0, 90.0, 240.0)  # fetching the checkpoint, starting processes, loading the model

MEASURED_PAGES_FOR_HIGH = 2000  # in at least two shards
MEASURED_MARGIN = 0.15  # books differ
GIVEN_MARGIN = 0.25
SHARD_PAGES = 100  # a shard with fewer says little


@dataclasses.dataclass(frozen=True, slots=True)
class Card:
    """What decides how fast a card decodes: the bandwidth of its memory, and how many pages that holds.

    From NVIDIA's data sheets of the A10G, the A100 40GB and the A100 80GB (SXM).
    """

    gb_per_second: float
    memory_gb: float


PUBLISHED_CARD = Card(600, 24)
CARDS = {"nvidia-tesla-a100": Card(1555, 40), "nvidia-a100-80gb": Card(2039, 80)}


@dataclasses.dataclass(frozen=True, slots=True)
class Speed:
    """Pages that one GPU reads in a second, and what a shard takes before its first page."""

    pages_per_gpu_second: Range
    start_seconds: Range
    source: str  # measured, published or given
    basis: str  # a line for people
    confidence: str  # high, medium or low


@dataclasses.dataclass(frozen=True, slots=True)
class _Reading:
    """What a shard's manifest tells."""

    pages: int
    gpu_seconds: float
    start_seconds: float


def speed_for(accelerator: str, *, store: Store | None = None, pages_per_second: float | None = None) -> Speed:
    """Return the best speed that there is: given by hand, else measured in a store, else published.

    Args:
        accelerator: Of the preset, as Compute Engine names it.
        store: With runs on such GPUs.
        pages_per_second: Of one GPU.

    Raises:
        UserError: The store has no run on a GPU, or the number is no speed, or nothing is known of the card.
    """
    if pages_per_second is not None:
        return given_speed(pages_per_second)
    if store is None:
        return published_speed(accelerator)
    if speed := measured_speed(store):
        return speed
    raise UserError(store.uri, "holds no pages that a GPU read", "leave --store out, or give --pages-per-second")


def published_speed(accelerator: str) -> Speed:
    """Return a speed for a card that nobody has published one for, from that of a smaller one.

    It is at least as fast as the smaller one; likely as many times faster as its memory is; at best as many times more
    as that holds more pages.

    Raises:
        UserError: Nothing is known of the card.
    """
    if accelerator not in CARDS:
        mend = "give --pages-per-second, or a --store with finished runs"
        raise UserError(f"accelerator {accelerator or '(none)'}", "has no published speed", mend)
    card = CARDS[accelerator]
    faster = card.gb_per_second / PUBLISHED_CARD.gb_per_second
    larger = card.memory_gb / PUBLISHED_CARD.memory_gb
    speed = PUBLISHED_PAGES_PER_SECOND
    return Speed(
        Range(speed, speed * faster, speed * faster * larger),
        ASSUMED_START_SECONDS,
        "published",
        f"{PUBLISHED}, scaled to {accelerator} by memory bandwidth",
        "low",
    )


def given_speed(pages_per_gpu_second: float) -> Speed:
    """Return a speed that the user gives; raises UserError when it is none."""
    if not 0 < pages_per_gpu_second < float("inf"):
        raise UserError(f"{pages_per_gpu_second} pages per second", "is no speed", "give a number above 0")
    return Speed(
        Range.around(pages_per_gpu_second, GIVEN_MARGIN), ASSUMED_START_SECONDS, "given", "given by hand", "medium"
    )


def measured_speed(store: Store) -> Speed | None:
    """Return the speed of the runs in a store, from the manifests of their shards; None when no GPU has read there.

    What a run found read already does not count. The range spans the shards. On which GPU they were read is not
    recorded: take a store of runs on the same.
    """
    readings = list(_readings(store))
    if not readings:
        return None
    pages = sum(reading.pages for reading in readings)
    likely = pages / sum(reading.gpu_seconds for reading in readings)
    telling = [each.pages / each.gpu_seconds for each in readings if each.pages >= SHARD_PAGES]
    margin = Range.around(likely, MEASURED_MARGIN)
    starts = [reading.start_seconds for reading in readings]
    sure = pages >= MEASURED_PAGES_FOR_HIGH and len(readings) > 1
    return Speed(
        Range(min([margin.low, *telling]), likely, max([margin.high, *telling])),
        Range(min(starts), statistics.fmean(starts), max(starts)),
        "measured",
        f"{pages:,} pages in {len(readings):,} shards of {store.uri}",
        "high" if sure else "medium",
    )


def _readings(store: Store) -> Iterator[_Reading]:
    for folder in store.folders("manifests/recognize_pages"):
        for name in store.names(folder):
            if reading := _reading(Manifest.load(store, name, BookRecord)):
                yield reading


def _reading(manifest: Manifest[BookRecord]) -> _Reading | None:
    """Return what a manifest tells of GPUs; None when it read nothing, on no GPU, or before this was recorded."""
    rounds: list[Mapping[str, Any]] = manifest.settings.get("figures") or []
    ranks = [each["ranks"] for each in rounds if each.get("ranks")]
    pages = sum(int(rank["rows"]) for each in ranks for rank in each)
    seconds = sum(max(rank["seconds_reading"] + rank["seconds_waiting"] for rank in each) for each in ranks)
    gpus = gpus_of(manifest.settings)
    if not pages or not gpus or seconds <= 0 or manifest.parameters.get("engine", "nougat") != "nougat":
        return None
    return _Reading(pages, seconds * gpus, max(0.0, manifest.seconds - seconds))


def read_elsewhere(settings: Mapping[str, Any]) -> bool:
    """Say whether pages were read by a server or a job, whose GPUs are not known."""
    return settings.get("device") == "remote"


def gpus_of(settings: Mapping[str, Any]) -> int:
    """Return how many GPUs a reading used by its settings, 0 for none.

    A device left to be chosen may have been a CPU; several models on one device, as presets have them, are on a GPU.
    """
    device, instances = str(settings.get("device", "")), int(settings.get("instances_per_gpu", 1))
    if read_elsewhere(settings):
        return 0
    if not device.startswith("cuda") and instances == 1:
        return 0
    return max(1, int(settings.get("workers", 1)) // instances) * int(settings.get("nodes", 1))
