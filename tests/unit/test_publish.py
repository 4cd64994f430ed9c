"""Publishing to a Hub over HTTP: what is sent, what is left alone, what is waited for, what is refused."""

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagemill.dataset.publish import publish_dataset
from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.records import DatasetFile
from pagemill.storage import Store
from tests.built_dataset import CARD, FILES, FIRST_SHARD, JSONL, SECOND_SHARD, built
from tests.hub import Hub

ON_THE_HUB = {path: content for path, content in FILES.items() if path != JSONL}
REPOSITORY = "tester/books"
TARGET = f"hf://{REPOSITORY}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def publish_in_another_process(
    dataset: Manifest[DatasetFile], store: Store, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Publish to `TARGET` from an interpreter that knows no more than its environment, and print the revision."""
    publish = """
import sys
from pagemill.dataset.publish import publish_dataset
from pagemill.manifest import Manifest
from pagemill.records import DatasetFile
from pagemill.storage import Store
store = Store(sys.argv[1])
print(publish_dataset(Manifest.load(store, sys.argv[2], DatasetFile), store, publish=sys.argv[3]).revision)
"""
    command = [sys.executable, "-c", publish, store.uri, dataset.name, TARGET]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


class TestHub:
    def test_a_first_publication_is_one_commit_in_a_new_private_repository(self, hub: Hub, store: Store) -> None:
        publication = publish_dataset(built(store), store, publish=TARGET, message="First edition")

        _, published = hub.commits(REPOSITORY)
        assert hub.repositories[REPOSITORY].private
        assert hub.contents(REPOSITORY) == ON_THE_HUB
        assert (publication.uri, publication.revision) == (f"hf://datasets/{REPOSITORY}", published.oid)
        assert (publication.files, publication.files_sent) == (3, 3)
        assert publication.bytes_sent == sum(map(len, ON_THE_HUB.values()))
        assert published.message == "First edition"
        assert published.files[FIRST_SHARD].is_lfs
        assert not published.files["README.md"].is_lfs

    def test_a_dataset_that_is_there_already_makes_no_commit_and_sends_nothing(self, hub: Hub, store: Store) -> None:
        dataset = built(store)
        first = publish_dataset(dataset, store, publish=TARGET)
        hub.requests.clear()
        second = publish_dataset(dataset, store, publish=TARGET)

        assert second.revision == first.revision
        assert (second.files, second.files_sent, second.bytes_sent) == (3, 0, 0)
        assert all(request.startswith("GET ") for request in hub.requests)

    def test_only_the_shard_that_changed_is_sent(self, hub: Hub, store: Store) -> None:
        publish_dataset(built(store), store, publish=TARGET)
        hub.requests.clear()
        changed = FILES | {SECOND_SHARD: b"second shard, revised"}
        publication = publish_dataset(built(store, changed), store, publish=TARGET)

        sha256 = hashlib.sha256(b"second shard, revised").hexdigest()
        assert [line for line in hub.requests if line.startswith("PUT ")] == [f"PUT /lfs/{sha256}"]
        assert (publication.files_sent, publication.bytes_sent) == (1, len(b"second shard, revised"))
        assert hub.contents(REPOSITORY)[SECOND_SHARD] == b"second shard, revised"
        assert hub.contents(REPOSITORY)[FIRST_SHARD] == FILES[FIRST_SHARD]

    def test_a_changed_card_of_the_same_size_is_noticed(self, hub: Hub, store: Store) -> None:
        publish_dataset(built(store), store, publish=TARGET)
        card = CARD.replace(b"Books", b"Tomes")
        publication = publish_dataset(built(store, FILES | {"README.md": card}), store, publish=TARGET)

        assert publication.files_sent == 1
        assert hub.contents(REPOSITORY)["README.md"] == card

    def test_stale_shards_go_in_the_same_commit_and_the_owners_files_stay(self, hub: Hub, store: Store) -> None:
        publish_dataset(built(store), store, publish=TARGET)
        head = hub.commits(REPOSITORY)[-1]
        own = {"notes.md": hub.keep(b"mine", is_lfs=False), "jsonl/old.zst": hub.keep(b"old", is_lfs=True)}
        hub.push(REPOSITORY, {**head.files, **own}, "notes of the owner")
        smaller = {"README.md": CARD, "data/chunks/train-00000-of-00001.parquet": FILES[FIRST_SHARD]}
        publish_dataset(built(store, smaller), store, publish=TARGET)

        assert len(hub.commits(REPOSITORY)) == 4
        assert hub.contents(REPOSITORY) == smaller | {"notes.md": b"mine"}

    def test_a_branch_is_made_where_it_is_missing(self, hub: Hub, store: Store) -> None:
        publication = publish_dataset(built(store), store, publish=f"hf://datasets/{REPOSITORY}@next/edition")

        assert publication.uri == f"hf://datasets/{REPOSITORY}@next/edition"
        assert hub.contents(REPOSITORY, "next/edition") == ON_THE_HUB
        assert hub.contents(REPOSITORY, "main") == {}

    def test_shards_of_a_store_that_is_not_local_are_sent_too(self, hub: Hub) -> None:
        store = Store("memory://published-from-memory")
        large = os.urandom(11 << 20)
        publish_dataset(built(store, FILES | {FIRST_SHARD: large}), store, publish=TARGET)

        assert hub.contents(REPOSITORY) == ON_THE_HUB | {FIRST_SHARD: large}

    def test_a_file_that_is_damaged_in_the_store_is_not_published(self, hub: Hub, store: Store) -> None:
        dataset = built(store)
        store.write_bytes(dataset.rows[1].stored, b"other bytes")

        with pytest.raises(OSError, match="damaged"):
            publish_dataset(dataset, store, publish=TARGET)
        assert hub.contents(REPOSITORY) == {}

    def test_the_environment_alone_says_where_the_hub_is(self, hub: Hub, store: Store) -> None:
        ran = publish_in_another_process(built(store), store, hub.environment())
        assert ran.stdout.strip() == hub.commits(REPOSITORY)[-1].oid
        assert hub.contents(REPOSITORY) == ON_THE_HUB

    def test_datasets_loads_what_was_published(self, hub: Hub, store: Store, tmp_path: Path) -> None:
        shard = tmp_path / "shard.parquet"
        pq.write_table(pa.table({"id": ["a", "b"], "text": ["one", "two"]}), shard)
        card = b"---\nconfigs:\n- config_name: chunks\n  data_files: data/chunks/*.parquet\n---\n"
        files = {"README.md": card, "data/chunks/train-00000-of-00001.parquet": shard.read_bytes()}
        publication = publish_dataset(built(store, files), store, publish=TARGET)

        load = "import datasets, sys; print(datasets.load_dataset(*sys.argv[1:3], revision=sys.argv[3])['train'][:])"
        settings = os.environ | hub.environment() | {"HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-c", load, REPOSITORY, "chunks", publication.revision]
        loaded = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
        assert loaded.stdout.strip() == "{'id': ['a', 'b'], 'text': ['one', 'two']}"


class TestHubInTrouble:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    @pytest.mark.parametrize(
        "request_line",
        [
            "GET /revision/",
            "POST /repos/create",
            "GET /tree/",
            "POST /preupload/",
            "POST /objects/batch",
            "POST /commit/",
        ],
    )
    def test_what_passes_is_waited_for(
        self, hub: Hub, store: Store, waits: list[float], request_line: str, status: int
    ) -> None:
        hub.fail(request_line, status, times=2)
        publish_dataset(built(store), store, publish=TARGET)

        assert hub.contents(REPOSITORY) == ON_THE_HUB
        assert len(hub.commits(REPOSITORY)) == 2
        assert 1 <= waits[0] <= 2 <= waits[1] <= 3

    @pytest.mark.parametrize("status", [429, 503])
    def test_an_upload_is_repeated_alone(self, hub: Hub, store: Store, waits: list[float], status: int) -> None:
        hub.fail("PUT /lfs/", status, times=2)
        publish_dataset(built(store), store, publish=TARGET)

        assert hub.contents(REPOSITORY) == ON_THE_HUB
        assert hub.count("PUT /lfs/") == 4

    def test_the_server_says_how_long_to_wait(self, hub: Hub, store: Store, waits: list[float]) -> None:
        hub.fail("POST /commit/", 429, retry_after="17")
        hub.fail("POST /commit/", 429, retry_after=formatdate(time.time() + 40, usegmt=True))
        hub.fail("POST /commit/", 429, retry_after="86400")
        hub.fail("POST /commit/", 429, ratelimit='"api";r=0;t=55')
        hub.fail("POST /commit/", 429, retry_after="soon")
        publish_dataset(built(store), store, publish=TARGET)

        assert waits[0] == 17
        assert 30 < waits[1] <= 40
        assert waits[2] == 300
        assert waits[3] == 55
        assert 16 <= waits[4] <= 17

    def test_a_commit_of_somebody_else_in_between_is_kept(self, hub: Hub, store: Store, waits: list[float]) -> None:
        hub.create(REPOSITORY)
        hub.before("POST /commit/", lambda: hub.push(REPOSITORY, {"notes.md": hub.keep(b"mine", is_lfs=False)}, "mine"))
        publication = publish_dataset(built(store), store, publish=TARGET)

        assert hub.count("POST /commit/") == 2
        assert hub.count("PUT /lfs/") == 2
        assert hub.contents(REPOSITORY) == ON_THE_HUB | {"notes.md": b"mine"}
        assert publication.files_sent == 3

    def test_a_commit_whose_answer_was_lost_is_not_made_twice(self, hub: Hub, store: Store, waits: list[float]) -> None:
        hub.fail("POST /commit/", 504, done_first=True)
        publication = publish_dataset(built(store), store, publish=TARGET)

        assert len(hub.commits(REPOSITORY)) == 2
        assert publication.revision == hub.commits(REPOSITORY)[-1].oid
        assert publication.files_sent == 3

    def test_trouble_that_does_not_pass_is_raised_in_the_end(self, hub: Hub, store: Store, waits: list[float]) -> None:
        hub.fail("POST /commit/", 503, times=100)
        with pytest.raises(OSError, match="503"):
            publish_dataset(built(store), store, publish=TARGET)
        assert len(waits) == 7
        assert waits == sorted(waits)

    def test_a_branch_that_never_rests_is_given_up(self, hub: Hub, store: Store, waits: list[float]) -> None:
        hub.fail("POST /commit/", 412, times=100)
        with pytest.raises(OSError, match="412"):
            publish_dataset(built(store), store, publish=TARGET)
        assert hub.count("POST /commit/") == 5

    def test_a_refused_request_is_not_repeated(self, hub: Hub, store: Store, waits: list[float]) -> None:
        hub.fail("POST /commit/", 400)
        with pytest.raises(OSError, match="Injected"):
            publish_dataset(built(store), store, publish=TARGET)
        assert (hub.count("POST /commit/"), waits) == (1, [])

    def test_a_hub_out_of_reach_is_tried_again(
        self, hub: Hub, store: Store, waits: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
        with pytest.raises(Exception, match="refused"):
            publish_dataset(built(store), store, publish=TARGET)
        assert len(waits) >= 7

    def test_a_hub_that_is_switched_off_is_explained(self, hub: Hub, store: Store) -> None:
        ran = publish_in_another_process(built(store), store, hub.environment() | {"HF_HUB_OFFLINE": "1"})
        assert "UserError: hf://tester/books: the Hub is switched off; unset HF_HUB_OFFLINE" in ran.stderr
        assert hub.requests == []


class TestWhoMaySee:
    def test_a_public_dataset_is_public_only_when_asked_for(self, hub: Hub, store: Store) -> None:
        publish_dataset(built(store), store, publish=TARGET, private=False)
        assert not hub.repositories[REPOSITORY].private

    def test_a_public_repository_gets_nothing_that_was_meant_to_be_private(self, hub: Hub, store: Store) -> None:
        hub.create(REPOSITORY, private=False)
        for target in (TARGET, f"{TARGET}@next"):
            with pytest.raises(UserError, match="public"):
                publish_dataset(built(store), store, publish=target)
        assert hub.contents(REPOSITORY) == {}
        assert list(hub.repositories[REPOSITORY].branches) == ["main"]
        assert hub.count("PUT /lfs/") == 0

    def test_a_private_repository_is_not_opened_by_publishing(
        self, hub: Hub, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        hub.create(REPOSITORY, private=True)
        with caplog.at_level(logging.INFO, "pagemill"):
            publish_dataset(built(store), store, publish=TARGET, private=False)
        assert hub.repositories[REPOSITORY].private
        assert hub.contents(REPOSITORY) == ON_THE_HUB
        assert "stays so" in caplog.text


class TestToken:
    def test_it_is_asked_for(self, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        with pytest.raises(UserError, match="set HF_TOKEN"):
            publish_dataset(built(store), store, publish=TARGET)
        assert hub.requests == []

    def test_the_hubs_own_login_will_do(
        self, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text(hub.token)
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        publish_dataset(built(store), store, publish=TARGET)
        assert hub.contents(REPOSITORY) == ON_THE_HUB

    def test_a_wrong_one_is_explained(self, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(UserError, match="does not accept the token; set HF_TOKEN"):
            publish_dataset(built(store), store, publish=TARGET)

    def test_one_that_may_only_read_is_explained(self, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.create(REPOSITORY)
        monkeypatch.setenv("HF_TOKEN", hub.read_token)
        with pytest.raises(UserError, match="may not write there"):
            publish_dataset(built(store), store, publish=TARGET)

    def test_somebody_elses_name_is_explained(self, hub: Hub, store: Store) -> None:
        with pytest.raises(UserError, match="may not write there"):
            publish_dataset(built(store), store, publish="hf://stranger/books")

    def test_it_stands_in_no_log_error_or_result(
        self, hub: Hub, store: Store, waits: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        hub.fail("POST /commit/", 429)
        publication = publish_dataset(built(store), store, publish=TARGET)
        hub.fail("POST /commit/", 403)
        changed = built(store, FILES | {"README.md": b"# Other\n"})
        with pytest.raises(UserError) as refused:
            publish_dataset(changed, store, publish=TARGET)

        assert f"Bearer {hub.token}" in hub.authorizations
        assert "trying again" in caplog.text
        for text in (caplog.text, str(refused.value), repr(refused.value.__cause__), repr(publication)):
            assert hub.token not in text


class TestTargets:
    @pytest.mark.parametrize("target", [TARGET, f"{TARGET}/", f"hf://datasets/{REPOSITORY}", f"{TARGET}@main"])
    def test_a_dataset_on_the_hub_may_be_written_in_several_ways(self, hub: Hub, store: Store, target: str) -> None:
        publish_dataset(built(store), store, publish=target)
        assert hub.contents(REPOSITORY) == ON_THE_HUB

    @pytest.mark.parametrize(
        "target",
        [
            "hf://",
            "hf://books",
            "hf://datasets/books",
            "hf://models/tester/books",
            "hf://tester/books/data",
            "hf://a/b@",
        ],
    )
    def test_what_is_no_dataset_on_the_hub_is_refused(self, hub: Hub, store: Store, target: str) -> None:
        with pytest.raises(UserError, match="hf://<user>/<name>"):
            publish_dataset(built(store), store, publish=target)
        assert hub.requests == []

    def test_a_name_that_the_hub_forbids_is_refused(self, hub: Hub, store: Store) -> None:
        with pytest.raises(UserError, match="hf://<user>/<name>"):
            publish_dataset(built(store), store, publish="hf://tester/two--dashes")
