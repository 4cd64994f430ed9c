"""Each way of OCR stands in the pipeline where pages are read, and brings the parameters that it alone has."""

from pathlib import Path

import pytest

from pagemill.cloud.compiled import parameters_of_template, template_for
from pagemill.cloud.spec import read_documents
from pagemill.pipelines.ways import WAYS
from pagemill.presets import PRESETS
from pagemill.settings import ImageSettings

PRESET = PRESETS["vertex-2xa100"]
LOOP = "comp-for-loop-2"

# way: (the task that gives the pages, the parameters that only it has)
TABLE = {
    "worker": ("recognize-pages", {"batch_size", "instances_per_gpu", "workers"}),
    "endpoint": ("predict-pages", {"concurrency", "endpoint", "pages_per_request"}),
    "batch-prediction": ("collect-predictions", {"max_replicas", "model"}),
}


@pytest.fixture(scope="module")
def ways(tmp_path_factory) -> dict[str, Path]:
    """The template of each way, on Vertex AI."""
    folder = tmp_path_factory.mktemp("ways")
    return {way: template_for("book-dataset", PRESET, way, ImageSettings(), folder / way) for way in WAYS}


def test_every_way_is_in_the_table():
    assert TABLE.keys() == WAYS.keys()


@pytest.mark.parametrize("way", TABLE)
def test_its_pages_go_where_a_workers_would(way, ways):
    tasks = read_documents(ways[way])[0]["components"][LOOP]["dag"]["tasks"]
    source = tasks["clean-documents"]["inputs"]["artifacts"]["pages"]["taskOutputArtifact"]
    assert source == {"producerTask": TABLE[way][0], "outputArtifactKey": "pages"}
    reader = tasks[TABLE[way][0]]
    assert reader["inputs"]["artifacts"]["pdfs"]["taskOutputArtifact"]["producerTask"] == "inspect-pdfs"
    assert reader["retryPolicy"]["maxRetryCount"] == 2


@pytest.mark.parametrize("way", TABLE)
def test_it_has_its_own_parameters_and_all_that_do_not_depend_on_it(way, ways):
    of_ways = {name for _, names in TABLE.values() for name in names}
    common = parameters_of_template(ways["worker"]).keys() - of_ways
    parameters = parameters_of_template(ways[way])
    assert parameters.keys() == common | TABLE[way][1]
    assert all(each.description for each in parameters.values())


def test_a_workers_defaults_are_those_of_the_preset(ways):
    parameters = parameters_of_template(ways["worker"])
    assert parameters["instances_per_gpu"].default == PRESET.instances_per_gpu
    assert parameters["batch_size"].default == PRESET.batch_size
    assert parameters["workers"].default == 0


@pytest.mark.parametrize("way", TABLE)
def test_it_fits_into_one_document_for_vertex(way, ways):
    assert len(read_documents(ways[way])) == 1
