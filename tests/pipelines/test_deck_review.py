"""The compiled deck-review pipeline has the tasks of a review on demand, and runs here with their findings."""

import dataclasses
import inspect
import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pagemill.cloud import local
from pagemill.cloud.compiled import PIPELINES, parameters_of, path_of
from pagemill.cloud.local import PROGRAM, LocalRun, run_pipeline
from pagemill.cloud.spec import read_documents
from pagemill.components import images
from pagemill.decks.asking import Context
from pagemill.decks.batch.running import review_deck, review_parameters
from pagemill.decks.batch.servers import ModelServers
from pagemill.decks.review import Review, review
from pagemill.decks.tasks import TASKS, Parameters
from pagemill.storage import Store
from tests.deck_answers import answer_from_truth
from tests.decks import FOLDER, HEALTH, NO_OCR, PARCELS, prepared, truth_of
from tests.model_server import running_model_server
from tests.model_service import ModelService
from tests.model_shapes import Asked
from tests.warm_tasks import warm_program

LOOP = "comp-for-loop-1"
REPOSITORY = Path(__file__).parents[2]
OUTSIDE = {  # task: (tasks it waits for, cached)
    "collect-decks": (set(), True),
    "for-loop-1": ({"collect-decks"}, False),
    "report-reviews": ({"collect-decks", "for-loop-1"}, False),
}
STAGES = ("visual_analysis", "slide_feedback", "extractions_and_template", "specialized_analysis")
COMPONENTS = ("collect_decks", *STAGES, "conclude_review", "report_reviews")


@pytest.fixture(scope="module", params=PIPELINES["deck-review"].backends)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def documents(backend: str) -> list[dict[str, Any]]:
    return read_documents(path_of("deck-review", backend))


@pytest.fixture(scope="module")
def in_loop(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tasks of a deck, by name."""
    tasks: dict[str, dict[str, Any]] = documents[0]["components"][LOOP]["dag"]["tasks"]
    return tasks


def compiled_name(name: str) -> str:
    return name.replace("_", "-")


def waits_for(task: dict[str, Any]) -> set[str]:
    """The tasks that one waits for, all of which hand it something."""
    producers = {each["taskOutputArtifact"]["producerTask"] for each in task["inputs"].get("artifacts", {}).values()}
    assert producers == set(task.get("dependentTasks", []))
    return producers


# What is compiled


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_deck_has_the_tasks_of_a_review_with_their_needs_and_attempts(in_loop: dict[str, Any], task: Any) -> None:
    compiled = in_loop[compiled_name(task.name)]
    assert waits_for(compiled) == set(map(compiled_name, task.needs))
    assert compiled["retryPolicy"]["maxRetryCount"] == task.attempts - 1
    assert compiled["cachingOptions"]["enableCache"]


def test_a_deck_s_review_is_concluded_from_all_of_its_tasks_and_nothing_else_is_done(in_loop: dict[str, Any]) -> None:
    tasks = {compiled_name(task.name) for task in TASKS}
    assert in_loop.keys() == tasks | {"conclude-review"}
    assert waits_for(in_loop["conclude-review"]) == tasks


def test_around_the_decks_they_are_collected_and_reported(documents: list[dict[str, Any]]) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    assert {
        name: (set(task.get("dependentTasks", [])), task.get("cachingOptions", {}).get("enableCache", False))
        for name, task in tasks.items()
    } == OUTSIDE


def test_no_deck_s_task_depends_on_the_other_decks(in_loop: dict[str, Any]) -> None:
    """Else one deck more would have all of them reviewed anew."""
    for task in in_loop.values():
        assert not [each for each in task["inputs"].get("artifacts", {}).values() if "componentInputArtifact" in each]


def test_every_task_runs_in_the_image_without_gpus(documents: list[dict[str, Any]]) -> None:
    containers = [each["container"] for each in documents[0]["deploymentSpec"]["executors"].values()]
    assert {container["image"] for container in containers} == {images.PIPELINE}
    assert not [container for container in containers if "accelerator" in container.get("resources", {})]


def test_the_key_of_the_models_is_a_variable_of_the_tasks_that_ask_them_on_a_cluster_alone(
    backend: str, documents: list[dict[str, Any]]
) -> None:
    assert len(documents) == (2 if backend == "kfp" else 1)
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if backend == "kfp" else {}
    given = {name.removeprefix("exec-") for name, each in executors.items() if "secretAsEnv" in each}
    assert given == ({compiled_name(task.name) for task in TASKS} if backend == "kfp" else set())


# One home of the defaults


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


def component(name: str) -> dict[str, Any]:
    return defaults(getattr(import_module(f"pagemill.components.{name}"), name).python_func)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_repeats_the_defaults_of_its_library_function(name: str) -> None:
    rooms = {"collect_decks": "collecting", "conclude_review": "reporting", "report_reviews": "reporting"}
    room = import_module(f"pagemill.decks.batch.{rooms.get(name, 'running')}")
    library = defaults(review_deck if name in STAGES else getattr(room, name))
    assert component(name) == {each: library[each] for each in component(name)}


def test_the_pipeline_repeats_the_defaults_of_its_components(backend: str) -> None:
    pipeline = {each.name: each.default for each in parameters_of("deck-review", backend) if each.default is not None}
    of_components = {name: value for each in COMPONENTS for name, value in component(each).items()}
    assert pipeline == of_components


def test_a_batch_asks_by_default_what_a_review_on_demand_asks() -> None:
    assert review_parameters() == Parameters()
    assert defaults(review_parameters).items() <= defaults(review_deck).items()
    assert (
        defaults(review_deck)["parallel"]
        == {each.name: each.default for each in dataclasses.fields(Context)}["parallel"]
    )


def test_the_documented_table_of_tasks_is_the_compiled_one(in_loop: dict[str, Any]) -> None:
    documented = {}
    for line in (REPOSITORY / "docs" / "pipelines.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in in_loop or cells[0] in OUTSIDE:
            documented[cells[0]] = (cells[1] == "yes", cells[3] == "yes")
    around = {name: (False, cached) for name, (_, cached) in OUTSIDE.items() if name != "for-loop-1"}
    assert documented == around | dict.fromkeys(in_loop, (True, True))


# A run here


@dataclasses.dataclass(frozen=True)
class Batch:
    """A run of the compiled pipeline over a deck, one of which the model says nonsense, and a file that is none."""

    service: ModelService
    folder: Path
    arguments: dict[str, Any]
    first: LocalRun

    @property
    def store(self) -> Store:
        return Store(self.arguments["store"])

    def run(self, *, caching: bool = True, **arguments: Any) -> LocalRun:
        return run_pipeline(
            path_of("deck-review", "local"), self.arguments | arguments, self.folder / "runs", caching=caching
        )

    def rows(self, run: LocalRun | None = None) -> dict[str, dict[str, Any]]:
        text = ((run or self.first).folder / "report-reviews" / "rows").read_text()
        return {row["name"]: row for row in map(json.loads, text.splitlines())}

    def in_process(self, name: str) -> Review:
        """What a review in this process finds with the same models."""
        store = Store(str(self.folder / "other"))
        servers = ModelServers(
            {each: (self.service.endpoint, self.arguments[f"{each}_model"]) for each in ("vision", "text")}
        )
        return review(prepared(name, store), Context(store, servers), Parameters(slides=NO_OCR))


def nonsense(asked: Asked) -> str | None:
    """Answer badly what is to be extracted from one of the decks."""
    title = truth_of(PARCELS)["slides"][0]["title"]
    return "I am only a model" if asked.schema_name == "BundledExtractions" and title in asked.text else None


@pytest.fixture(scope="module")
def warm_tasks() -> Iterator[None]:
    """Runs whose tasks need not import everything anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "PROGRAM", warm_program("deck-review"))
        yield


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, warm_tasks: None) -> Iterator[Batch]:
    folder = tmp_path_factory.mktemp("batch")
    (folder / "decks").mkdir()
    for name in (HEALTH, PARCELS):
        shutil.copy(FOLDER / f"{name}.pdf", folder / "decks")
    (folder / "decks" / "notes.pdf").write_text("not a deck")
    with running_model_server() as service:
        service.say(nonsense)
        answer_from_truth(service)
        arguments = {
            "source": str(folder / "decks"),
            "source_fingerprint": "as it is",
            "store": str(folder / "store"),
            "vision_url": service.endpoint,
            "vision_model": "llava:13b",
            "text_url": service.endpoint,
            "text_model": "gemma3:27b",
            "slide_ocr": False,
        }
        for name in (HEALTH, PARCELS):
            prepared(name, Store(arguments["store"]))
        first = run_pipeline(path_of("deck-review", "local"), arguments, folder / "runs")
        assert first.succeeded, first.log.read_text()[-5000:]
        yield Batch(service, folder, arguments, first)


@pytest.mark.parametrize("name", [HEALTH, PARCELS])
def test_every_task_finds_what_a_review_in_one_process_finds(batch: Batch, name: str) -> None:
    found = batch.in_process(name)
    row = batch.rows()[f"{name}.pdf"]
    done = {task: each for task, each in row["tasks"].items() if each["result"]}
    assert [each["content_digest"] for each in done.values()] == [each.content_digest for each in found.results]
    assert row["content_digest"] == found.content_digest
    troubles = {each.task: str(each.reason) for each in found.troubles}
    assert {task: each["reason"] for task, each in row["tasks"].items() if task not in done} == troubles


def test_a_deck_whose_model_says_nonsense_fails_alone(batch: Batch) -> None:
    rows = batch.rows()
    assert {name: (row["status"], row["reason"]) for name, row in rows.items()} == {
        "korbland.pdf": ("failed", "bad_answer"),
        "notes.pdf": ("failed", "not_a_pdf"),
        "orrivane.pdf": ("ok", ""),
    }
    assert rows["korbland.pdf"]["tasks"]["slide_feedback"]["status"] == "ok"


def test_each_task_s_artifact_carries_what_it_found_and_took(batch: Batch) -> None:
    written = [json.loads(path.read_text()) for path in batch.first.folder.glob("for-loop-*/*/executor_output.json")]
    outcomes = [
        each["artifacts"]["outcome"]["artifacts"][0]["metadata"] for each in written if "outcome" in each["artifacts"]
    ]
    assert len(outcomes) == 2 * len(TASKS)
    assert {each["task"] for each in outcomes} == {task.name for task in TASKS}
    good = [each for each in outcomes if each["deck"] == "orrivane.pdf"]
    assert sum(each["calls"] for each in good) == 10 + 10 + 1 + 5 + 3
    assert all(each["tokens_in"] and each["tokens_out"] for each in good)


def test_the_run_s_report_leads_to_that_of_each_deck(batch: Batch) -> None:
    assert batch.first.report is not None
    links = re.findall(r'href="file://([^"]+)"', batch.first.report.read_text())
    assert len(links) == 2
    assert all("<h1>" in Path(link).read_text() for link in links)


def test_a_second_run_asks_nothing_and_reports_again(batch: Batch) -> None:
    asked = len(batch.service.asked)
    second = batch.run()
    assert second.succeeded
    assert second.tasks["started"] == ("report-reviews",)
    assert len(second.tasks["cached"]) == 1 + 2 * (len(TASKS) + 1)
    assert len(batch.service.asked) == asked
    assert second.report is not None
    assert batch.first.report is not None
    assert second.report.read_text() == batch.first.report.read_text()


def test_tasks_that_start_from_nothing_find_in_the_store_what_others_found(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "PROGRAM", PROGRAM)
    asked = len(batch.service.asked)
    again = batch.run(source=str(batch.folder / "decks" / f"{HEALTH}.pdf"), caching=False)
    assert again.succeeded, again.log.read_text()[-5000:]
    assert len(again.tasks["started"]) == 1 + len(TASKS) + 2
    assert len(batch.service.asked) == asked
    (row,) = batch.rows(again).values()
    assert row["content_digest"] == batch.rows()[f"{HEALTH}.pdf"]["content_digest"]
