"""A Cloud Billing Catalog API that lists SKUs page by page, with prices that are easy to add up."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers import JsonHandler, listening

SKUS_ON_A_PAGE = 4
COMPUTE, VERTEX = "6F81-5844-456A", "C7E2-9256-1C43"
PLACES = {"us-central1": "Iowa", "europe-west4": "Netherlands"}


@dataclasses.dataclass
class Catalogue:
    """SKUs by service; what to answer first in their place, and what was asked for."""

    skus: dict[str, list[dict[str, Any]]]
    refusals: list[tuple[int, dict[str, Any]]] = dataclasses.field(default_factory=list)  # status and body
    requests: list[tuple[str, dict[str, str]]] = dataclasses.field(default_factory=list)
    address: str = ""


def sku(
    description: str, price: float, unit: str, *, region: str = "us-central1", usage: str = "OnDemand", family: str = ""
) -> dict[str, Any]:
    """Return an SKU as the API documents it; the first GiB of a tiered one is free."""
    units, nanos = divmod(round(price * 1e9), 10**9)
    rates = [{"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": str(units), "nanos": nanos}}]
    if unit == "GiBy.mo":
        rates.insert(0, {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": "0", "nanos": 0}})
        rates[1]["startUsageAmount"] = 1
    expression = {"usageUnit": unit, "displayQuantity": 1, "baseUnitConversionFactor": 3600, "tieredRates": rates}
    return {
        "name": "services/0000-0000-0000/skus/0000-0000-0000",
        "skuId": "0000-0000-0000",
        "description": description,
        "category": {"serviceDisplayName": "x", "resourceFamily": family, "resourceGroup": "", "usageType": usage},
        "serviceRegions": [region],
        "pricingInfo": [
            {
                "summary": "",
                "pricingExpression": expression,
                "currencyConversionRate": 1,
                "effectiveTime": "2026-11-21T10:50:40.206Z",
            }
        ],
        "serviceProviderName": "Google",
        "geoTaxonomy": {"type": "REGIONAL", "regions": [region]},
    }


def compute_skus(region: str = "us-central1") -> list[dict[str, Any]]:
    """Return SKUs of Compute Engine: those that prices are made of, and others that are called much alike."""
    place = PLACES[region]
    spot = "attached to Spot Preemptible VMs running in"
    rows = [
        (f"A2 Instance Core running in {place}", 0.03, "h", "OnDemand"),
        (f"A2 Instance Ram running in {place}", 0.004, "GiBy.h", "OnDemand"),
        (f"Nvidia Tesla A100 GPU running in {place}", 3.0, "h", "OnDemand"),
        (f"Nvidia Tesla A100 80GB GPU running in {place}", 4.0, "h", "OnDemand"),
        ("SSD backed Local Storage", 0.073, "GiBy.mo", "OnDemand"),
        (f"Spot Preemptible A2 Instance Core running in {place}", 0.01, "h", "Preemptible"),
        (f"Spot Preemptible A2 Instance Ram running in {place}", 0.001, "GiBy.h", "Preemptible"),
        (f"Nvidia Tesla A100 GPU {spot} {place}", 1.0, "h", "Preemptible"),
        (f"Nvidia Tesla A100 80GB GPU {spot} {place}", 2.0, "h", "Preemptible"),
        ("SSD backed Local Storage attached to Spot Preemptible VMs", 0.0365, "GiBy.mo", "Preemptible"),
        (f"E2 Instance Core running in {place}", 0.02, "h", "OnDemand"),
        (f"E2 Instance Ram running in {place}", 0.003, "GiBy.h", "OnDemand"),
        (f"Spot Preemptible E2 Instance Core running in {place}", 0.01, "h", "Preemptible"),
        (f"Spot Preemptible E2 Instance Ram running in {place}", 0.001, "GiBy.h", "Preemptible"),
        ("SSD backed PD Capacity", 0.17, "GiBy.mo", "OnDemand"),
        ("Balanced PD Capacity", 0.1, "GiBy.mo", "OnDemand"),
        # none of these is a price of ours
        (f"Reserved Nvidia Tesla A100 GPU in {place}", 9.0, "h", "OnDemand"),
        (f"Commitment v1: A2 Cpu in {place} for 1 Year", 9.0, "h", "Commit1Yr"),
        (f"DWS Defined Duration A2 Core running in {place}", 9.0, "h", "OnDemand"),
        (f"A2 Instance Core running in {place} free of charge", 0.0, "h", "OnDemand"),
        ("Regional SSD backed PD Capacity", 9.0, "GiBy.mo", "OnDemand"),
        ("Network Vpn Internet Egress from Americas to Africa", 0.12, "GiBy", "OnDemand"),
    ]
    return [sku(name, price, unit, region=region, usage=usage) for name, price, unit, usage in rows]


def vertex_skus(region: str = "us-central1") -> list[dict[str, Any]]:
    """Return SKUs of Vertex AI: its fees for training and pipelines, and the like for prediction."""
    place = PLACES[region]
    training = "Vertex AI: Training/Pipelines management fee on"
    rows = [
        (f"{training} A2 Instance Core in {place}", 0.005, "h"),
        (f"{training} A2 Instance RAM in {place}", 0.0005, "GiBy.h"),
        (f"{training} NVIDIA Tesla A100 in {place}", 0.5, "h"),
        (f"{training} NVIDIA Tesla A100 80GB in {place}", 0.6, "h"),
        (f"Vertex AI: Online/Batch Prediction management fee on A2 Instance Core in {place}", 9.0, "h"),
        (f"Vertex AI: Training/Pipelines on NVIDIA Tesla A100 in {place}", 9.0, "h"),
    ]
    return [sku(name, price, unit, region=region) for name, price, unit in rows]


@contextlib.contextmanager
def running_catalogue(skus: dict[str, list[dict[str, Any]]]) -> Iterator[Catalogue]:
    """Serve a catalogue on a free port of this machine."""
    state = Catalogue(skus)
    with listening(_Handler, state=state) as state.address:
        yield state


class _Handler(JsonHandler):
    state: Catalogue

    def serve(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.state.requests.append((url.path, query))
        if self.state.refusals:
            self.send(*self.state.refusals.pop(0))
            return
        host, version, services, service, last = url.path.strip("/").split("/")
        if (host, version, services, last) != ("cloudbilling.googleapis.com", "v1", "services", "skus"):
            self.send(404, {"error": {"code": 404, "status": "NOT_FOUND", "message": self.path}})
            return
        assert int(query["pageSize"]) <= 5000, "the API refuses more"
        first = int(query.get("pageToken", "0"))
        found = self.state.skus[service]
        after = first + SKUS_ON_A_PAGE
        self.send(200, {"skus": found[first:after], "nextPageToken": str(after) if after < len(found) else ""})
