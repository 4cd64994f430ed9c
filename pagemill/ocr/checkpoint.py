"""Checkpoints: the files of a model, found by path, URI or release tag and verified before they are opened."""

import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path

from tenacity import retry, retry_if_not_exception_type, stop_after_attempt, wait_exponential_jitter

from pagemill.errors import UserError
from pagemill.storage import Store, digest, file_sha256, filesystem_of

WEIGHTS = "pytorch_model.bin"
REQUIRED_FILES = ("config.json", WEIGHTS, "tokenizer.json")
OPTIONAL_FILES = ("special_tokens_map.json", "tokenizer_config.json")
SUMS = "SHA256SUMS"  # in the folder, as `sha256sum` writes it: what its files must be
RECORD = "sha256.json"  # in the store: what the files of a mirror were at first use

DOWNLOAD_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """Model files that somebody publishes under a tag."""

    name: str
    license: str
    uri: str


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """The verified files of a model in a local folder."""

    path: Path
    sha256: str  # digest of the digests of its files
    name: str
    license: str  # "unknown" where nothing says
    files: dict[str, str]  # sha256 by file name


_NOUGAT_RELEASES = "https://github.com/facebookresearch/nougat/releases/download"

RELEASES = {
    "0.1.0-small": Release("nougat-0.1.0-small", "CC-BY-NC-4.0", f"{_NOUGAT_RELEASES}/0.1.0-small"),
    "0.1.0-base": Release("nougat-0.1.0-base", "CC-BY-NC-4.0", f"{_NOUGAT_RELEASES}/0.1.0-base"),
}

# Weights that are known for what they are wherever they lie, by the sha256 of pytorch_model.bin: name and licence.
# A release that is not among them is recorded at first use in the store, and held to that record.
PINNED = {
    "e1e0d082ef62d41deec5aba66e770acfb27df8c05e831f9a6d9002b88285521d": ("pagemill-demo", "Apache-2.0"),
}


def resolve_checkpoint(spec: str, store: Store, *, expected_sha256: str = "") -> Checkpoint:
    """Find the files of a checkpoint, bring them here if they are elsewhere, and verify them.

    Nothing is unpickled. A local folder is used where it lies. A release or a URI is mirrored into
    the store once, under `checkpoints/`, and from then on held to the digests of that first time.

    Args:
        spec: A local folder, the URI of a folder (`gs://…`, `https://…`) or a tag of `RELEASES`; with
            `@sha256:<digest>` at its end as another way to give `expected_sha256`.
        store: Where files from elsewhere are kept.
        expected_sha256: What the checkpoint's digest, or that of its weights, must be; "" for any.

    Raises:
        UserError: The checkpoint is not there, lacks a file, or is not what it should be.
    """
    spec, _, pinned = spec.partition("@sha256:")
    release = RELEASES.get(spec)
    if release:
        folder = _mirror(release.uri, store, f"checkpoints/{spec}")
    elif spec and Path(spec).is_dir():
        folder = Path(spec).resolve()
    elif "://" in spec:
        folder = _mirror(spec.rstrip("/"), store, f"checkpoints/{digest(spec.rstrip('/'))[:16]}")
    else:
        mend = f"give a folder, the URI of one, or one of: {', '.join(RELEASES)}"
        raise UserError(f"checkpoint {spec}", "there is no such folder or release", mend)
    own_name = spec.rstrip("/").rsplit("/", 1)[-1] if "://" in spec else folder.name
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
        _check_json(folder / file)
    files = {file: file_sha256(folder / file) for file in REQUIRED_FILES + OPTIONAL_FILES if (folder / file).is_file()}
    _check_sums(folder, files)
    whole = digest(files)
    if expected and expected not in (whole, files[WEIGHTS]):
        reason = f"its sha256 is {whole} (of {WEIGHTS}: {files[WEIGHTS]}), not {expected}"
        raise UserError(f"checkpoint {folder}", reason, "give the checkpoint of this digest, or its own digest")
    name, terms = PINNED.get(files[WEIGHTS], (name, terms))
    return Checkpoint(folder, whole, name, terms, files)


def _check_json(path: Path) -> None:
    """Refuse a configuration or tokenizer that is no JSON object, such as an error page that was saved."""
    if path.suffix != ".json":
        return
    try:
        whole = isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        whole = False
    if not whole:
        raise UserError(str(path), "the file is no JSON object", "copy the checkpoint again from where it came")


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


def _mirror(uri: str, store: Store, folder: str) -> Path:
    """Bring the files of a folder elsewhere into the store, then to a local path."""
    record_name = f"{folder}/{RECORD}"
    record = store.read_json(record_name) if store.exists(record_name) else None
    found = {}
    for file in REQUIRED_FILES + OPTIONAL_FILES:
        wanted = None if record is None else record["files"].get(file, "")
        if wanted != "" and (sha256 := _mirror_file(f"{uri}/{file}", store, f"{folder}/{file}", wanted)):
            found[file] = sha256
    if record is None:
        store.write_json(record_name, {"uri": uri, "files": found})
    return _localised(store, folder, found)


def _mirror_file(uri: str, store: Store, name: str, wanted: str | None) -> str:
    """Bring one file into the store and return its sha256, "" for an optional one that is not there."""
    if store.exists(name):
        with store.local(name) as path:
            sha256 = file_sha256(path)
        _check_record(store.uri_of(name), sha256, wanted)
        return sha256
    with store.staging() as staged:
        try:
            _download(uri, staged)
        except FileNotFoundError:
            if uri.rsplit("/", 1)[-1] in OPTIONAL_FILES:
                return ""
            raise UserError(uri, "the file is missing", "look whether the address of the checkpoint is right") from None
        sha256 = file_sha256(staged)
        _check_record(uri, sha256, wanted)
        store.adopt(staged, name)
    return sha256


def _check_record(subject: str, sha256: str, wanted: str | None) -> None:
    if wanted is not None and sha256 != wanted:
        mend = f"find out why it changed; to accept it, delete the folder of {RECORD} in the store's checkpoints/"
        raise UserError(subject, f"its sha256 is {sha256}, but at first use it was {wanted}", mend)


@retry(
    retry=retry_if_not_exception_type((FileNotFoundError, PermissionError)),
    stop=stop_after_attempt(DOWNLOAD_ATTEMPTS),
    wait=wait_exponential_jitter(initial=0.5, max=20),
    reraise=True,
)
def _download(uri: str, target: Path) -> None:
    filesystem, path = filesystem_of(uri)
    filesystem.get_file(path, str(target))


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
