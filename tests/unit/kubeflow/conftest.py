"""What tests of the backend for Kubeflow Pipelines share: an empty service, and what is submitted to it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pagemill.cloud.backend import Submission
from pagemill.cloud.kubeflow import KfpBackend
from pagemill.settings import KfpSettings
from tests.kfp_server import running_kfp
from tests.kfp_service import Kfp

ROOT = Path(__file__).parents[3]
BOOKS = ROOT / "compiled" / "kfp" / "book_dataset.yaml"
PARAMETERS = {"source": "gs://b/rars", "store": "gs://b/store", "publish": "hf://u/d", "source_fingerprint": "f"}
ORDER = Submission(BOOKS, "book-dataset", PARAMETERS, "books of May")
TOKEN = "ya29.secret-of-the-cluster"


@pytest.fixture(scope="module")
def service() -> Iterator[Kfp]:
    with running_kfp() as service:
        yield service


@pytest.fixture
def kfp(service: Kfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kfp:
    """An empty Kubeflow Pipelines that wants TOKEN, and a home without any sign-in."""
    endpoint = service.endpoint
    vars(service).update(vars(Kfp()), endpoint=endpoint, token=TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KF_PIPELINES")]:
        monkeypatch.delenv(name)
    return service


def settings(kfp: Kfp, **parts: Any) -> KfpSettings:
    return KfpSettings(**{"host": kfp.endpoint, "token": SecretStr(TOKEN)} | parts)


@pytest.fixture
def backend(kfp: Kfp) -> KfpBackend:
    return KfpBackend(settings(kfp))


def ended(kfp: Kfp, backend: KfpBackend, **script: Any) -> Any:
    """A run of the book pipeline that has ended."""
    kfp.script(**script)
    run = backend.submit(ORDER)
    kfp.finish(run.id)
    return backend.run(run.id)
