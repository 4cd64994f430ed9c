"""What a run was to take by its preset, beside what its manifests say it took."""

import dataclasses

from pagemill.costs.estimate import HOUR_SECONDS, Estimate, estimate, machine_items
from pagemill.costs.prices import DEFAULT_REGION, PriceTable
from pagemill.costs.ranges import Range
from pagemill.costs.speeds import published_speed, read_elsewhere
from pagemill.presets import PRESETS
from pagemill.records import Status
from pagemill.runs import Run

READ = "recognize_pages"


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of (what, estimated, measured), and what to know of them."""

    rows: tuple[tuple[str, str, str], ...]
    remark: str


def compare(run: Run, preset_name: str, prices: PriceTable, *, region: str = DEFAULT_REGION) -> Comparison | None:
    """Compare the shards that were read with the estimate for as many pages; None when none was read.

    The estimate is the one that can be had without a run: from the published speed. On one's own machine, and where a
    server elsewhere has read, there is the measured speed alone.
    """
    shards = [shard for shard in run.shards if READ in shard.manifests]
    pages = sum(pdf.num_pages for shard in shards for pdf in shard.rows("inspect_pdfs") if pdf.status == Status.OK)
    seconds = sum(shard.manifests[READ].seconds for shard in shards)
    if not pages or not seconds:
        return None
    preset = PRESETS.get(preset_name)
    elsewhere = any(read_elsewhere(shard.manifests[READ].settings) for shard in shards)
    if preset is None or preset.backend == "local" or elsewhere:
        return Comparison((("pages a second", "", f"{pages / seconds:,.2f}"),), "")
    foreseen = estimate(pages, preset, prices, published_speed(preset.accelerator), region=region, shards=len(shards))
    hours = Range.exactly(seconds / HOUR_SECONDS)
    items = machine_items(preset, prices, region, preset.machine, preset.provisioning, hours, preset.disk_gb)
    spent = sum(item.cost.likely for item in items if item.cost)
    planned = [item for item in foreseen.items if item.name in {each.name for each in items}]
    due = sum((item.cost for item in planned if item.cost), Range.exactly(0.0))
    rows = (
        ("pages", f"{pages:,}", f"{pages:,}"),
        (
            "pages a second and GPU",
            _shown(foreseen.speed.pages_per_gpu_second),
            f"{pages / seconds / preset.accelerators:,.2f}",
        ),
        (
            "seconds of GPUs",
            _shown(foreseen.gpu_hours * HOUR_SECONDS, 0),
            f"{seconds * preset.accelerators:,.0f}",
        ),
        (f"cost of {preset.machine}, {prices.currency}", _shown(due), f"{spent:,.2f}"),
    )
    return Comparison(rows, _remark(foreseen, [item.name for item in items if item.price is None]))


def _remark(foreseen: Estimate, unpriced: list[str]) -> str:
    without = f" There is no price for {', '.join(unpriced)}." if unpriced else ""
    return (
        f"Preset {foreseen.preset}, list prices of {foreseen.price_date} in {foreseen.region}. The estimate is from "
        f"{foreseen.speed.basis}. Measured is the stage itself: starting its machines is not in it, nor what a machine "
        f"did that was taken away.{without}"
    )


def _shown(value: Range, digits: int = 2) -> str:
    return f"{value.likely:,.{digits}f} ({value.low:,.{digits}f} to {value.high:,.{digits}f})"
