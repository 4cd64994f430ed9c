"""Prices: what the table says and leaves open, and how it is brought up to date from the billing catalogue."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tenacity
import yaml

from pagemill import google_apis
from pagemill.costs.catalogue import refresh_prices
from pagemill.costs.prices import DEFAULT_REGION, SHIPPED, PriceTable, load_prices, save_prices
from pagemill.errors import UserError
from pagemill.google_apis import GoogleApis
from pagemill.presets import PRESETS
from tests.billing_server import COMPUTE, VERTEX, Catalogue, compute_skus, running_catalogue, vertex_skus

TODAY = datetime.date(2026, 11, 22)
RENTED = [preset for preset in PRESETS.values() if preset.backend != "local"]
DISABLED = {
    "error": {
        "code": 403,
        "status": "PERMISSION_DENIED",
        "message": "Cloud Billing API has not been used",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}],
    }
}


@pytest.fixture
def shipped() -> PriceTable:
    return load_prices()


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    monkeypatch.setattr(google_apis, "BACKOFF", tenacity.wait_none())
    with running_catalogue({COMPUTE: compute_skus(), VERTEX: vertex_skus()}) as state:
        monkeypatch.setenv(google_apis.REDIRECT_VARIABLE, state.address)
        yield state


def own_table(folder: Path, **changes: Any) -> str:
    """Write the shipped table with other values on top and return its path."""
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()) | changes))
    return str(path)


def in_us(table: PriceTable, **changes: Any) -> PriceTable:
    return table.model_copy(update={"regions": {DEFAULT_REGION: table.regions[DEFAULT_REGION]}, **changes})


@pytest.mark.parametrize("preset", RENTED, ids=lambda preset: preset.name)
def test_every_preset_has_its_machines_priced_in_every_region(shipped: PriceTable, preset: Any) -> None:
    other = shipped.smallest_machine(preset.cpu_task_cpus, preset.cpu_task_memory_gib)
    assert other == "e2-standard-4"
    for region in shipped.regions:
        assert shipped.machine_per_hour(preset.machine, region, preset.provisioning)
        assert shipped.machine_per_hour(other, region, "STANDARD")
        assert shipped.management_per_hour(preset.machine, region)


@pytest.mark.parametrize("preset", RENTED, ids=lambda preset: preset.name)
def test_a_machine_has_the_shape_that_the_preset_takes_it_to_have(shipped: PriceTable, preset: Any) -> None:
    shape = shipped.shapes[preset.machine]
    assert (shape.accelerator, shape.accelerators) == (preset.accelerator, preset.accelerators)
    assert shape.cpus >= preset.cpus
    assert shape.memory_gib >= preset.memory_gib


def test_every_number_has_a_source(shipped: PriceTable) -> None:
    assert set(shipped.sources) == {"machines", "disks", "vertex_management_fraction", *shipped.fees}
    assert all(source.url.startswith("https://") for source in shipped.sources.values())
    assert all(source.date <= TODAY for source in shipped.sources.values())
    assert shipped.unverified() == ["vertex_management_fraction"]


def test_spot_is_cheaper_and_two_gpus_cost_twice_as_much(shipped: PriceTable) -> None:
    for region in shipped.regions.values():
        assert all(prices["SPOT"] < prices["STANDARD"] for prices in region.machines.values())
        one, two = region.machines["a2-highgpu-1g"], region.machines["a2-highgpu-2g"]
        assert two == pytest.approx({name: 2 * price for name, price in one.items()}, rel=1e-6)


def test_what_the_table_does_not_know_is_none(shipped: PriceTable) -> None:
    assert shipped.machine_per_hour("a2-highgpu-1g", "us-central1", "FLEX_START") is None
    assert shipped.machine_per_hour("a2-highgpu-1g", "mars-north1", "SPOT") is None
    assert shipped.management_per_hour("a3-highgpu-1g", "us-central1") is None
    assert shipped.disk_per_gib_hour("pd-extreme", "us-central1", vertex=True) is None
    assert shipped.smallest_machine(64, 16) is None


def test_vertex_takes_its_fee_of_the_price_on_demand(shipped: PriceTable) -> None:
    assert shipped.management_per_hour("a2-highgpu-1g", "us-central1") == pytest.approx(3.673385 * 0.15)
    # As billed: 0.0002678 USD a GiB and hour of an SSD disk on Vertex AI in us-central1.
    assert shipped.disk_per_gib_hour("pd-ssd", "us-central1", vertex=True) == pytest.approx(0.0002678, abs=5e-8)
    assert shipped.disk_per_gib_hour("pd-ssd", "us-central1", vertex=False) == pytest.approx(0.17 / 730)


def test_a_fee_that_is_listed_comes_before_the_fraction(shipped: PriceTable) -> None:
    region = shipped.regions[DEFAULT_REGION].model_copy(update={"management": {"a2-highgpu-1g": 0.7}})
    table = in_us(shipped).model_copy(update={"regions": {DEFAULT_REGION: region}})
    assert table.management_per_hour("a2-highgpu-1g", DEFAULT_REGION) == 0.7
    assert table.management_per_hour("e2-standard-4", DEFAULT_REGION) == pytest.approx(0.13402284 * 0.15)
    assert in_us(shipped, vertex_management_fraction=None).management_per_hour("e2-standard-4", DEFAULT_REGION) is None


def test_a_table_of_ones_own_is_read(tmp_path: Path) -> None:
    assert load_prices(own_table(tmp_path, currency="EUR")).currency == "EUR"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"currency": "dollars"}, "currency is not valid"),
        ({"discount": 0.1}, "discount is not valid"),
        ({"date": "yesterday"}, "date is not valid"),
        ({"fees": {"gke_cluster_hour": -1}}, "fees.gke_cluster_hour is not valid"),
        ({"fees": {"gke_cluster_hour": float("nan")}}, "fees.gke_cluster_hour is not valid"),
        ({"regions": {"r": {"machines": {"e2-standard-4": {"CHEAP": 1}}}}}, "CHEAP"),
        ({"shapes": {}}, "has no shape"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = own_table(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        load_prices(path)
    assert says in str(error.value)
    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"regions: [", "is no YAML"), (b"\xff\xfe\x00", "is no YAML"), (b"prices", "the whole is not valid")],
)
def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        load_prices(str(path))


def test_a_table_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: is not there; check the setting `prices`"):
        load_prices("nowhere.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load_prices("nosuch://bucket/prices.yaml")


def test_a_table_is_written_as_it_is_read(tmp_path: Path, shipped: PriceTable) -> None:
    save_prices(shipped, tmp_path / "prices.yaml")
    assert load_prices(str(tmp_path / "prices.yaml")) == shipped


def test_refreshed_prices_are_sums_of_skus(catalogue: Catalogue, shipped: PriceTable) -> None:
    table, lost = refresh_prices(in_us(shipped), GoogleApis(), today=TODAY)
    region = table.regions[DEFAULT_REGION]
    assert region.machines == {
        # 12 cores and 85 GiB with a GPU: 12 x 0.03 + 85 x 0.004 + 3; as Spot 12 x 0.01 + 85 x 0.001 + 1
        "a2-highgpu-1g": pytest.approx({"STANDARD": 3.7, "SPOT": 1.205}),
        "a2-highgpu-2g": pytest.approx({"STANDARD": 7.4, "SPOT": 2.41}),
        # with 375 GiB of local SSD: 12 x 0.03 + 170 x 0.004 + 4 + 375 x 0.073 / 730
        "a2-ultragpu-1g": pytest.approx({"STANDARD": 5.0775, "SPOT": 2.30875}),
        "e2-standard-4": pytest.approx({"STANDARD": 0.128, "SPOT": 0.056}),
    }
    # 12 x 0.005 + 85 x 0.0005 + 0.5; there is no fee for E2, so that the fraction stays in use
    assert region.management == pytest.approx(
        {"a2-highgpu-1g": 0.6025, "a2-highgpu-2g": 1.205, "a2-ultragpu-1g": 0.745}
    )
    assert region.disks == {"pd-ssd": 0.17, "pd-balanced": 0.1}
    assert lost == []
    assert (table.date, table.sources["machines"].date, table.sources["management"].date) == (TODAY, TODAY, TODAY)
    assert table.sources["gke_cluster_hour"] == shipped.sources["gke_cluster_hour"]


def test_all_pages_of_both_services_are_asked_for(catalogue: Catalogue, shipped: PriceTable) -> None:
    refresh_prices(in_us(shipped), GoogleApis(), today=TODAY)
    tokens = [query.get("pageToken", "") for path, query in catalogue.requests if COMPUTE in path]
    assert tokens == ["", "4", "8", "12", "16", "20"]
    assert {query["currencyCode"] for _, query in catalogue.requests} == {"USD"}


def test_what_the_catalogue_does_not_tell_is_left_out_and_named(catalogue: Catalogue, shipped: PriceTable) -> None:
    catalogue.skus[COMPUTE] = [each for each in compute_skus() if "80GB GPU attached" not in each["description"]]
    table, lost = refresh_prices(shipped, GoogleApis(), today=TODAY)
    assert set(table.regions[DEFAULT_REGION].machines["a2-ultragpu-1g"]) == {"STANDARD"}
    assert "us-central1: a2-ultragpu-1g, SPOT" in lost
    assert table.regions["europe-west4"].machines["a2-highgpu-1g"] == {}  # the server knows Iowa alone
    assert "europe-west4: pd-ssd" in lost


def test_prices_that_contradict_each_other_are_not_taken(catalogue: Catalogue, shipped: PriceTable) -> None:
    dearer = compute_skus()[0]
    dearer["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["nanos"] += 1
    catalogue.skus[COMPUTE].append(dearer)
    table, _ = refresh_prices(in_us(shipped), GoogleApis(), today=TODAY)
    assert set(table.regions[DEFAULT_REGION].machines["a2-highgpu-1g"]) == {"SPOT"}


def test_a_catalogue_that_is_busy_is_asked_again(catalogue: Catalogue, shipped: PriceTable) -> None:
    catalogue.refusals = [(503, {}), (429, {}), (502, {})]
    table, _ = refresh_prices(in_us(shipped), GoogleApis(), today=TODAY)
    assert table.machine_per_hour("a2-highgpu-1g", DEFAULT_REGION, "STANDARD") == pytest.approx(3.7)


def test_a_refusal_says_what_to_do(catalogue: Catalogue, shipped: PriceTable) -> None:
    catalogue.refusals = [(403, DISABLED)]
    with pytest.raises(UserError, match=r"SERVICE_DISABLED.*gcloud services enable cloudbilling") as error:
        refresh_prices(shipped, GoogleApis(), today=TODAY)
    assert "\n" not in str(error.value)


def test_a_catalogue_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, shipped: PriceTable) -> None:
    monkeypatch.setenv(google_apis.REDIRECT_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="does not answer"):
        refresh_prices(shipped, GoogleApis(attempts=1), today=TODAY)
