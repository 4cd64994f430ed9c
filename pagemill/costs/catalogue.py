"""Brings a price table up to date from the Cloud Billing Catalog API, where a price is a sum of SKUs."""

import dataclasses
import datetime
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pagemill.costs.prices import HOURS_PER_MONTH, PriceTable, Region, Shape, Source
from pagemill.errors import UserError
from pagemill.google_apis import GoogleApis, GoogleError

SKUS = "https://cloudbilling.googleapis.com/v1/services/{}/skus"
COMPUTE_ENGINE, VERTEX_AI = "6F81-5844-456A", "C7E2-9256-1C43"  # as the catalogue names services
PAGE_SIZE = 5000  # the most that it gives
USAGE_TYPES = {"STANDARD": "OnDemand", "SPOT": "Preemptible"}  # FLEX_START has SKUs under names that differ by machine

# Descriptions are followed by a place: "running in Iowa", "in Netherlands", or by nothing.
_PLACE = r"(?: (?:running )?in .+)?"
_GPUS = {"nvidia-tesla-a100": "Nvidia Tesla A100", "nvidia-a100-80gb": "Nvidia Tesla A100 80GB"}
_MANAGED_GPUS = {
    "nvidia-tesla-a100": r"(?:Nvidia )?(?:Tesla )?A100(?: 40GB)?(?: GPU)?",
    "nvidia-a100-80gb": r"(?:Nvidia )?(?:Tesla )?A100 80GB(?: GPU)?",
}
_ATTACHED = " attached to Spot Preemptible VMs"
_DISKS = {"pd-ssd": "SSD backed PD Capacity", "pd-balanced": "Balanced PD Capacity"}
_MANAGEMENT = "Vertex AI: Training/Pipelines management fee on "

log = logging.getLogger("pagemill")


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of a price: so many units of one SKU."""

    description: str  # pattern for all of it, whatever the case
    usage_type: str
    unit: str  # h, GiBy.h or GiBy.mo
    amount: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sku:
    """What the catalogue tells of an SKU."""

    description: str
    usage_type: str
    regions: frozenset[str]
    unit: str
    price: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sku | None":
        """Build an SKU from what the API gives; None for one without a price."""
        timeline = values.get("pricingInfo") or [{}]
        expression = timeline[-1].get("pricingExpression", {})
        rates = [_money(tier.get("unitPrice", {})) for tier in expression.get("tieredRates", ())]
        paid = [rate for rate in rates if rate > 0]  # a first tier may be free
        if not paid:
            return None
        regions = frozenset(values.get("serviceRegions", ()))
        usage_type = values.get("category", {}).get("usageType", "")
        return cls(values["description"], usage_type, regions, expression.get("usageUnit", ""), paid[0])


def refresh_prices(table: PriceTable, apis: GoogleApis, *, today: datetime.date) -> tuple[PriceTable, list[str]]:
    """Return the table with the catalogue's prices of today for its machines and disks, in its regions.

    Args:
        table: Says which machines, disks and regions; prices that the catalogue does not tell are left out. What is
            no machine and no disk stays as it was, with its source.
        apis: Calls to Google, signed; any account may look.
        today: The date that the new prices get.

    Returns:
        The new table, and what the old one had a price of and the new one has not.

    Raises:
        UserError: The API is out of reach or refuses.
    """
    compute = list(_skus(apis, COMPUTE_ENGINE, table.currency))
    vertex = list(_skus(apis, VERTEX_AI, table.currency))
    regions = {name: _region(table, old, name, compute, vertex) for name, old in table.regions.items()}
    source = Source(url=SKUS.format(COMPUTE_ENGINE), date=today, note="Cloud Billing Catalog API")
    managed = source.model_copy(update={"url": SKUS.format(VERTEX_AI)})
    sources = {**table.sources, "machines": source, "disks": source}
    if any(region.management for region in regions.values()):
        sources["management"] = managed
    new = table.model_copy(update={"date": today, "sources": sources, "regions": regions})
    return new, _lost(table, new)


def _region(table: PriceTable, old: Region, name: str, compute: list[Sku], vertex: list[Sku]) -> Region:
    machines: dict[str, dict[str, float]] = {}
    for machine in old.machines:
        found = {
            provisioning: _sum(compute, name, _machine_parts(machine, table.shapes[machine], provisioning))
            for provisioning in USAGE_TYPES
        }
        machines[machine] = {provisioning: price for provisioning, price in found.items() if price is not None}
    fees = {machine: _sum(vertex, name, _management_parts(machine, table.shapes[machine])) for machine in old.machines}
    disks = {
        disk: _sum(compute, name, [Part(_DISKS[disk] + _PLACE, "OnDemand", "GiBy.mo")]) if disk in _DISKS else None
        for disk in old.disks
    }
    return Region(machines=machines, management=_known(fees), disks=_known(disks))


def _machine_parts(machine: str, shape: Shape, provisioning: str) -> list[Part]:
    """Return what a machine's price is the sum of: cores, memory, GPUs and the disk that it always has."""
    usage_type = USAGE_TYPES[provisioning]
    spot = provisioning == "SPOT"
    series = f"{'Spot Preemptible ' if spot else ''}{machine.split('-')[0]} Instance"
    parts = [
        Part(f"{series} Core{_PLACE}", usage_type, "h", shape.cpus),
        Part(f"{series} Ram{_PLACE}", usage_type, "GiBy.h", shape.memory_gib),
    ]
    if shape.accelerators:
        gpu = f"{_GPUS.get(shape.accelerator, shape.accelerator)} GPU{_ATTACHED if spot else ''}"
        parts.append(Part(gpu + _PLACE, usage_type, "h", shape.accelerators))
    if shape.local_ssd_gib:
        disk = f"SSD backed Local Storage{_ATTACHED if spot else ''}"
        parts.append(Part(disk + _PLACE, usage_type, "GiBy.mo", shape.local_ssd_gib / HOURS_PER_MONTH))
    return parts


def _management_parts(machine: str, shape: Shape) -> list[Part]:
    """Return what Vertex AI's fee for a machine is the sum of; it is the same for every provisioning."""
    series = f"{_MANAGEMENT}{machine.split('-')[0]}(?: Predefined)? Instance"
    parts = [
        Part(f"{series} Core{_PLACE}", "OnDemand", "h", shape.cpus),
        Part(f"{series} Ram{_PLACE}", "OnDemand", "GiBy.h", shape.memory_gib),
    ]
    if shape.accelerators:
        gpu = _MANAGED_GPUS.get(shape.accelerator, shape.accelerator)
        parts.append(Part(f"{_MANAGEMENT}{gpu}{_PLACE}", "OnDemand", "h", shape.accelerators))
    return parts


def _sum(skus: Iterable[Sku], region: str, parts: Iterable[Part]) -> float | None:
    """Return the sum of the parts in a region; None when one is not there, or there at several prices."""
    total = 0.0
    for part in parts:
        pattern = re.compile(part.description, re.IGNORECASE)
        prices = {
            sku.price
            for sku in skus
            if region in sku.regions
            and (sku.usage_type, sku.unit) == (part.usage_type, part.unit)
            and pattern.fullmatch(sku.description)
        }
        if len(prices) != 1:
            log.warning("%s: %d prices for %s (%s)", region, len(prices), part.description, part.usage_type)
            return None
        total += prices.pop() * part.amount
    return round(total, 8)


def _known(prices: Mapping[str, float | None]) -> dict[str, float]:
    return {name: price for name, price in prices.items() if price is not None}


def _lost(old: PriceTable, new: PriceTable) -> list[str]:
    """Return what one table has a price of and another has not."""
    return [name for name in _priced(old) if name not in set(_priced(new))]


def _priced(table: PriceTable) -> Iterator[str]:
    for name, region in table.regions.items():
        yield from (f"{name}: {machine}, {each}" for machine, prices in region.machines.items() for each in prices)
        yield from (f"{name}: {disk}" for disk in region.disks)


def _money(price: Mapping[str, Any]) -> float:
    return int(price.get("units", 0)) + int(price.get("nanos", 0)) / 1e9


def _skus(apis: GoogleApis, service: str, currency: str) -> Iterator[Sku]:
    """Yield all SKUs of a service that have a price."""
    parameters = {"currencyCode": currency, "pageSize": PAGE_SIZE}
    while True:
        page = _page(apis, SKUS.format(service), parameters)
        yield from filter(None, map(Sku.from_dict, page.get("skus", ())))
        if not page.get("nextPageToken"):
            return
        parameters["pageToken"] = page["nextPageToken"]


def _page(apis: GoogleApis, url: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return apis.get(url, **parameters)
    except GoogleError as error:
        mend = "`gcloud services enable cloudbilling.googleapis.com`" if error.is_disabled_api else "try again later"
        raise UserError(url, f"is refused ({error})", mend) from None
    except OSError as error:
        raise UserError(url, f"does not answer ({type(error).__name__})", "check the network") from None
