"""Checkpoints: found, mirrored and verified before anything in them is opened."""

import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagemill import download
from pagemill.download import DownloadError
from pagemill.errors import UserError
from pagemill.ocr import checkpoint as checkpoints
from pagemill.ocr.checkpoint import Pin, Release, resolve_checkpoint
from pagemill.storage import Store, digest
from tests.servers import WebServer, web_server
from tests.tiny_nougat import write_checkpoint

FILES = {
    "config.json": b'{"input_size": [96, 48]}',
    "pytorch_model.bin": b"not really weights",
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "tiny", FILES)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setattr(download, "RETRY_FIRST_SECONDS", 0.0)
    with web_server() as server:
        yield server


def publish(site: WebServer, folder: str, files: dict[str, bytes]) -> str:
    """Put files on the web and return the address of their folder."""
    site.files.update({f"/{folder}/{name}": content for name, content in files.items()})
    return site.url(f"/{folder}")


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_local_folder_is_used_where_it_lies(folder, store):
    found = resolve_checkpoint(str(folder), store)

    assert found.path == folder
    assert found.name == "tiny"
    assert found.license == "unknown"
    assert found.files == {name: sha256(content) for name, content in FILES.items()}
    assert store.folders() == []


def test_the_digest_tells_every_file_from_every_other(folder, store):
    digests = {resolve_checkpoint(str(folder), store).sha256}
    for name, content in FILES.items():
        (folder / name).write_bytes(content + b" ")
        digests.add(resolve_checkpoint(str(folder), store).sha256)
        (folder / name).write_bytes(content)

    assert len(digests) == 1 + len(FILES)


def test_files_that_are_no_part_of_the_model_do_not_matter(folder, store):
    before = resolve_checkpoint(str(folder), store).sha256
    (folder / "README.md").write_text("about this model")

    assert resolve_checkpoint(str(folder), store).sha256 == before


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin", "tokenizer.json"])
def test_a_missing_file_is_named(folder, store, name):
    (folder / name).unlink()

    with pytest.raises(UserError, match=rf"{name}: the file is missing; a checkpoint is a folder with"):
        resolve_checkpoint(str(folder), store)


@pytest.mark.parametrize("content", [b"<html>Sorry</html>", b"[]", b'"text"', b"", b"\xff\xfe"])
def test_a_configuration_that_is_no_json_object_is_refused(folder, store, content):
    (folder / "config.json").write_bytes(content)

    with pytest.raises(UserError, match=r"config\.json: the file is no JSON object"):
        resolve_checkpoint(str(folder), store)


@pytest.mark.parametrize("spec", ["/no/such/folder", "0.1.0-huge", ""])
def test_a_checkpoint_that_is_nowhere_is_a_mistake_of_the_user(store, spec):
    with pytest.raises(UserError, match=r"0\.1\.0-small, 0\.1\.0-base"):
        resolve_checkpoint(spec, store)


def test_the_expected_digest_may_be_that_of_the_whole_or_of_the_weights(folder, store):
    whole = resolve_checkpoint(str(folder), store).sha256

    for expected in (whole, whole.upper(), sha256(FILES["pytorch_model.bin"])):
        assert resolve_checkpoint(str(folder), store, expected_sha256=expected).sha256 == whole
        assert resolve_checkpoint(f"{folder}@sha256:{expected}", store).sha256 == whole


@pytest.mark.parametrize("way", ["parameter", "spec"])
def test_another_digest_than_the_expected_one_is_refused(folder, store, way):
    spec, expected = (str(folder), "0" * 64) if way == "parameter" else (f"{folder}@sha256:{'0' * 64}", "")

    with pytest.raises(UserError, match=f"not {'0' * 64}"):
        resolve_checkpoint(spec, store, expected_sha256=expected)


def test_the_folders_own_list_of_digests_must_agree(folder, store):
    sums = "".join(f"{sha256(content)}  {name}\n" for name, content in FILES.items())
    (folder / "SHA256SUMS").write_text(sums)
    assert resolve_checkpoint(str(folder), store).files

    (folder / "tokenizer.json").write_bytes(b'{"version": "1.1"}')
    with pytest.raises(UserError, match=r"tokenizer\.json: its sha256 is .* SHA256SUMS beside it says"):
        resolve_checkpoint(str(folder), store)


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in files.items()}


@pytest.fixture
def _pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PINNED", (Pin("well-known", "MIT", digests(FILES)),))


@pytest.mark.usefixtures("_pinned")
def test_a_known_model_has_its_name_and_licence_wherever_it_lies(folder, store):
    found = resolve_checkpoint(str(folder), store)

    assert (found.name, found.license) == ("well-known", "MIT")


@pytest.mark.usefixtures("_pinned")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_known_weights_with_another_file_beside_them_are_refused(folder, store, name):
    (folder / name).write_bytes(b'{"another": 1}')

    with pytest.raises(UserError, match=rf"{name}: its sha256 is .* but that of well-known is"):
        resolve_checkpoint(str(folder), store)


@pytest.mark.usefixtures("_pinned")
def test_other_weights_are_another_model(folder, store):
    (folder / "pytorch_model.bin").write_bytes(b"trained further")

    assert resolve_checkpoint(str(folder), store).name == "tiny"


def test_the_demo_checkpoint_is_known_for_what_it_is(store):
    found = resolve_checkpoint(str(Path(__file__).parents[2] / "demo" / "checkpoint"), store)

    assert (found.name, found.license) == ("pagemill-demo", "Apache-2.0")


def test_a_release_is_mirrored_once_and_recorded(site, store, monkeypatch):
    monkeypatch.setitem(checkpoints.RELEASES, "v1", Release("model-v1", "CC-BY-NC-4.0", publish(site, "v1", FILES)))

    first = resolve_checkpoint("v1", store)
    asked = len(site.requests)
    again = resolve_checkpoint("v1", store)

    assert (first.name, first.license) == ("model-v1", "CC-BY-NC-4.0")
    assert first == again
    assert len(site.requests) == asked
    assert first.path == Path(store.path("checkpoints/v1"))
    assert store.read_json("checkpoints/v1/sha256.json")["files"] == first.files
    assert list(Path(store.root).glob(".tmp-*")) == []


def test_a_release_whose_digests_are_known_must_have_them_from_the_first(site, store, monkeypatch):
    tampered = FILES | {"pytorch_model.bin": b"other weights"}
    release = Release("model-v1", "MIT", publish(site, "v1", tampered), digests(FILES))
    monkeypatch.setitem(checkpoints.RELEASES, "v1", release)

    with pytest.raises(UserError, match=r"pytorch_model\.bin: its sha256 is .*, but that of this release is"):
        resolve_checkpoint("v1", store)
    assert not store.exists("checkpoints/v1/pytorch_model.bin")

    publish(site, "v1", FILES)
    assert resolve_checkpoint("v1", store).files == digests(FILES)


def test_a_digest_that_becomes_known_later_binds_what_was_mirrored_before(site, store, monkeypatch):
    uri = publish(site, "v1", FILES)
    monkeypatch.setitem(checkpoints.RELEASES, "v1", Release("model-v1", "MIT", uri))
    resolve_checkpoint("v1", store)
    monkeypatch.setitem(checkpoints.RELEASES, "v1", Release("model-v1", "MIT", uri, {"config.json": "0" * 64}))

    with pytest.raises(UserError, match=r"config\.json: its sha256 is .*, but that of this release is 0000"):
        resolve_checkpoint("v1", store)


def test_a_folder_at_a_uri_is_mirrored_and_has_the_digest_of_its_local_twin(folder, site, store):
    uri = publish(site, "models/tiny", FILES)

    assert resolve_checkpoint(f"{uri}/", store).sha256 == resolve_checkpoint(str(folder), store).sha256


def test_a_store_that_is_not_local_leaves_a_local_copy(site, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uri = publish(site, "tiny", FILES)
    remote = Store("memory://store-of-checkpoints")

    found = resolve_checkpoint(uri, remote)

    assert found.path.is_relative_to(tmp_path / "cache")
    assert (found.path / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]
    assert resolve_checkpoint(uri, remote) == found


def test_a_server_that_fails_now_and_then_is_asked_again(site, store):
    site.failures = [503, 500, 429]

    assert resolve_checkpoint(publish(site, "tiny", FILES), store).files == digests(FILES)


def test_a_server_that_never_answers_well_is_no_mistake_of_the_user(site, store):
    site.failures = [503] * 5

    with pytest.raises(DownloadError, match=r"tiny/config\.json: not fetched after 5 attempts"):
        resolve_checkpoint(publish(site, "tiny", FILES), store)


def mirrored_name(uri: str, file: str) -> str:
    """Return where the store keeps a file of a mirrored folder."""
    return f"checkpoints/{digest(uri)[:16]}/{file}"


BIG = FILES | {"pytorch_model.bin": bytes(range(256)) * 12_000}  # 3 MB

RESOLVE = """
import sys
from pagemill.ocr.checkpoint import resolve_checkpoint
from pagemill.storage import Store
print(resolve_checkpoint(sys.argv[1], Store(sys.argv[2])).files["pytorch_model.bin"])
"""


def test_weights_go_on_where_the_connection_broke(site, store):
    uri = publish(site, "big", BIG)
    site.drop_after_bytes = [1_000_000, 1_000_000]  # of config.json, which is shorter, and of the weights

    assert resolve_checkpoint(uri, store).files == digests(BIG)
    spans = [span for path, span in site.downloads if path == "/big/pytorch_model.bin"]
    assert spans[0] == ""
    assert 0 < int(spans[1].removeprefix("bytes=").rstrip("-")) <= 1_000_000
    assert len(spans) == 2


def test_after_a_kill_a_new_process_asks_only_for_the_rest_of_the_weights(site, store):
    uri = publish(site, "big", BIG)
    command = [sys.executable, "-c", RESOLVE, uri, store.root]
    site.hold_after_bytes = 2_000_000
    store.write_bytes(mirrored_name(uri, "config.json"), BIG["config.json"])  # only the weights are held
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not any(path.stat().st_size >= 1_000_000 for path in Path(store.root).glob(".tmp-fetch-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (came,) = (path.stat().st_size for path in Path(store.root).glob(".tmp-fetch-*") if path.suffix == "")
    site.hold_after_bytes = None

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == sha256(BIG["pytorch_model.bin"])
    spans = [span for path, span in site.downloads if path == "/big/pytorch_model.bin"]
    assert spans == ["", f"bytes={came}-"]
    assert list(Path(store.root).glob(".tmp-*")) == []


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin", "tokenizer_config.json"])
def test_a_web_page_is_neither_kept_nor_recorded(site, store, name):
    uri = publish(site, "tiny", FILES | {name: b"<!DOCTYPE html><title>Please log in</title>"})

    with pytest.raises(DownloadError, match=rf"{name}: .*a web page came instead of the file"):
        resolve_checkpoint(uri, store)
    assert not store.exists(mirrored_name(uri, name))

    publish(site, "tiny", FILES)
    assert resolve_checkpoint(uri, store).files == digests(FILES)


def test_a_downloaded_configuration_that_is_no_json_object_is_not_kept(site, store):
    uri = publish(site, "tiny", FILES | {"config.json": b"Service unavailable"})

    with pytest.raises(UserError, match=r"tiny/config\.json: the file is no JSON object"):
        resolve_checkpoint(uri, store)

    publish(site, "tiny", FILES)
    assert resolve_checkpoint(uri, store).files == digests(FILES)


def test_a_required_file_that_the_server_lacks_is_named(site, store):
    uri = publish(site, "tiny", {name: FILES[name] for name in ("config.json", "tokenizer.json")})

    with pytest.raises(UserError, match=r"tiny/pytorch_model\.bin: the file is missing"):
        resolve_checkpoint(uri, store)
    assert list(Path(store.root).glob(".tmp-*.told")) == []


def test_files_that_changed_at_the_source_are_refused_after_first_use(site, store):
    uri = publish(site, "tiny", FILES)
    mirrored = resolve_checkpoint(uri, store)
    publish(site, "tiny", {"pytorch_model.bin": b"other weights"})
    (mirrored.path / "pytorch_model.bin").unlink()  # so that it has to be had again

    with pytest.raises(UserError, match="at first use it was"):
        resolve_checkpoint(uri, store)
    assert not (mirrored.path / "pytorch_model.bin").exists()

    publish(site, "tiny", FILES)
    assert resolve_checkpoint(uri, store) == mirrored


def test_files_that_changed_in_the_store_are_refused(site, store):
    uri = publish(site, "tiny", FILES)
    mirrored = resolve_checkpoint(uri, store)
    (mirrored.path / "pytorch_model.bin").write_bytes(b"tampered")

    with pytest.raises(UserError, match="at first use it was"):
        resolve_checkpoint(uri, store)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (exec, (f"open({str(self.marker)!r}, 'w').write('boom')",))


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint whose weights are a pickle that does harm, and the mark that the harm leaves."""
    folder = write_checkpoint(tmp_path / "bomb")
    marker = tmp_path / "harm"
    good = sha256((folder / "pytorch_model.bin").read_bytes())
    (folder / "SHA256SUMS").write_text(f"{good}  pytorch_model.bin\n")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"decoder": Bomb(marker)}))
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert marker.read_text() == "boom"
    marker.unlink()
    return folder, marker


def test_weights_with_another_digest_are_not_unpickled(bomb, store):
    folder, marker = bomb

    with pytest.raises(UserError, match=r"pytorch_model\.bin: its sha256 is"):
        resolve_checkpoint(str(folder), store)
    assert not marker.exists()


def test_weights_that_are_more_than_tensors_are_refused_even_if_nobody_pinned_them(bomb, store):
    from pagemill.ocr.engine import load_engine

    folder, marker = bomb
    (folder / "SHA256SUMS").unlink()

    with pytest.raises(UserError, match="these files are no Nougat model"):
        load_engine("nougat", resolve_checkpoint(str(folder), store), "cpu")
    assert not marker.exists()


def test_a_safetensors_file_beside_verified_weights_is_not_loaded(tmp_path, store):
    from pagemill.ocr.engine import load_engine

    folder = write_checkpoint(tmp_path / "tiny")
    (folder / "model.safetensors").write_bytes(b"nobody verified this")

    assert load_engine("nougat", resolve_checkpoint(str(folder), store), "cpu").name == "nougat"


def test_weights_of_another_architecture_are_a_mistake_of_the_user(tmp_path, store):
    from pagemill.ocr.engine import load_engine

    folder = write_checkpoint(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"embed_dim": 32, "hidden_dimension": 128}))

    with pytest.raises(UserError, match="these files are no Nougat model"):
        load_engine("nougat", resolve_checkpoint(str(folder), store), "cpu")
