"""Estimates: time and money worked out by hand, how sure they are by where the speed came from, and what must hold."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pagemill.cloud.labels import LABELS_PER_RUN, labels_for
from pagemill.costs.estimate import Estimate, duration, estimate, estimate_table
from pagemill.costs.prices import PriceTable, load_prices
from pagemill.costs.ranges import Range
from pagemill.costs.speeds import Speed, given_speed, measured_speed, published_speed, speed_for
from pagemill.errors import UserError
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.presets import PRESETS, Preset
from pagemill.records import BookRecord, Status
from pagemill.storage import Store

PRICES = load_prices()
RENTED = [preset for preset in PRESETS.values() if preset.backend != "local"]
SPOT, ON_DEMAND, GKE = PRESETS["vertex-a100-40"], PRESETS["vertex-2xa100"], PRESETS["gke-a100"]
LIKELY = 1.0  # pages a second and GPU
SPEED = Speed(Range(0.5, LIKELY, 2.0), Range(30.0, 90.0, 240.0), "given", "by hand", "medium")


def costs(result: Estimate) -> dict[str, float]:
    return {item.name: round(item.cost.likely, 2) for item in result.items if item.cost}


def ranks(rows: int, reading: float, waiting: float = 0.0, number: int = 1) -> dict[str, Any]:
    each = {"rows": rows / number, "seconds_loading": 20.0, "seconds_reading": reading, "seconds_waiting": waiting}
    return {**each, "rows": rows, "ranks": [each] * number}


def read_shard(store: Store, number: int, figures: list[dict[str, Any]], seconds: float, **settings: Any) -> None:
    """Leave the manifest of a shard that was read."""
    parent = Manifest("inspect_pdfs", 1, (f"shard {number}",), {}, (), {})
    settings = {"device": "auto", "workers": 2, "instances_per_gpu": 2, "nodes": 1, "figures": figures, **settings}
    rows = [BookRecord(str(number) * 64, "pages/x", 1, Status.OK)]
    parameters = {"engine": settings.pop("engine", "nougat")}
    Stage("recognize_pages", 2, BookRecord).record(store, (parent.name,), parameters, Outcome(rows), settings, seconds)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_run_on_spot_machines_by_hand() -> None:
    """72,000 pages, 16 shards, 8 machines with one GPU each."""
    result = estimate(72_000, SPOT, PRICES, SPEED, shards=16)
    # Reading 72,000 s, a tenth of it again; each shard starts with 180 s for its machine and 90 s for its model.
    assert result.gpu_hours.likely == pytest.approx((72_000 * 1.1 + 16 * 270) / 3600)
    assert result.gpu_hours.likely == pytest.approx(23.2)
    # Twice 8 shards: 79,200 / 16 s of reading, 270 s of starting, 4 other tasks, 0.03 s a page; then 7 tasks once.
    assert result.wall_seconds.likely == pytest.approx(2 * (4950 + 270 + 4 * 180 + 0.03 * 4500) + 7 * 180)
    # 0.03 s a page, and 4 tasks a shard and 7 once that start for 180 s.
    cpu_hours = (2160 + (4 * 16 + 7) * 180) / 3600
    assert costs(result) == {
        "a2-highgpu-1g, SPOT": round(23.2 * 2.12081, 2),
        "Vertex AI's fee, a2-highgpu-1g": round(23.2 * 3.673385 * 0.15, 2),
        "pd-ssd, a2-highgpu-1g": round(23.2 * 500 * 0.17 * 1.15 / 730, 2),
        "e2-standard-4, STANDARD": round(cpu_hours * 0.13402284, 2),
        "Vertex AI's fee, e2-standard-4": round(cpu_hours * 0.13402284 * 0.15, 2),
        "pd-ssd, e2-standard-4": round(cpu_hours * 100 * 0.17 * 1.15 / 730, 2),
        "Vertex AI Pipelines, a run": 0.03,
    }
    assert costs(result)["a2-highgpu-1g, SPOT"] == 49.2
    assert result.total.likely == pytest.approx(sum(costs(result).values()), abs=0.04)


def test_a_run_on_demand_by_hand() -> None:
    """Two GPUs read twice as fast; nothing is read again."""
    result = estimate(72_000, ON_DEMAND, PRICES, SPEED, shards=4, region="europe-west4")
    machine_hours = (36_000 + 4 * 270) / 3600
    assert result.gpu_hours.likely == pytest.approx(2 * machine_hours)
    assert costs(result)["a2-highgpu-2g, STANDARD"] == round(machine_hours * 7.495944, 2)
    assert result.wall_seconds.likely == pytest.approx(9000 + 270 + 4 * 180 + 0.03 * 18_000 + 7 * 180)


def test_a_cluster_costs_by_the_hour_and_vertex_takes_nothing() -> None:
    result = estimate(72_000, GKE, PRICES, SPEED, shards=16)
    assert costs(result)["GKE, the cluster"] == round(result.wall_seconds.likely / 3600 * 0.1, 2)
    assert costs(result)["pd-balanced, a2-highgpu-1g"] == round(23.2 * 500 * 0.1 / 730, 2)
    assert not any("Vertex" in name for name in costs(result))
    assert result.unverified == ()


def test_the_low_end_is_the_fast_one() -> None:
    result = estimate(72_000, SPOT, PRICES, SPEED, shards=16)
    assert result.gpu_hours.low == pytest.approx((36_000 + 16 * 90) / 3600)
    assert result.gpu_hours.high == pytest.approx((144_000 * 1.3 + 16 * 660) / 3600)


def test_shards_are_not_made_tiny_and_not_more_than_the_preset_has() -> None:
    assert [estimate(pages, SPOT, PRICES, SPEED).shards for pages in (1, 499, 1500, 10**7)] == [1, 1, 3, 100]
    assert estimate(3, SPOT, PRICES, SPEED, shards=50).shards == 3
    assert estimate(1500, SPOT, PRICES, SPEED).machines == 3


def test_a_price_that_is_not_known_is_named_and_not_guessed() -> None:
    result = estimate(1000, SPOT, PRICES, SPEED, region="us-east7")
    assert "a2-highgpu-1g, SPOT" in result.missing
    assert result.total == Range.exactly(0.03)
    assert result.confidence == "low"
    assert "no price found for a2-highgpu-1g, SPOT" in shown(result)


def test_the_local_preset_rents_nothing() -> None:
    with pytest.raises(UserError, match="preset local: rents nothing; give one of vertex-a100-40"):
        estimate(1000, PRESETS["local"], PRICES, SPEED)


@pytest.mark.parametrize(("pages", "shards"), [(0, 0), (-5, 1), (10, -1)])
def test_no_work_is_no_estimate(pages: int, shards: int) -> None:
    with pytest.raises(UserError, match="is no work"):
        estimate(pages, SPOT, PRICES, SPEED, shards=shards)


def test_a_published_speed_has_a_wide_range_and_low_confidence() -> None:
    speed = published_speed("nvidia-tesla-a100")
    # 6 pages in 19.5 s on an A10G; 1555 to 600 GB a second, 40 to 24 GB
    likely = 6 / 19.5 * 1555 / 600
    assert (speed.pages_per_gpu_second.low, speed.pages_per_gpu_second.likely) == pytest.approx((6 / 19.5, likely))
    assert speed.pages_per_gpu_second.high == pytest.approx(likely * 40 / 24)
    assert (speed.source, speed.confidence) == ("published", "low")
    with pytest.raises(UserError, match="has no published speed; give --pages-per-second"):
        published_speed("nvidia-b200")


def test_a_given_speed_is_taken_to_a_quarter() -> None:
    assert given_speed(2.0).pages_per_gpu_second == Range(1.5, 2.0, 2.5)
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UserError, match="is no speed"):
            given_speed(wrong)


def test_a_measured_speed_is_that_of_all_shards_and_spans_them(store: Store) -> None:
    read_shard(store, 1, [ranks(3000, reading=990, waiting=10, number=2)], seconds=1050)  # 3 pages a second
    read_shard(store, 2, [ranks(1000, reading=1000)], seconds=1030)  # 1 page a second
    speed = measured_speed(store)
    assert speed is not None
    assert speed.pages_per_gpu_second == Range(1.0, 2.0, 3.0)
    assert speed.start_seconds == Range(30.0, 40.0, 50.0)  # what was not reading
    assert (speed.source, speed.confidence) == ("measured", "high")
    assert speed.basis.startswith("4,000 pages in 2 shards of ")


def test_few_pages_make_a_measured_speed_less_sure(store: Store) -> None:
    read_shard(store, 1, [ranks(1000, reading=500)], seconds=520)
    read_shard(store, 2, [ranks(10, reading=100)], seconds=120)  # too few to say anything of the range
    speed = measured_speed(store)
    assert speed is not None
    assert speed.confidence == "medium"
    read = speed.pages_per_gpu_second
    assert (read.low, read.likely, read.high) == pytest.approx((0.85 * 1010 / 600, 1010 / 600, 2.0))


def test_seconds_count_for_every_gpu_and_rounds_add_up(store: Store) -> None:
    rounds = [ranks(4000, reading=900, number=4), ranks(400, reading=100, number=4)]
    read_shard(store, 1, rounds, seconds=1100, workers=4, instances_per_gpu=2, nodes=2)
    speed = measured_speed(store)
    assert speed is not None
    assert speed.pages_per_gpu_second.likely == pytest.approx(4400 / (1000 * 2 * 2))


@pytest.mark.parametrize(
    "settings",
    [
        {"device": "cpu", "workers": 4, "instances_per_gpu": 1},
        {"device": "auto", "workers": 1, "instances_per_gpu": 1},  # may have been a CPU
        {"engine": "rapidocr"},
        {"device": "remote", "workers": 0, "instances_per_gpu": 0, "figures": [{"rows": 1000, "requests": 250}]},
        {"figures": []},  # written before figures were recorded, or all was read already
        {"figures": [{"ranks": []}]},
    ],
)
def test_what_no_gpu_read_is_no_measurement(store: Store, settings: dict[str, Any]) -> None:
    figures = settings.pop("figures", [ranks(1000, reading=500)])
    read_shard(store, 1, figures, 520, **settings)
    assert measured_speed(store) is None


def test_an_empty_store_has_no_measurement(store: Store) -> None:
    assert measured_speed(store) is None


def test_a_speed_by_hand_comes_before_a_measured_one_and_that_before_a_published_one(store: Store) -> None:
    with pytest.raises(UserError, match="holds no pages that a GPU read; leave --store out"):
        speed_for("nvidia-tesla-a100", store=store)
    read_shard(store, 1, [ranks(1000, reading=500)], seconds=520)
    assert speed_for("nvidia-tesla-a100", store=store, pages_per_second=3.0) == given_speed(3.0)
    assert speed_for("nvidia-b200", store=store) == measured_speed(store)
    assert speed_for("nvidia-tesla-a100") == published_speed("nvidia-tesla-a100")


def shown(result: Estimate) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(estimate_table(result))
    return console.export_text()


def test_the_table_tells_where_numbers_come_from() -> None:
    text = shown(estimate(72_000, SPOT, PRICES, SPEED, shards=16))
    assert "72,000 pages with vertex-a100-40 in us-central1" in text
    assert "1.00 pages a second and GPU, given: by hand" in text
    assert "16 shards on 8 machines at a time" in text
    assert "confidence: medium; list prices of 2026-08-20" in text
    assert "not verified for these machines: vertex_management_fraction" in text
    assert "49.20" in text


def test_an_estimate_is_json() -> None:
    values = json.loads(json.dumps(estimate(72_000, SPOT, PRICES, SPEED, shards=16).to_dict()))
    assert values["total"]["low"] < values["total"]["likely"] < values["total"]["high"]
    assert values["speed"]["source"] == "given"
    assert values["missing"] == []
    assert values["items"][0]["name"] == "a2-highgpu-1g, SPOT"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 min"), (61, "2 min"), (3600, "1 h 00 min"), (7500, "2 h 05 min")])
def test_times_are_shown_in_hours_and_minutes(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_range_out_of_order_is_none() -> None:
    with pytest.raises(ValueError, match="is not in order"):
        Range(2.0, 1.0, 3.0)


numbers = st.floats(0.01, 100.0)
speeds = st.lists(numbers, min_size=3, max_size=3).map(
    lambda each: Speed(Range(*sorted(each)), Range(0.0, 60.0, 300.0), "given", "", "medium")
)
presets = st.sampled_from(RENTED)
pages = st.integers(1, 10**8)


@settings(max_examples=50)
@given(presets, speeds, pages, st.integers(0, 200), st.sampled_from([*PRICES.regions, "nowhere"]))
def test_estimates_are_in_order_and_never_negative(
    preset: Preset, speed: Speed, pages: int, shards: int, region: str
) -> None:
    result = estimate(pages, preset, PRICES, speed, region=region, shards=shards)
    assert 1 <= result.shards <= min(pages, preset.max_shards)
    assert 1 <= result.machines <= result.shards
    for each in (result.total, result.wall_seconds, result.gpu_hours):
        assert 0 <= each.low <= each.likely <= each.high


@settings(max_examples=50)
@given(presets, speeds, pages, st.integers(1, 10**6), st.integers(1, 100))
def test_more_pages_never_cost_less(preset: Preset, speed: Speed, pages: int, more: int, shards: int) -> None:
    fewer = estimate(pages, preset, PRICES, speed, shards=min(shards, pages))
    result = estimate(pages + more, preset, PRICES, speed, shards=fewer.shards)
    for name in ("low", "likely", "high"):
        assert getattr(result.total, name) >= getattr(fewer.total, name)
        assert getattr(result.gpu_hours, name) >= getattr(fewer.gpu_hours, name)


@settings(max_examples=50)
@given(speeds, pages, st.floats(1.0, 3.0))
def test_dearer_machines_never_cost_less(speed: Speed, pages: int, factor: float) -> None:
    values = PRICES.model_dump()
    for region in values["regions"].values():
        region["machines"] = {
            machine: {name: price * factor for name, price in prices.items()}
            for machine, prices in region["machines"].items()
        }
    dearer = estimate(pages, SPOT, PriceTable.model_validate(values), speed)
    assert dearer.total.likely >= estimate(pages, SPOT, PRICES, speed).total.likely


def test_labels_name_the_pipeline_the_preset_and_the_run() -> None:
    labels = labels_for(
        "book-dataset", "vertex-a100-40", "Nightly Run 7", {"team": "Data Science", "Cost.Center": "42"}
    )
    assert labels == {
        "app": "pagemill",
        "pagemill-pipeline": "book-dataset",
        "pagemill-preset": "vertex-a100-40",
        "pagemill-run": "nightly-run-7",
        "team": "data-science",
        "cost-center": "42",
    }


@settings(max_examples=50)
@given(st.text(), st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=80))
def test_labels_are_as_google_cloud_takes_them(pipeline: str, preset: str, run: str, labels: dict[str, str]) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    made = labels_for(pipeline, preset, run, labels)
    assert made["app"] == "pagemill"
    assert len(made) <= LABELS_PER_RUN
    for key, value in made.items():
        assert set(key) | set(value) <= allowed
        assert 0 < len(key) <= 63
        assert len(value) <= 63
        assert "a" <= key[0] <= "z"
