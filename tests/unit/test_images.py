"""The images: what their Dockerfiles promise, what their locks hold, how the server's health is found out."""

import functools
import importlib
import importlib.util
import itertools
import json
import pkgutil
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from containers import health, sbom, smoke
from pagemill import __version__, components
from pagemill.components import images
from pagemill.ocr.serving.settings import Settings
from tests.dockerfiles import context_of, last_stage, steps_of, values_of

ROOT = Path(__file__).parents[2]
NAMES = tuple(smoke.IMAGES)
OF_REVIEWS = ("vision", "text")
FOLDERS = {name: ROOT / "containers" / name for name in NAMES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTED = {
    each.name: str(each.specifier).removeprefix("==")
    for each in map(Requirement, re.findall(r"^\w.*", (ROOT / "requirements/test.txt").read_text(), re.MULTILINE))
    if not each.marker or each.marker.evaluate()
}
LABELS = {"title", "description", "version", "revision", "licenses", "base.name"}

of_each_image = pytest.mark.parametrize("image", NAMES)
of_each_image_of_components = pytest.mark.parametrize("image", images.NAMES)


def dockerfile(image):
    return steps_of(FOLDERS[image] / "Dockerfile")


def lock(image):
    return sbom.read_lock(FOLDERS[image] / "requirements.txt")


@functools.cache
def bill(image):
    return sbom.bill_of_materials(image, lock(image))


def words(image, name):
    """The list that ENTRYPOINT, CMD or the like gives in the last stage."""
    (step,) = [each for each in last_stage(dockerfile(image)) if each.name == name]
    return json.loads(step.value[step.value.index("[") :])


# Dockerfiles


def test_there_is_a_dockerfile_and_a_lock_for_each_image_and_for_nothing_else():
    assert {path.parent.name for path in (ROOT / "containers").glob("*/Dockerfile")} == set(NAMES)
    assert {path.parent.name for path in (ROOT / "containers").glob("*/requirements.txt")} == set(NAMES)
    assert set(NAMES) == {*images.NAMES, *OF_REVIEWS}


def test_every_component_runs_in_one_of_them():
    modules = {found.name for found in pkgutil.iter_modules(components.__path__)}
    served = [each.python_func.__name__ for image in images.NAMES for each in smoke.components_of(image)]
    declared = {name for name in modules if hasattr(importlib.import_module(f"pagemill.components.{name}"), name)}
    assert sorted(served) == sorted(declared)


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    files = [FOLDERS[image] / "Dockerfile" for image in NAMES]
    done = subprocess.run([hadolint, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@of_each_image
def test_the_version_is_the_packages(image):
    assert values_of(dockerfile(image), "ARG")["VERSION"] == PROJECT["version"] == __version__
    assert images.reference(image).endswith(f"/{image}:{PROJECT['version']}")


@of_each_image
def test_bases_are_pinned_by_tag_and_given_by_argument(image):
    steps = dockerfile(image)
    bases = {name: value for name, value in values_of(steps, "ARG").items() if name.endswith("_IMAGE") and value}
    arguments = {value.split()[0] for name, value in steps if name == "FROM"} - {"build"}
    assert arguments == {f"${{{name}}}" for name in bases}
    assert all(re.search(r":v?\d+\.\d+\.\d+[\w.-]*$", value) for value in bases.values()), bases
    assert bases["UV_IMAGE"].endswith(f":{TESTED['uv']}")


@of_each_image
def test_it_runs_as_a_user_of_a_fixed_number_who_is_not_root(image):
    stage = last_stage(dockerfile(image))
    assert [step.value for step in stage if step.name == "USER"] == ["10001:10001"]
    assert any("useradd --uid 10001 --gid 10001" in step.value for step in stage if step.name == "RUN")
    assert values_of(stage, "ENV")["HOME"] == "/tmp"  # the one folder that has to be writable


@of_each_image
def test_the_last_stage_takes_over_what_was_built_and_no_tools(image):
    copied = [step.value for step in last_stage(dockerfile(image)) if step.name == "COPY"]
    of_context = [value for value in copied if not value.startswith(("--from=build /opt/", "--from=weights "))]
    served = image != "pipeline"
    assert of_context == ([f"containers/health.py containers/{image}/app.py /opt/pagemill/"] * served)


@of_each_image
def test_it_bears_the_labels_of_oci(image):
    labels = values_of(last_stage(dockerfile(image)), "LABEL")
    assert labels.keys() == {f"org.opencontainers.image.{name}" for name in LABELS}
    assert labels["org.opencontainers.image.licenses"] == PROJECT["license"]


@of_each_image
def test_no_secret_has_a_way_into_a_layer(image):
    steps = dockerfile(image)
    assert not [step for step in steps if step.name == "ADD"]
    names = values_of(steps, "ARG").keys() | values_of(steps, "ENV").keys()
    assert not [name for name in names if re.search("TOKEN|SECRET|PASSWORD|CREDENTIAL|KEY", name)]


def test_the_build_sees_nothing_but_what_the_wheel_is_made_of(tmp_path):
    context = context_of(ROOT, tmp_path / "context")
    assert {path.name for path in context.iterdir()} == {
        *("LICENSE", "README.md", "pyproject.toml"),
        *("pagemill", "components", "pipelines", "compiled", "containers"),
    }
    assert not list(context.rglob("__pycache__"))


@of_each_image
def test_every_file_that_is_copied_or_mounted_is_in_the_context(image, tmp_path):
    context = context_of(ROOT, tmp_path / "context")
    steps = dockerfile(image)
    copies = [step.value.split()[:-1] for step in steps if step.name == "COPY" and "--from" not in step.value]
    mounted = re.findall(r"type=bind,source=([^,]+)", " ".join(step.value for step in steps))
    assert mounted == ["containers/smoke.py", "containers/smoke_decks.py"][: 1 + (image in OF_REVIEWS)]
    assert [name for name in (*itertools.chain(*copies), *mounted) if not (context / name).exists()] == []


@of_each_image_of_components
def test_it_starts_the_executor_of_components(image):
    interpreter, option, module = words(image, "ENTRYPOINT")
    assert (interpreter, option) == ("python3", "-m")
    assert importlib.util.find_spec(module)
    executor = next(iter(smoke.components_of(image))).component_spec.implementation.container
    assert f"python3 -m {module} " in " ".join(executor.command)


def test_the_other_entry_point_of_nougat_is_the_server_at_its_port():
    assert [step.value for step in dockerfile("nougat") if step.name == "EXPOSE"] == [str(Settings().port)]


@pytest.mark.parametrize("image", ["nougat", *OF_REVIEWS])
def test_a_server_has_a_health_check(image):
    assert words(image, "HEALTHCHECK") == ["python3", "/opt/pagemill/health.py"]


# Locks


@of_each_image
def test_every_package_is_locked_with_hashes_to_the_version_that_is_tested(image):
    assert len(lock(image)) > 100
    assert [each.name for each in lock(image) if not each.sha256s] == []
    assert {each.name: each.version for each in lock(image)}.items() <= TESTED.items()


@of_each_image
def test_the_lock_has_everything_that_the_image_needs(image):
    versions = {each.name: each.version for each in lock(image)}
    extras = smoke.IMAGES[image].extras
    wanted = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    for requirement in map(Requirement, wanted):
        if requirement.name == PROJECT["name"]:
            assert requirement.extras <= set(extras)
            continue
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@of_each_image
def test_the_lock_has_nothing_that_the_image_is_to_do_without(image):
    names = {each.name for each in lock(image)}
    assert not names & set(smoke.IMAGES[image].absent)
    if "torch" in smoke.IMAGES[image].absent:
        assert not [name for name in names if name == "triton" or name.startswith("nvidia-")]


def test_cudas_libraries_in_the_lock_are_of_the_bases_release():
    versions = {each.name: each.version for each in lock("nougat")}
    base = values_of(dockerfile("nougat"), "ARG")["CUDA_IMAGE"]
    assert f":{versions['cuda-toolkit'].rpartition('.')[0]}-base-" in base
    assert "nvidia-nccl-cu13" in versions


# Cloud Build


def test_cloud_build_makes_and_pushes_all_with_the_version_as_tag():
    recipe = yaml.safe_load((ROOT / "containers/cloudbuild.yaml").read_text())
    assert recipe["substitutions"]["_VERSION"] == PROJECT["version"]
    tags = [f"$_REGISTRY/{image}:$_VERSION" for image in NAMES]
    assert recipe["images"] == tags
    for step, image, tag in zip(recipe["steps"], NAMES, tags, strict=True):
        assert {f"--file=containers/{image}/Dockerfile", f"--tag={tag}"} <= set(step["args"])
        given = {each.split("=")[1] for each in step["args"] if each.startswith("--build-arg=")}
        assert given <= values_of(dockerfile(image), "ARG").keys()


def test_the_documentation_names_the_version_and_the_arguments():
    text = (ROOT / "docs/images.md").read_text()
    assert set(re.findall(r"REGISTRY/\w+:(\S+)", text)) == {PROJECT["version"]}
    (bases,) = re.findall(r"^\| (`PYTHON_IMAGE`.*?) \|", text, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", bases)) | set(re.findall(r"^\| `([A-Z]+)` \|", text, re.MULTILINE))
    assert named == set().union(*(values_of(dockerfile(image), "ARG") for image in NAMES))


# Health


@pytest.fixture
def server():
    """A server whose answer to /well is 200 and to anything else 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("first_process", "route", "code"),
    [
        ("python3 /opt/pagemill/app.py", "/well", 0),
        ("python3 /opt/pagemill/app.py", "/ill", 1),
        ("/sbin/docker-init -- python3 /opt/pagemill/app.py", "/ill", 1),
        ("sh -ec python3 -m kfp.dsl.executor_main", "/ill", 0),
    ],
)
def test_a_container_is_well_when_its_server_is_or_when_it_has_none(
    server, first_process, route, code, tmp_path, monkeypatch
):
    monkeypatch.setattr(health, "FIRST_PROCESS", tmp_path / "cmdline")
    health.FIRST_PROCESS.write_bytes(first_process.replace(" ", "\0").encode() + b"\0")
    monkeypatch.setenv("AIP_HTTP_PORT", str(server.server_port))
    monkeypatch.setenv("AIP_HEALTH_ROUTE", route)
    with pytest.raises(SystemExit) as ended:
        health.main()
    assert ended.value.code == code


def test_a_server_that_does_not_listen_is_not_well():
    assert not health.answers("http://127.0.0.1:9/health")


def test_the_health_check_asks_where_the_server_answers_by_default(monkeypatch):
    for name in ("AIP_HTTP_PORT", "AIP_HEALTH_ROUTE", "DECK_REVIEW_LISTEN_PORT"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings()
    assert health.health_url() == f"http://127.0.0.1:{settings.port}{settings.health_route}"


# Bills of materials


@of_each_image
def test_the_bill_of_materials_lists_every_package_with_its_hashes(image):
    listed = {
        (each["name"], each["version"]): {
            found["content"] for files in each["externalReferences"] for found in files["hashes"]
        }
        for each in json.loads(bill(image))["components"]
        if each["name"] != "pagemill"
    }
    assert listed == {(each.name, each.version): set(each.sha256s) for each in lock(image)}


def test_it_is_valid_with_every_licence_that_there_is():
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    # A package of each: the rest of a package has one form, and its check takes the most time.
    of_each = {repr(sbom.licenses_of(each.name)): each for image in NAMES for each in lock(image)}
    assert len(of_each) > 10
    assert validator.validate_str(sbom.bill_of_materials("nougat", of_each.values())) is None
    broken = sbom.bill_of_materials("nougat", lock("nougat")[:1]).replace('"distribution"', '"rumour"', 1)
    assert validator.validate_str(broken)


def test_it_names_licences_and_who_needs_whom():
    found = json.loads(bill("nougat"))
    licences = {each["name"]: json.dumps(each.get("licenses", [])) for each in found["components"]}
    needs = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert "MIT" in licences["nougat-ocr"]
    assert [name for name, licence in licences.items() if licence == "[]"] == ["cuda-toolkit"]  # declares none
    assert "transformers==4.38.2" in needs["nougat-ocr==0.1.17"]
    assert needs["nougat"] == ["pagemill"]


def test_the_same_lock_gives_the_same_bytes_and_another_lock_another_serial_number():
    again = sbom.bill_of_materials("pipeline", reversed(lock("pipeline")))
    other = sbom.bill_of_materials("pipeline", lock("pipeline")[:3])
    assert again == bill("pipeline")
    assert json.loads(again)["serialNumber"] != json.loads(other)["serialNumber"]


def test_a_package_of_another_version_than_the_locked_one_is_refused():
    with pytest.raises(ValueError, match=r"numpy 1\.26\.4 is installed, 1\.26\.3 is locked"):
        sbom.bill_of_materials("pipeline", [sbom.Locked("numpy", "1.26.3", ("0" * 64,))])
