"""The pipeline with the Hub as its destination, over HTTP."""

import os
import subprocess

from tests.e2e.conftest import DEMO, Place
from tests.hub_server import running_hub


def test_a_dataset_goes_to_the_hub_in_one_commit_and_private(tmp_path):
    place = Place(tmp_path, source=DEMO / "samples" / "secret.rar", dataset_uri="hf://tester/books")
    with running_hub() as hub:
        environment = {**os.environ, **hub.environment()}
        subprocess.run(place.command(), env=environment, check=True, capture_output=True)
        _, commit = hub.commits("tester/books")
        sent = len(hub.requests)
        subprocess.run(place.command(), env=environment, check=True, capture_output=True)
        assert len(hub.requests) == sent, "a second run asks for nothing"
        assert hub.repositories["tester/books"].private
    assert commit.files.keys() - {".gitattributes"} == {
        "README.md",
        *(f"data/{config}/train-00000-of-00001.parquet" for config in ("chunks", "documents", "pages")),
    }
    token = environment["HF_TOKEN"].encode()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and token in path.read_bytes()]
