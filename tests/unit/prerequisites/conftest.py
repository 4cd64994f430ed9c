"""What tests of the prerequisites share: a project in which all is well, and what a test makes wrong."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pagemill import __version__
from pagemill.cloud.prerequisites import Finding, Verdict, check_prerequisites
from pagemill.presets import PRESETS, Preset
from pagemill.settings import Settings
from tests.google_cloud import ACCOUNT, NUMBER, PROJECT, GoogleCloud, Secret
from tests.google_server import google_server

VALUE = "hunter2-and-some-more"
SECRET = f"projects/{PROJECT}/secrets/hf-token"
REGISTRY = f"us-central1-docker.pkg.dev/{PROJECT}/pagemill"
IMAGES = {f"{REGISTRY}/{name}:{__version__}" for name in ("pipeline", "nougat")}
PUBLIC = {f"ghcr.io/pagemill/{name}:{__version__}" for name in ("pipeline", "nougat")}
PARAMETERS = {"publish": "hf://tester/books", "store": "gs://books/store", "max_shards": 100}
PRESET = PRESETS["vertex-a100-40"]
DEFAULT_ACCOUNT = f"{NUMBER}-compute@developer.gserviceaccount.com"

Change = Callable[[GoogleCloud], Any]


@contextlib.contextmanager
def ready_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    """Serve a project in which everything is ready for a run."""
    with google_server() as cloud:
        cloud.images = IMAGES | PUBLIC
        cloud.secrets[SECRET] = Secret([(VALUE.encode(), "ENABLED")])
        monkeypatch.setenv("PAGEMILL_GOOGLE_APIS", cloud.address)
        monkeypatch.setenv("HF_TOKEN", VALUE)
        monkeypatch.setattr("pagemill.cloud.prerequisites.checking.ATTEMPTS", 1)
        yield cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    with ready_cloud(monkeypatch) as cloud:
        yield cloud


def settings(**changes: Any) -> Settings:
    vertex = {"project": PROJECT, "service_account": ACCOUNT} | changes.pop("vertex", {})
    images = {"registry": REGISTRY} | changes.pop("images", {})
    given = {"bucket": "gs://books", "hf_token": f"secret:{SECRET}", "vertex": vertex, "images": images}
    return Settings(**given | changes)


def kfp_settings(cloud: GoogleCloud, **changes: Any) -> Settings:
    kfp = {"host": f"{cloud.address}/kfp"} | changes.pop("kfp", {})
    return settings(to="kfp", kfp=kfp, **{"hf_token": "env:HF_TOKEN", **changes})


def found(preset: Preset = PRESET, **changes: Any) -> list[Finding]:
    """Return the findings on a run on Vertex AI, those that are well left out."""
    parameters = PARAMETERS | changes.pop("parameters", {})
    ocr = changes.pop("ocr", "worker")
    findings = check_prerequisites(settings(**changes), preset, parameters, ocr=ocr)
    return [each for each in findings if each.verdict is not Verdict.OK]


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, "\n".join(map(str, findings))
    return findings[0]


def change(**fields: Any) -> Change:
    """Return what sets fields of the cloud."""
    return lambda cloud: [setattr(cloud, name, value) for name, value in fields.items()]


def revoke(permission: str) -> Change:
    return lambda cloud: cloud.caller_may.discard(permission)


def secret_with(**fields: Any) -> Change:
    return lambda cloud: [setattr(cloud.secrets[SECRET], name, value) for name, value in fields.items()]
