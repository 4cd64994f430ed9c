"""Checkpoints: the files of a model, found by path, URI or release tag and verified before they are opened."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pagemill.download import RemoteFile, discard, download, partial_file
from pagemill.errors import UserError
from pagemill.storage import Store, digest, file_sha256

WEIGHTS = "pytorch_model.bin"
REQUIRED_FILES = ("config.json", WEIGHTS, "tokenizer.json")
OPTIONAL_FILES = ("special_tokens_map.json", "tokenizer_config.json")
SUMS = "SHA256SUMS"  # in the folder, as `sha256sum` writes it: what its files must be
RECORD = "sha256.json"  # in the store: what the files of a mirror were at first use


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """Model files that somebody publishes under a tag."""

    name: str
    license: str
    uri: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # sha256 by file name, where it is known


@dataclasses.dataclass(frozen=True, slots=True)
class Pin:
    """A model that is known for what it is wherever it lies."""

    name: str
    license: str
    files: Mapping[str, str]  # sha256 by file name


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """The verified files of a model in a local folder."""

    path: Path
    sha256: str  # digest of the digests of its files
    name: str
    license: str  # "unknown" where nothing says
    files: dict[str, str]  # sha256 by file name


_NOUGAT_RELEASES = "https://github.com/facebookresearch/nougat/releases/download"

# Nougat's authors state no digest of these files: they are recorded in the store at first use, and held to that.
RELEASES = {
    "0.1.0-small": Release("nougat-0.1.0-small", "CC-BY-NC-4.0", f"{_NOUGAT_RELEASES}/0.1.0-small"),
    "0.1.0-base": Release("nougat-0.1.0-base", "CC-BY-NC-4.0", f"{_NOUGAT_RELEASES}/0.1.0-base"),
}

PINNED = (
    Pin(
        "pagemill-demo",
        "Apache-2.0",
        {
            "config.json": "fffd6cc26ac8ea20d8eaa1c8e1a35f96d065841ff176d94fb1b648638cb466f8",
            WEIGHTS: "e1e0d082ef62d41deec5aba66e770acfb27df8c05e831f9a6d9002b88285521d",
            "tokenizer.json": "dc0dd2d37f5d12687f1f93160e7cf8ef002cd7518a628dd1ed645b985200a706",
            "special_tokens_map.json": "48f5091434f4a5eb2c6b1f17a0c6eff3571ea9ff5843b95f6a591a55247e70c5",
            "tokenizer_config.json": "5b56af7f97b81a6850d016b72d72870a22355130198f10ef47ae519346d6498a",
        },
    ),
)


def resolve_checkpoint(spec: str, store: Store, *, expected_sha256: str = "") -> Checkpoint:
    """Find the files of a checkpoint, bring them here if they are elsewhere, and verify them.

    Nothing is unpickled. A local folder is used where it lies. A release or a URI is mirrored into
    the store once, under `checkpoints/`, and from then on held to the digests of that first time; what
    `RELEASES` and `PINNED` say of a file holds before that.

    Args:
        spec: A local folder, the URI of a folder (`gs://…`, `https://…`) or a tag of `RELEASES`; with
            `@sha256:<digest>` at its end as another way to give `expected_sha256`.
        store: Where files from elsewhere are kept.
        expected_sha256: What the checkpoint's digest, or that of its weights, must be; "" for any.

    Raises:
        UserError: The checkpoint is not there, lacks a file, or is not what it should be.
        DownloadError: A file could not be had after all attempts.
    """
    spec, _, pinned = spec.partition("@sha256:")
    release = RELEASES.get(spec)
    if release:
        folder = _mirror(release.uri, store, f"checkpoints/{spec}", release.files)
    elif spec and Path(spec).is_dir():
        folder = Path(spec).resolve()
    elif "://" in spec:
        folder = _mirror(spec.rstrip("/"), store, f"checkpoints/{digest(spec.rstrip('/'))[:16]}", {})
    else:
        mend = f"give a folder, the URI of one, or one of: {', '.join(RELEASES)}"
        raise UserError(f"checkpoint {spec}", "there is no such folder or release", mend)
    own_name = _name_of(spec) if "://" in spec else folder.name
    name, terms = (release.name, release.license) if release else (own_name, "unknown")
    return _verified(folder, name, terms, (pinned or expected_sha256).lower())


def cache_folder() -> Path:
    """Return a folder of this user for files that can be had again, made if need be."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        (base / "pagemill").mkdir(parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
        (base / "pagemill").mkdir(parents=True, exist_ok=True)
    return base / "pagemill"


def _verified(folder: Path, name: str, terms: str, expected: str) -> Checkpoint:
    for file in REQUIRED_FILES:
        if not (folder / file).is_file():
            mend = f"a checkpoint is a folder with {', '.join(REQUIRED_FILES)}"
            raise UserError(str(folder / file), "the file is missing", mend)
        _check_json(folder / file, str(folder / file))
    files = {file: file_sha256(folder / file) for file in REQUIRED_FILES + OPTIONAL_FILES if (folder / file).is_file()}
    _check_sums(folder, files)
    whole = digest(files)
    if expected and expected not in (whole, files[WEIGHTS]):
        reason = f"its sha256 is {whole} (of {WEIGHTS}: {files[WEIGHTS]}), not {expected}"
        raise UserError(f"checkpoint {folder}", reason, "give the checkpoint of this digest, or its own digest")
    for pin in PINNED:
        if pin.files[WEIGHTS] == files[WEIGHTS]:
            _check_pinned(folder, files, pin)
            name, terms = pin.name, pin.license
    return Checkpoint(folder, whole, name, terms, files)


def _check_pinned(folder: Path, files: dict[str, str], pin: Pin) -> None:
    """Hold the files beside known weights to what belongs to them: with another tokenizer they read another text."""
    for file, sha256 in files.items():
        if pin.files.get(file, sha256) != sha256:
            reason = f"its sha256 is {sha256}, but that of {pin.name} is {pin.files[file]}"
            raise UserError(str(folder / file), reason, "copy the checkpoint again from where it came")


def _check_json(path: Path, subject: str) -> None:
    """Refuse a configuration or tokenizer that is no JSON object, such as an error page that was saved."""
    if not subject.endswith(".json"):
        return
    try:
        whole = isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        whole = False
    if not whole:
        raise UserError(subject, "the file is no JSON object", "copy the checkpoint again from where it came")


def _check_sums(folder: Path, files: dict[str, str]) -> None:
    """Hold the files to the folder's own list of digests, where it has one."""
    if not (folder / SUMS).is_file():
        return
    for line in (folder / SUMS).read_text().splitlines():
        sha256, _, file = line.partition(" ")
        file = file.lstrip(" *")
        if file in files and files[file] != sha256.lower():
            raise UserError(
                str(folder / file),
                f"its sha256 is {files[file]}, but {SUMS} beside it says {sha256}",
                "copy the checkpoint again from where it came",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """What the files of a mirror must be, by name: as the release is pinned, and as they were at first use."""

    pinned: Mapping[str, str]
    recorded: Mapping[str, str] | None  # None at first use

    def check(self, subject: str, sha256: str) -> None:
        """Refuse a file, named by its path or URI, with another digest."""
        file = _name_of(subject)
        if self.pinned.get(file, sha256) != sha256:
            reason = f"its sha256 is {sha256}, but that of this release is {self.pinned[file]}"
            raise UserError(subject, reason, "find out why it changed; a file in the store is fetched again if deleted")
        if self.recorded is not None and self.recorded[file] != sha256:
            reason = f"its sha256 is {sha256}, but at first use it was {self.recorded[file]}"
            mend = f"find out why it changed; to accept it, delete the folder of {RECORD} in the store's checkpoints/"
            raise UserError(subject, reason, mend)


def _mirror(uri: str, store: Store, folder: str, pinned: Mapping[str, str]) -> Path:
    """Bring the files of a folder elsewhere into the store, then to a local path."""
    record = f"{folder}/{RECORD}"
    known = _Known(pinned, store.read_json(record)["files"] if store.exists(record) else None)
    wanted = [file for file in REQUIRED_FILES + OPTIONAL_FILES if known.recorded is None or file in known.recorded]
    digests = {file: _mirror_file(f"{uri}/{file}", store, f"{folder}/{file}", known) for file in wanted}
    files = {file: sha256 for file, sha256 in digests.items() if sha256}
    if known.recorded is None:
        store.write_json(record, {"uri": uri, "files": files})
    return _localised(store, folder, files)


def _mirror_file(uri: str, store: Store, name: str, known: _Known) -> str:
    """Bring one file into the store and return its sha256, "" for an optional one that is not there."""
    if not store.exists(name):
        with partial_file(store, digest([uri, name])[:32]) as part:
            # Another process may have brought it while this one waited for the lock.
            if not store.exists(name):
                return _bring(uri, part, store, name, known)
    with store.local(name) as path:
        sha256 = file_sha256(path)
    known.check(store.uri_of(name), sha256)
    return sha256


def _bring(uri: str, part: Path, store: Store, name: str, known: _Known) -> str:
    """Download one file, and keep it when it is what it must be."""
    file = _name_of(uri)
    try:
        lasting = (FileNotFoundError, PermissionError)
        sha256 = download(RemoteFile(uri), part, lasting=lasting, description=f"download bytes of {file}")
    except FileNotFoundError:
        discard(part)
        if file in OPTIONAL_FILES and known.recorded is None:
            return ""
        raise UserError(uri, "the file is missing", "look whether the address of the checkpoint is right") from None
    try:
        _check_json(part, uri)
        known.check(uri, sha256)
    except UserError:
        discard(part)
        raise
    store.adopt(part, name)
    return sha256


def _name_of(uri: str) -> str:
    return uri.rstrip("/").rsplit("/", 1)[-1]


def _localised(store: Store, folder: str, files: dict[str, str]) -> Path:
    """Return a local folder with the mirrored files: the store's own, or a copy of them in the cache."""
    if store.is_local:
        return Path(store.path(folder))
    local = cache_folder() / "checkpoints" / digest(files)
    local.mkdir(parents=True, exist_ok=True)
    for file, sha256 in files.items():
        if (local / file).is_file() and file_sha256(local / file) == sha256:
            continue
        with store.local(f"{folder}/{file}") as copy:
            partial = local / f".{file}.{os.getpid()}"
            shutil.copyfile(copy, partial)
            os.replace(partial, local / file)
    return local
