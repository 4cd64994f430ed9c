"""Pipelines made to order: committed where that serves, else compiled, and with the images that are asked for."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from pagemill.cloud.compiled import (
    PIPELINES,
    parameters_of,
    parameters_of_template,
    path_of,
    pipelines_for,
    template_for,
)
from pagemill.cloud.spec import read_documents
from pagemill.components import images
from pagemill.errors import UserError
from pagemill.presets import DEFAULTS, PRESETS
from pagemill.settings import ImageSettings

DIGEST = "sha256:" + "0123456789abcdef" * 4
CLOUDS = ("vertex", "kfp")


def strings(node) -> list[str]:
    """Return every text in a document, wherever it stands."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def images_in(path: Path) -> set[str]:
    """Return the images of this project that a template names."""
    ours = tuple(f"/{name}{mark}" for name in images.NAMES for mark in ":@")
    return {text for text in strings(read_documents(path)) if any(each in text and " " not in text for each in ours)}


@pytest.mark.parametrize("backend", DEFAULTS)
def test_the_default_preset_is_served_by_the_committed_file(backend: str, tmp_path: Path) -> None:
    preset = PRESETS[DEFAULTS[backend]]
    path = template_for("book-dataset", preset, "worker", ImageSettings(), tmp_path)
    assert path.parent == tmp_path
    assert path.read_bytes() == path_of("book-dataset", backend).read_bytes()


def test_serving_the_committed_file_needs_no_kfp(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from pagemill.cloud.compiled import template_for
from pagemill.presets import PRESETS
from pagemill.settings import ImageSettings
template_for("book-dataset", PRESETS["gke-a100"], "worker", ImageSettings(), Path({str(tmp_path)!r}))
sys.exit("kfp" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_another_preset_is_compiled_the_same_each_time(tmp_path: Path) -> None:
    preset = PRESETS["vertex-2xa100"]
    twice = [template_for("book-dataset", preset, "worker", ImageSettings(), tmp_path / each) for each in "ab"]
    assert twice[0].read_bytes() == twice[1].read_bytes()
    assert twice[0].read_bytes() != path_of("book-dataset", "vertex").read_bytes()


def test_a_changed_preset_is_not_taken_for_the_committed_one(tmp_path: Path) -> None:
    preset = dataclasses.replace(PRESETS["gke-a100"], queue="night")
    path = template_for("book-dataset", preset, "worker", ImageSettings(), tmp_path)
    assert "kueue.x-k8s.io/queue-name: night" in path.read_text()


@pytest.mark.parametrize("backend", CLOUDS)
def test_without_settings_images_have_the_versions_tag(backend: str, tmp_path: Path) -> None:
    path = template_for("book-dataset", PRESETS[DEFAULTS[backend]], "worker", ImageSettings(), tmp_path)
    assert images_in(path) == {images.PIPELINE, images.NOUGAT}


@pytest.mark.parametrize("name", ["vertex-a100-40", "vertex-2xa100", "gke-a100"])
def test_registry_and_digest_reach_every_place_that_names_an_image(name: str, tmp_path: Path) -> None:
    settings = ImageSettings(registry="europe-docker.pkg.dev/p/mill", nougat=DIGEST)
    path = template_for("book-dataset", PRESETS[name], "worker", settings, tmp_path)
    tag = images.PIPELINE.rpartition(":")[2]
    assert images_in(path) == {
        f"europe-docker.pkg.dev/p/mill/pipeline:{tag}",
        f"europe-docker.pkg.dev/p/mill/nougat@{DIGEST}",
    }


def test_a_registry_below_the_default_one_is_put_in_once(tmp_path: Path) -> None:
    settings = ImageSettings(registry="mirror.example:5000/ghcr.io/pagemill", pipeline=DIGEST)
    path = template_for("book-dataset", PRESETS["vertex-a100-40"], "worker", settings, tmp_path)
    tag = images.NOUGAT.rpartition(":")[2]
    assert images_in(path) == {f"{settings.registry}/pipeline@{DIGEST}", f"{settings.registry}/nougat:{tag}"}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"registry": "https://ghcr.io/x"}, "registry https://ghcr.io/x: is not one"),
        ({"registry": "ghcr.io/x\nimage: y"}, "is not one"),
        ({"registry": ""}, "is not one"),
        ({"nougat": "latest"}, "images.nougat latest: is no digest"),
        ({"pipeline": DIGEST[:-1]}, "is no digest"),
    ],
)
def test_what_names_no_image_is_a_mistake(settings: dict[str, str], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        template_for("book-dataset", PRESETS["gke-a100"], "worker", ImageSettings(**settings), tmp_path)


def test_an_unknown_pipeline_or_way_of_ocr_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pipeline books: is not known; give one of book-dataset"):
        template_for("books", PRESETS["gke-a100"], "worker", ImageSettings(), tmp_path)
    with pytest.raises(UserError, match="OCR scribe: is not known; give one of worker"):
        template_for("book-dataset", PRESETS["gke-a100"], "scribe", ImageSettings(), tmp_path)


@pytest.mark.parametrize(
    ("package", "name"),
    [("kfp.kubernetes", "gke-a100"), ("google_cloud_pipeline_components.v1.custom_job", "vertex-2xa100")],
)
def test_without_the_packages_for_clouds_the_mend_is_to_install_them(
    package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kfp

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delattr(kfp, "kubernetes", raising=False)
    preset = dataclasses.replace(PRESETS[name], parallelism=1)
    with pytest.raises(
        UserError, match=rf"preset {name}: needs packages that are not installed; pip install 'pagemill\[cloud\]'"
    ):
        template_for("book-dataset", preset, "worker", ImageSettings(), tmp_path)


def test_a_pipeline_runs_only_where_its_row_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(PIPELINES["book-dataset"], backends=("vertex",))
    monkeypatch.setitem(PIPELINES, "book-dataset", row)
    assert "book-dataset" not in pipelines_for("kfp")
    with pytest.raises(UserError, match="pipeline book-dataset: does not run on kfp; give a preset of vertex"):
        template_for("book-dataset", PRESETS["gke-a100"], "worker", ImageSettings(), tmp_path)


def test_a_file_that_is_not_there_is_a_mistake_or_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = path_of("book-dataset", "local").read_bytes()
    monkeypatch.setattr("pagemill.cloud.compiled.path_of", lambda *_: tmp_path / "none" / "book_dataset.yaml")
    with pytest.raises(UserError, match="is not there; run `pagemill compile`"):
        parameters_of("book-dataset")
    made = template_for("book-dataset", PRESETS["local"], "worker", ImageSettings(), tmp_path)
    assert made.read_bytes() == committed


def test_a_templates_parameters_have_the_defaults_of_its_preset(tmp_path: Path) -> None:
    path = template_for("book-dataset", PRESETS["vertex-a100-80"], "worker", ImageSettings(), tmp_path)
    parameters = parameters_of_template(path)
    assert parameters["instances_per_gpu"].default == PRESETS["vertex-a100-80"].instances_per_gpu
    assert parameters["instances_per_gpu"].type is int
    assert parameters["source"].default is None
    assert parameters.keys() == {each.name for each in parameters_of("book-dataset")}
