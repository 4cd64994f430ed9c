"""What a run will take and cost, before it starts: time and money by item, each from low to high."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pagemill.costs.prices import DEFAULT_REGION, PriceTable
from pagemill.costs.ranges import Range
from pagemill.costs.speeds import Speed
from pagemill.errors import UserError
from pagemill.presets import PRESETS, Preset

if TYPE_CHECKING:
    from rich.table import Table

HOUR_SECONDS = 3600
DISK = {"vertex": "pd-ssd", "kfp": "pd-balanced"}  # what machines boot from, where nothing else is asked for
CPU_DISK_GIB = 100  # of the machine of another task
OTHER_MACHINE = "a machine for other tasks"  # where the table has none that is large enough

# Assumed, not measured; docs/estimates.md says why.
SHARD_PAGES = 500  # no shard smaller than this, where their number is not given
MACHINE_START_SECONDS = Range(60.0, 180.0, 420.0)  # that a task pays for before its program starts: pulling the image
SPOT_REPEATED = Range(0.0, 0.1, 0.3)  # share of the reading that is done again because a machine was taken away
CPU_SECONDS_PER_PAGE = Range(0.01, 0.03, 0.1)  # of all tasks that need no GPU
CPU_TASKS_PER_SHARD = 4  # extract, inspect, clean, chunk
CPU_TASKS_ONCE = 7  # discover, plan, find duplicates, build, check, publish, report


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A line of the bill; `price` is None where the table has none."""

    name: str
    amount: Range  # hours, GiB hours or times: what the price is for
    price: float | None

    @property
    def cost(self) -> Range | None:
        """What it comes to."""
        return None if self.price is None else self.amount * self.price


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """For how long what is used."""

    gpu_machine_hours: Range
    cpu_machine_hours: Range
    wall_hours: Range


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """What a run of so many pages will take and cost; waiting for machines and quota is not in it."""

    pages: int
    preset: str
    region: str
    shards: int
    machines: int  # that read at a time
    speed: Speed
    wall_seconds: Range
    gpu_hours: Range
    items: tuple[Item, ...]
    currency: str
    price_date: str
    unverified: tuple[str, ...]  # prices that are taken to hold

    @property
    def total(self) -> Range:
        """The sum of the items that have a price."""
        return sum((item.cost for item in self.items if item.cost), Range.exactly(0.0))

    @property
    def missing(self) -> tuple[str, ...]:
        """The items that the table has no price for: the run costs more than the total."""
        return tuple(item.name for item in self.items if item.price is None)

    @property
    def confidence(self) -> str:
        """How sure the total is: as the speed, but low when a price is missing."""
        return "low" if self.missing else self.speed.confidence

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values."""
        values = dataclasses.asdict(self)
        values["items"] = [
            {"name": item.name, "cost": dataclasses.asdict(item.cost) if item.cost else None} for item in self.items
        ]
        return values | {
            "total": dataclasses.asdict(self.total),
            "missing": list(self.missing),
            "unverified": list(self.unverified),
            "confidence": self.confidence,
        }


def estimate(
    pages: int, preset: Preset, prices: PriceTable, speed: Speed, *, region: str = DEFAULT_REGION, shards: int = 0
) -> Estimate:
    """Work out what reading so many pages takes and costs.

    Shards are taken to be of one size. Each starts once, and reads with all GPUs of its machine.

    Args:
        pages: To read.
        preset: The machines.
        prices: What they cost.
        speed: How fast one GPU reads.
        region: Where they run.
        shards: How many there will be, as archives allow; 0 for as many as the preset has, none of them tiny.

    Raises:
        UserError: The preset runs on this machine, or a number is out of range.
    """
    if preset.backend == "local":
        raise UserError("preset local", "rents nothing", f"give one of {', '.join(_rented())}")
    if pages < 1 or shards < 0:
        raise UserError(f"{pages} pages in {shards or 'any number of'} shards", "is no work", "give 1 page or more")
    shards = min(shards or max(1, pages // SHARD_PAGES), preset.max_shards, pages)
    machines = min(shards, preset.parallelism or shards)
    work = _work(pages, preset, speed, shards, machines)
    return Estimate(
        pages=pages,
        preset=preset.name,
        region=region,
        shards=shards,
        machines=machines,
        speed=speed,
        wall_seconds=work.wall_hours * HOUR_SECONDS,
        gpu_hours=work.gpu_machine_hours * preset.accelerators,
        items=bill(preset, prices, region, work),
        currency=prices.currency,
        price_date=prices.date.isoformat(),
        unverified=tuple(prices.unverified()) if preset.backend == "vertex" else (),
    )


def _work(pages: int, preset: Preset, speed: Speed, shards: int, machines: int) -> Work:
    """Return for how long machines work, `machines` shards side by side until all are done."""
    again = Range.exactly(1.0) + (SPOT_REPEATED if preset.provisioning == "SPOT" else Range.exactly(0.0))
    reading = (1 / speed.pages_per_gpu_second) * (pages / preset.accelerators) * again
    start = MACHINE_START_SECONDS + speed.start_seconds
    other = CPU_SECONDS_PER_PAGE * pages
    other_starts = MACHINE_START_SECONDS * CPU_TASKS_PER_SHARD
    shard = (reading + other) * (1 / shards) + start + other_starts
    once = MACHINE_START_SECONDS * CPU_TASKS_ONCE
    return Work(
        gpu_machine_hours=(reading + start * shards) * (1 / HOUR_SECONDS),
        cpu_machine_hours=(other + other_starts * shards + once) * (1 / HOUR_SECONDS),
        wall_hours=(shard * math.ceil(shards / machines) + once) * (1 / HOUR_SECONDS),
    )


def bill(preset: Preset, prices: PriceTable, region: str, work: Work) -> tuple[Item, ...]:
    """Return the lines of the bill for some work with a preset's machines, and those of the other tasks."""
    cpu_machine = prices.smallest_machine(preset.cpu_task_cpus, preset.cpu_task_memory_gib)
    return (
        *machine_items(
            preset, prices, region, preset.machine, preset.provisioning, work.gpu_machine_hours, preset.disk_gb
        ),
        *machine_items(
            preset, prices, region, cpu_machine or OTHER_MACHINE, "STANDARD", work.cpu_machine_hours, CPU_DISK_GIB
        ),
        _service(preset, prices, work.wall_hours),
    )


def machine_items(
    preset: Preset, prices: PriceTable, region: str, machine: str, provisioning: str, hours: Range, disk_gib: int
) -> list[Item]:
    """Return what a machine comes to for so many hours: itself, Vertex AI's fee, its disk."""
    vertex = preset.backend == "vertex"
    items = [Item(f"{machine}, {provisioning}", hours, prices.machine_per_hour(machine, region, provisioning))]
    if vertex:
        items.append(Item(f"Vertex AI's fee, {machine}", hours, prices.management_per_hour(machine, region)))
    disk = DISK[preset.backend]
    per_gib_hour = prices.disk_per_gib_hour(disk, region, vertex=vertex)
    return [*items, Item(f"{disk}, {machine}", hours * disk_gib, per_gib_hour)]


def _service(preset: Preset, prices: PriceTable, wall_hours: Range) -> Item:
    """Return what the service itself takes: once a run on Vertex AI, by the hour for a cluster."""
    if preset.backend == "vertex":
        return Item("Vertex AI Pipelines, a run", Range.exactly(1.0), prices.fees.get("vertex_pipeline_run"))
    return Item("GKE, the cluster", wall_hours, prices.fees.get("gke_cluster_hour"))


def _rented() -> list[str]:
    return [preset.name for preset in PRESETS.values() if preset.backend != "local"]


def estimate_table(result: Estimate) -> "Table":
    """Return an estimate as a table for the terminal."""
    from rich.table import Table

    title = f"{result.pages:,} pages with {result.preset} in {result.region}"
    table = Table(title=title, title_justify="left", show_footer=True, caption=_remarks(result), caption_justify="left")
    table.add_column("", footer=f"total in {result.currency}")
    for name in ("low", "likely", "high"):
        table.add_column(name, justify="right", footer=f"{getattr(result.total, name):,.2f}")
    table.add_row("time", *(duration(seconds) for seconds in _values(result.wall_seconds)))
    table.add_row("hours of GPUs", *(f"{hours:,.1f}" for hours in _values(result.gpu_hours)), end_section=True)
    for item in result.items:
        cost = ("no price",) * 3 if item.cost is None else tuple(f"{value:,.2f}" for value in _values(item.cost))
        table.add_row(item.name, *cost)
    return table


def _remarks(result: Estimate) -> str:
    speed = result.speed
    lines = [
        f"{speed.pages_per_gpu_second.likely:.2f} pages a second and GPU, {speed.source}: {speed.basis}",
        f"{result.shards:,} shards on {result.machines:,} machines at a time; waiting for machines is not counted",
        f"confidence: {result.confidence}; list prices of {result.price_date}, without tax",
    ]
    if result.unverified:
        lines.append(f"not verified for these machines: {', '.join(result.unverified)}")
    if result.missing:
        lines.append(f"no price found for {', '.join(result.missing)}: the run costs more than the total")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a time for people: "2 h 05 min"."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _values(value: Range) -> tuple[float, float, float]:
    return dataclasses.astuple(value)
