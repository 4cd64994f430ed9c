"""Checkpoints: found, mirrored and verified before anything in them is opened."""

import functools
import hashlib
import http.server
import json
import pickle
import threading
from pathlib import Path

import pytest

from pagemill.errors import UserError
from pagemill.ocr import checkpoint as checkpoints
from pagemill.ocr.checkpoint import Release, resolve_checkpoint
from pagemill.storage import Store
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
def site(tmp_path, monkeypatch):
    """A web server with the folder `site/`, that counts the files it gave away."""
    root = tmp_path / "site"
    root.mkdir()
    given: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        broken = 0  # how many of the next requests end in a server error

        def do_GET(self):
            if type(self).broken:
                type(self).broken -= 1
                self.send_error(503)
                return
            given.append(self.path)
            super().do_GET()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.root, server.given, server.handler = root, given, Handler
    server.uri = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(checkpoints._download.retry, "wait", lambda state: 0)
    yield server
    server.shutdown()
    server.server_close()


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


def test_known_weights_have_their_name_and_licence_wherever_they_lie(folder, store, monkeypatch):
    monkeypatch.setitem(checkpoints.PINNED, sha256(FILES["pytorch_model.bin"]), ("well-known", "MIT"))

    found = resolve_checkpoint(str(folder), store)

    assert (found.name, found.license) == ("well-known", "MIT")


def test_the_demo_checkpoint_is_known_for_what_it_is(store):
    found = resolve_checkpoint(str(Path(__file__).parents[2] / "demo" / "checkpoint"), store)

    assert (found.name, found.license) == ("pagemill-demo", "Apache-2.0")


def test_a_release_is_mirrored_once_and_recorded(site, store, monkeypatch):
    write_files(site.root / "v1", FILES)
    monkeypatch.setitem(checkpoints.RELEASES, "v1", Release("model-v1", "CC-BY-NC-4.0", f"{site.uri}/v1"))

    first = resolve_checkpoint("v1", store)
    gets = len(site.given)
    again = resolve_checkpoint("v1", store)

    assert (first.name, first.license) == ("model-v1", "CC-BY-NC-4.0")
    assert first == again
    assert len(site.given) == gets
    assert first.path == Path(store.path("checkpoints/v1"))
    assert store.read_json("checkpoints/v1/sha256.json")["files"] == first.files


def test_a_folder_at_a_uri_is_mirrored_and_has_the_digest_of_its_local_twin(folder, site, store):
    write_files(site.root / "models" / "tiny", FILES)

    assert resolve_checkpoint(f"{site.uri}/models/tiny/", store).sha256 == resolve_checkpoint(str(folder), store).sha256


def test_a_store_that_is_not_local_leaves_a_local_copy(site, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_files(site.root / "tiny", FILES)
    remote = Store("memory://store-of-checkpoints")

    found = resolve_checkpoint(f"{site.uri}/tiny", remote)

    assert found.path.is_relative_to(tmp_path / "cache")
    assert (found.path / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]
    assert resolve_checkpoint(f"{site.uri}/tiny", remote) == found


def test_a_server_that_fails_now_and_then_is_asked_again(site, store):
    write_files(site.root / "tiny", FILES)
    site.handler.broken = 3

    assert resolve_checkpoint(f"{site.uri}/tiny", store).files.keys() == FILES.keys()


def test_a_required_file_that_the_server_lacks_is_named(site, store):
    write_files(site.root / "tiny", {name: FILES[name] for name in ("config.json", "tokenizer.json")})

    with pytest.raises(UserError, match=r"tiny/pytorch_model\.bin: the file is missing"):
        resolve_checkpoint(f"{site.uri}/tiny", store)


def test_files_that_changed_at_the_source_are_refused_after_first_use(site, store):
    write_files(site.root / "tiny", FILES)
    uri = f"{site.uri}/tiny"
    mirrored = resolve_checkpoint(uri, store)
    (site.root / "tiny" / "pytorch_model.bin").write_bytes(b"other weights")
    (mirrored.path / "pytorch_model.bin").unlink()  # so that it has to be had again

    with pytest.raises(UserError, match="at first use it was"):
        resolve_checkpoint(uri, store)
    assert not (mirrored.path / "pytorch_model.bin").exists()


def test_files_that_changed_in_the_store_are_refused(site, store):
    write_files(site.root / "tiny", FILES)
    mirrored = resolve_checkpoint(f"{site.uri}/tiny", store)
    (mirrored.path / "pytorch_model.bin").write_bytes(b"tampered")

    with pytest.raises(UserError, match="at first use it was"):
        resolve_checkpoint(f"{site.uri}/tiny", store)


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
