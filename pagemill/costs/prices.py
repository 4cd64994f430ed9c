"""The price table: what machines, disks and services cost by region, with the date and source of every number."""

import datetime
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pagemill.errors import UserError
from pagemill.storage import filesystem_of

SHIPPED = Path(__file__).with_name("prices.yaml")
DEFAULT_REGION = "us-central1"
HOURS_PER_MONTH = 730  # by which Google Cloud divides

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Provisioning = Annotated[str, StringConstraints(pattern="^(STANDARD|SPOT|FLEX_START)$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Part):
    """Where numbers come from; `verified` is False where they are taken to hold without having been seen."""

    url: str
    date: datetime.date
    verified: bool = True
    note: str = ""


class Shape(_Part):
    """What a machine type is made of."""

    cpus: int = Field(gt=0)
    memory_gib: int = Field(gt=0)
    accelerator: str = ""
    accelerators: int = Field(0, ge=0)
    local_ssd_gib: int = Field(0, ge=0)  # that it always has, and that is paid with it


class Region(_Part):
    """The prices of a region, without tax and discounts."""

    machines: dict[str, dict[Provisioning, Price]] = {}  # an hour on Compute Engine, by type and provisioning
    management: dict[str, Price] = {}  # an hour, by type: what Vertex AI takes on top
    disks: dict[str, Price] = {}  # a GiB and month on Compute Engine


class PriceTable(_Part):
    """A price table, as in `prices.yaml`; what it does not know is None."""

    date: datetime.date
    currency: str = Field(pattern="^[A-Z]{3}$")
    sources: dict[str, Source]
    shapes: dict[str, Shape]
    regions: dict[str, Region]
    vertex_management_fraction: Price | None = None  # of the on-demand price, where no fee is listed
    fees: dict[str, Price] = {}

    @model_validator(mode="after")
    def _has_all_shapes(self) -> Self:
        for name, region in self.regions.items():
            if unknown := [machine for machine in region.machines if machine not in self.shapes]:
                raise ValueError(f"{unknown[0]} of {name} has no shape")
        return self

    def machine_per_hour(self, machine: str, region: str, provisioning: str) -> float | None:
        """Return what an hour of a machine costs on Compute Engine."""
        return self._region(region).machines.get(machine, {}).get(provisioning)

    def management_per_hour(self, machine: str, region: str) -> float | None:
        """Return what Vertex AI takes for an hour of a machine on top of Compute Engine's price."""
        if (listed := self._region(region).management.get(machine)) is not None:
            return listed
        return self._fraction_of(self.machine_per_hour(machine, region, "STANDARD"))

    def disk_per_gib_hour(self, disk: str, region: str, *, vertex: bool) -> float | None:
        """Return what an hour of a GiB costs; on Vertex AI with its fee."""
        month = self._region(region).disks.get(disk)
        fee = self._fraction_of(month) if vertex else 0.0
        return None if month is None or fee is None else (month + fee) / HOURS_PER_MONTH

    def smallest_machine(self, cpus: int, memory_gib: int) -> str | None:
        """Return the smallest machine type without accelerators that has so much."""
        large_enough = [
            (shape.cpus, shape.memory_gib, name)
            for name, shape in self.shapes.items()
            if not shape.accelerators and shape.cpus >= cpus and shape.memory_gib >= memory_gib
        ]
        return min(large_enough)[-1] if large_enough else None

    def unverified(self) -> list[str]:
        """Return which numbers are taken to hold without having been seen."""
        return sorted(name for name, source in self.sources.items() if not source.verified)

    def _region(self, region: str) -> Region:
        return self.regions.get(region, Region())

    def _fraction_of(self, price: float | None) -> float | None:
        fraction = self.vertex_management_fraction
        return None if price is None or fraction is None else price * fraction


def load_prices(path: str = "") -> PriceTable:
    """Read a price table.

    Args:
        path: A YAML by path or URI; "" for the shipped one.

    Raises:
        UserError: It cannot be read, is no YAML, or is no price table.
    """
    try:
        return PriceTable.model_validate(_parsed(path or str(SHIPPED)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        reason = f"{where} is not valid ({first['msg']})"
        raise UserError(path, reason, "correct it; docs/estimates.md tells what stands where") from None


def save_prices(table: PriceTable, path: Path) -> None:
    """Write a price table as YAML."""
    values = table.model_dump(mode="json", exclude_defaults=True)
    values["date"] = table.date
    text = yaml.safe_dump(values, sort_keys=False, width=120)
    path.write_text(f"# See docs/estimates.md.\n{text}", encoding="utf-8")


def _parsed(path: str) -> Any:
    mend = "check the setting `prices`"
    try:
        filesystem, name = filesystem_of(path)
        with filesystem.open(name, "rb") as stream:
            return yaml.safe_load(stream.read())
    except FileNotFoundError:
        raise UserError(path, "is not there", mend) from None
    except (OSError, ValueError, ImportError) as error:  # ValueError: no such protocol
        raise UserError(path, f"cannot be read ({type(error).__name__})", mend) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(path, f"is no YAML ({reason})", "correct it; docs/estimates.md shows one") from None
