"""The compiled book-dataset pipeline has the shape, the retries and the caching that its documentation promises."""

import dataclasses
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pagemill.cloud.compiled import (
    FOLDER,
    PIPELINES,
    compile_pipelines,
    parameters_of,
    parameters_of_template,
    path_of,
    stale_pipelines,
)
from pagemill.components import images
from pagemill.presets import PRESETS

ROOT, HANDLER, SHARD = "root", "comp-exit-handler-1", "comp-for-loop-2"

# task: (where it runs, tasks it waits for, retries, cached, image)
TASKS = {
    "discover-archives": (HANDLER, set(), 2, True, images.PIPELINE),
    "plan-shards": (HANDLER, {"discover-archives"}, 2, True, images.PIPELINE),
    "extract-pdfs": (SHARD, set(), 2, True, images.PIPELINE),
    "inspect-pdfs": (SHARD, {"extract-pdfs"}, 2, True, images.PIPELINE),
    "recognize-pages": (SHARD, {"inspect-pdfs"}, 2, True, images.NOUGAT),
    "clean-documents": (SHARD, {"recognize-pages"}, 2, True, images.PIPELINE),
    "chunk-documents": (SHARD, {"clean-documents"}, 2, True, images.PIPELINE),
    "find-duplicates": (HANDLER, {"for-loop-2"}, 2, True, images.PIPELINE),
    "build-dataset": (HANDLER, {"for-loop-2", "find-duplicates"}, 2, True, images.PIPELINE),
    "check-failures": (HANDLER, {"build-dataset"}, 0, True, images.PIPELINE),
    "publish-dataset": (HANDLER, {"build-dataset", "check-failures"}, 2, True, images.PIPELINE),
    "report-run": (ROOT, {"exit-handler-1"}, 0, False, images.PIPELINE),
}

# component: the library function whose defaults it repeats
STAGES = {
    "discover_archives": "pagemill.archives",
    "plan_shards": "pagemill.archives",
    "extract_pdfs": "pagemill.archives",
    "inspect_pdfs": "pagemill.pages.inspect",
    "recognize_pages": "pagemill.ocr",
    "clean_documents": "pagemill.text",
    "chunk_documents": "pagemill.text",
    "find_duplicates": "pagemill.text",
    "build_dataset": "pagemill.dataset",
    "check_failures": "pagemill.dataset",
    "publish_dataset": "pagemill.dataset",
}


@pytest.fixture(scope="module", params=PRESETS)
def preset(request):
    return PRESETS[request.param]


@pytest.fixture(scope="module")
def spec(preset, documents):
    return documents[preset.name][0]


def dag(spec, name):
    return (spec["root"] if name == ROOT else spec["components"][name])["dag"]["tasks"]


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_place_edges_retries_caching_and_image(spec, task):
    where, waits_for, retries, cached, image = TASKS[task]
    compiled = dag(spec, where)[task]
    assert set(compiled.get("dependentTasks", [])) == waits_for
    assert compiled.get("retryPolicy", {}).get("maxRetryCount", 0) == retries
    assert compiled["cachingOptions"].get("enableCache", False) is cached
    assert image_of(spec, compiled["componentRef"]["name"]) == image


def image_of(spec, name):
    """The image that a component's code runs in: of its executor, or of the machine of the custom job it starts."""
    component = spec["components"][name]
    pools = component["inputDefinitions"]["parameters"].get("worker_pool_specs")
    if pools:
        (pool,) = pools["defaultValue"]
        return pool["container_spec"]["image_uri"]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]["image"]


def test_no_task_is_missing_from_the_table(spec):
    control = {"exit-handler-1", "for-loop-2"}
    assert {task for where in (ROOT, HANDLER, SHARD) for task in dag(spec, where)} - control == TASKS.keys()


def test_a_task_is_tried_again_after_a_while_where_machines_may_be_short(spec, preset):
    for where in (ROOT, HANDLER, SHARD):
        for task in dag(spec, where).values():
            if retry := task.get("retryPolicy"):
                assert retry["backoffDuration"] == ("0s" if preset.backend == "local" else "60s")


def test_as_many_shards_run_at_a_time_as_the_preset_says(spec, preset):
    limit = dag(spec, HANDLER)["for-loop-2"].get("iteratorPolicy", {}).get("parallelismLimit", 0)
    assert limit == preset.parallelism


def test_what_is_collected_stays_below_the_most_that_vertex_collects(spec):
    assert spec["root"]["inputDefinitions"]["parameters"]["max_shards"]["defaultValue"] <= 100


def test_the_loop_runs_over_the_shards_and_its_documents_and_chunks_are_collected(spec):
    loop = dag(spec, HANDLER)["for-loop-2"]
    channel = loop["parameterIterator"]["items"]["inputParameter"]
    assert loop["inputs"]["parameters"][channel]["taskOutputParameter"] == {
        "producerTask": "plan-shards",
        "outputParameterKey": "Output",
    }
    for task, collected in (("build-dataset", "chunks"), ("find-duplicates", "documents")):
        source = dag(spec, HANDLER)[task]["inputs"]["artifacts"][collected]["taskOutputArtifact"]
        assert source["producerTask"] == "for-loop-2"


def test_the_report_runs_whatever_became_of_the_rest(spec):
    report = dag(spec, ROOT)["report-run"]
    assert report["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert report["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}


def test_the_report_is_told_every_parameter_that_decides_a_result(spec):
    told = dag(spec, ROOT)["report-run"]["inputs"]["parameters"].keys() - {"status", "preset"}
    deciding_nothing = {"batch_size", "hf_token", "instances_per_gpu", "private", "workers"}
    assert told | deciding_nothing == spec["root"]["inputDefinitions"]["parameters"].keys()


def test_the_report_is_told_the_preset(spec, preset):
    told = dag(spec, ROOT)["report-run"]["inputs"]["parameters"]["preset"]
    assert told == {"runtimeValue": {"constant": preset.name}}


def test_the_name_of_the_token_goes_to_the_one_task_that_publishes(spec):
    takers = {
        task
        for where in (ROOT, HANDLER, SHARD)
        for task, each in dag(spec, where).items()
        if "hf_token" in each.get("inputs", {}).get("parameters", {})
    }
    assert takers == {"publish-dataset"}


def test_no_value_hides_a_parameter_that_a_backend_might_not_resolve(spec):
    def constants(tasks):
        for task in tasks.values():
            for value in task.get("inputs", {}).get("parameters", {}).values():
                yield value.get("runtimeValue", {}).get("constant")

    assert not [each for where in (ROOT, HANDLER, SHARD) for each in constants(dag(spec, where)) if "{{$" in str(each)]


def test_no_task_installs_packages_or_runs_a_shell_download(spec):
    for executor in spec["deploymentSpec"]["executors"].values():
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_only_kubernetes_gets_a_second_document(preset, documents):
    assert len(documents[preset.name]) == (2 if preset.backend == "kfp" else 1)


def test_the_committed_files_are_what_the_code_compiles_to_each_time(tmp_path):
    assert stale_pipelines() == []
    again = compile_pipelines(tmp_path)
    assert [path.read_bytes() for path in again] == [
        (FOLDER / path.relative_to(tmp_path)).read_bytes() for path in again
    ]


def test_a_changed_file_and_a_missing_one_are_found_stale(tmp_path, monkeypatch):
    source = dataclasses.replace(PIPELINES["book-dataset"], backends=("local", "kfp"))
    monkeypatch.setattr("pagemill.cloud.compiled.PIPELINES", {"book-dataset": source})
    monkeypatch.setattr("pagemill.cloud.compiled.FOLDER", tmp_path)
    paths = compile_pipelines(tmp_path)
    paths[0].write_text(paths[0].read_text() + "# by hand\n")
    paths[1].unlink()
    assert stale_pipelines() == paths


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_repeats_the_defaults_of_its_library_function(stage):
    library = defaults(getattr(import_module(STAGES[stage]), stage))
    component = defaults(getattr(import_module(f"pagemill.components.{stage}"), stage).python_func)
    assert component == {name: library[name] for name in component}


def test_the_pipeline_repeats_the_defaults_of_its_components_but_for_what_the_preset_says(preset, templates):
    parameters = parameters_of_template(templates[preset.name])
    pipeline = {name: each.default for name, each in parameters.items() if each.default is not None}
    components = {}
    for stage in STAGES:
        components |= defaults(getattr(import_module(f"pagemill.components.{stage}"), stage).python_func)
    of_preset = {name: getattr(preset, name) for name in ("batch_size", "instances_per_gpu", "max_shards")}
    assert pipeline == {name: components[name] for name in pipeline} | of_preset


def test_on_this_machine_the_defaults_are_those_of_the_components():
    pipeline = {each.name: each.default for each in parameters_of("book-dataset") if each.default is not None}
    components = {}
    for stage in STAGES:
        components |= defaults(getattr(import_module(f"pagemill.components.{stage}"), stage).python_func)
    assert pipeline == {name: components[name] for name in pipeline}


def test_no_template_holds_a_secret_or_a_path_of_this_machine(templates):
    committed = [path_of(name, backend) for name, source in PIPELINES.items() for backend in source.backends]
    for path in [*templates.values(), *committed]:
        text = path.read_text()
        assert text.isascii()
        assert not re.search(r"HF_TOKEN=|\bhf_[A-Za-z]{20}|-----BEGIN|\bAIza", text)
        for place in (FOLDER.parent, Path.home(), Path(sys.prefix), path.parent):
            assert f"{place}/" not in text


def test_the_documented_table_of_tasks_is_the_compiled_one():
    documented = {}
    for line in (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in TASKS:
            documented[cells[0]] = (cells[1] == "yes", int(cells[2]), cells[3] == "yes")
    assert documented == {
        task: (where == SHARD, retries, cached) for task, (where, _, retries, cached, _) in TASKS.items()
    }
