"""Publishing a dataset: to the Hugging Face Hub in one commit, or to a folder on any file system."""

import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from pagemill.dataset.hub_calls import HUB_TOKEN, explained, hub_token, on_latest_head, patiently, status_of
from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.progress import track
from pagemill.records import DatasetFile, Publication
from pagemill.secrets import check_reference
from pagemill.storage import COPY_BYTES, Store, digest, file_sha256

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.hf_api import RepoFile

OWNED_FOLDERS = ("data", "jsonl")  # what a publication may delete from
STORE_ONLY_FOLDER = "jsonl"  # the interchange copy: goes to folders, not to the Hub
CARD = "README.md"

CHECKSUMS = "SHA256SUMS"  # the list by which a folder's next publication knows what is there
UNFINISHED = "0" * 64  # in the list while the file is being written: no content has this digest

HUB_TARGET = re.compile(r"hf://(datasets/)?(?P<name>(?!datasets/)[\w.-]+/[\w.-]+)/?(@(?P<branch>[^@\s]+))?")
IN_MEMORY_BYTES = 10 << 20  # the Hub may ask for files below this size again with the commit; larger ones are LFS

log = logging.getLogger("pagemill")
Result = TypeVar("Result")


def publish_dataset(
    dataset: Manifest[DatasetFile],
    store: Store,
    *,
    publish: str,
    private: bool = True,
    message: str = "Publish the dataset",
    hf_token: str = HUB_TOKEN,
) -> Publication:
    """Bring a repository on the Hub, or a folder, to the content of a dataset.

    What is there already is not sent again, and files of an earlier publication that are no longer
    part of the dataset are removed. On the Hub all of it is one commit, or none when nothing changed;
    the JSONL copies go to folders only. The Hub's address comes from HF_ENDPOINT.

    Args:
        dataset: The manifest of the built dataset.
        store: The store with its files.
        publish: `hf://<user>/<name>` or `hf://datasets/<user>/<name>[@<branch>]`, else a folder by path or URI.
        private: Whether a repository that has to be created is private. A public repository that
            exists is never published to while this is true; a private one stays private.
        message: Title of the commit.
        hf_token: Name of the secret with the Hub's token: `env:NAME` or `secret:projects/P/secrets/S`. Where
            HF_TOKEN is not set, the Hub's own login counts.

    Returns:
        Where the dataset is, under which revision (commit, or digest of the folder's file list), and
        how many files and bytes had to be sent.

    Raises:
        UserError: The target cannot be understood or written to, or the Hub refuses the token.
    """
    if publish.startswith("hf://"):
        return _publish_to_hub(dataset, store, publish, private, message, hf_token)
    return _publish_to_folder(dataset, store, publish)


def check_target(publish: str, hf_token: str = HUB_TOKEN, *, here: bool = True) -> None:
    """Say before anything is made whether it could be published there, as far as this is known without asking the Hub.

    Args:
        publish: As `publish_dataset` takes it.
        hf_token: Likewise.
        here: Whether it is this machine that will publish: then the secret has to be there.

    Raises:
        UserError: The target cannot be understood, no secret is named, or it is not there.
    """
    check_reference(hf_token, "hf_token")
    if publish.startswith("hf://"):
        _hub_target(publish)
        if here:
            hub_token(publish, hf_token)
    else:
        _folder_target(publish)


# the Hub


def _publish_to_hub(
    dataset: Manifest[DatasetFile], store: Store, publish: str, private: bool, message: str, hf_token: str
) -> Publication:
    files = [file for file in dataset.rows if not file.path.startswith(f"{STORE_ONLY_FOLDER}/")]
    with explained(publish, hf_token):
        repository = _HubRepository(publish, store, hf_token)
        description = f"From {dataset.name}"
        revision = on_latest_head(lambda: repository.update(files, private, message, description))
    sent = [file.size_bytes for file in files if file.path in repository.additions]
    return Publication(repository.uri, revision, len(files), len(sent), sum(sent))


class _HubRepository:
    """A branch of a dataset repository, and what this publication has sent to it so far."""

    def __init__(self, publish: str, store: Store, hf_token: str) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        target = _hub_target(publish)
        disable_progress_bars()  # ours shows the shards
        self.api = HfApi(token=hub_token(publish, hf_token))
        self.name, self.branch, self.store = target["name"], target["branch"] or "main", store
        self.uri = f"hf://datasets/{self.name}" + (f"@{self.branch}" if target["branch"] else "")
        self.additions: dict[str, CommitOperationAdd] = {}

    def update(self, files: Sequence[DatasetFile], private: bool, message: str, description: str) -> str:
        """Bring the branch to these files in one commit on its present head; return its revision."""
        from huggingface_hub import CommitOperationDelete

        head = self._head(private)
        present = self._listing(head)
        changed = [file for file in files if not self._is_same(file, present.get(file.path))]
        stale = sorted(_owned(present) - {file.path for file in files})
        if not changed and not stale:
            return head
        for file in track(changed, f"publish to {self.uri}"):
            self._send(file)
        operations = [self.additions[file.path] for file in changed] + [CommitOperationDelete(path) for path in stale]
        commit = self._call(
            self.api.create_commit,
            operations=operations,
            commit_message=message,
            commit_description=description,
            parent_commit=head,
            revision=self.branch,
        )
        return str(commit.oid)

    def _head(self, private: bool) -> str:
        """Return the commit at the branch's head; repository and branch are made where they are missing."""
        from huggingface_hub.errors import RevisionNotFoundError

        self._check_privacy(private)
        try:
            found = self._call(self.api.repo_info, revision=self.branch)
        except RevisionNotFoundError:
            self._call(self.api.create_branch, branch=self.branch, exist_ok=True)
            found = self._call(self.api.repo_info, revision=self.branch)
        return str(found.sha)

    def _check_privacy(self, private: bool) -> None:
        """Create the repository as asked for; refuse one that shows to all what was meant for few."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            found = self._call(self.api.repo_info)
        except RepositoryNotFoundError as error:
            if status_of(error) != 404:
                raise
            self._call(self.api.create_repo, private=private, exist_ok=True)
            found = self._call(self.api.repo_info)
        if private and not found.private:
            mend = "make it private in its settings, publish under another name, or ask for a public dataset"
            raise UserError(self.uri, "the repository is public and a private dataset was asked for", mend)
        if found.private and not private:
            log.info("%s is private and stays so; its settings on the Hub can change that", self.uri)

    def _listing(self, revision: str) -> "dict[str, RepoFile]":
        from huggingface_hub.hf_api import RepoFile

        def entries(**where: Any) -> list[Any]:
            return list(self.api.list_repo_tree(recursive=True, **where))

        return {entry.path: entry for entry in self._call(entries, revision=revision) if isinstance(entry, RepoFile)}

    def _is_same(self, file: DatasetFile, present: "RepoFile | None") -> bool:
        if present is None or present.size != file.size_bytes:
            return False
        if present.lfs is not None:
            return bool(present.lfs.sha256 == file.sha256)
        return bool(present.blob_id == _git_digest(self.store.read_bytes(file.stored)))

    def _send(self, file: DatasetFile) -> None:
        """Upload a file ahead of the commit, unless this publication has done so."""
        from huggingface_hub import CommitOperationAdd

        if file.path in self.additions:
            return
        with self.store.local(file.stored) as path:
            content = path.read_bytes() if file.size_bytes < IN_MEMORY_BYTES else path
            addition = CommitOperationAdd(file.path, content)
            _check_digest(file, addition.upload_info.sha256.hex())
            self._call(self.api.preupload_lfs_files, additions=[addition], revision=self.branch, free_memory=True)
        self.additions[file.path] = addition

    def _call(self, call: Callable[..., Result], **arguments: Any) -> Result:
        return patiently(lambda: call(repo_id=self.name, repo_type="dataset", **arguments))


def _hub_target(publish: str) -> re.Match[str]:
    target = HUB_TARGET.fullmatch(publish)
    if target is None:
        raise UserError(publish, "not a dataset on the Hub", "write hf://<user>/<name> or …@<branch>")
    return target


def _owned(paths: Iterable[str]) -> set[str]:
    """Return the paths that a publication may delete: those inside the dataset's own folders."""
    parts = {path: PurePosixPath(path).parts for path in paths}
    return {path for path, each in parts.items() if len(each) > 1 and each[0] in OWNED_FOLDERS and ".." not in each}


def _git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _check_digest(file: DatasetFile, found: str) -> None:
    if found != file.sha256:
        raise OSError(f"{file.stored} in the store is damaged: its sha256 is {found}, not {file.sha256}")


# folders


def _publish_to_folder(dataset: Manifest[DatasetFile], store: Store, publish: str) -> Publication:
    try:
        return _update_folder(dataset.rows, store, _folder_target(publish))
    except (NotADirectoryError, FileExistsError):
        raise UserError(publish, "not a folder", "name a folder that exists or that can be made") from None
    except PermissionError:
        raise UserError(publish, "may not be written to", "choose another folder or mend its permissions") from None


def _folder_target(publish: str) -> Store:
    try:
        target = Store(publish) if publish else None
    except (ValueError, ImportError):
        target = None
    if target is None:
        raise UserError(publish or "publish", "not a target", "write hf://<user>/<name>, or a folder by path or URI")
    return target


def _update_folder(files: Sequence[DatasetFile], store: Store, target: Store) -> Publication:
    """Bring a folder to these files; the list of checksums tells at any moment what is whole.

    While files are being written the list has no digest for them, so that a publication that was
    interrupted is neither taken for complete nor left behind by the next one.
    """
    listed = _read_checksums(target)
    wanted = {file.path: file.sha256 for file in files}
    changed = [file for file in files if not _is_there(file, target, listed)]
    stale = [path for path in sorted(_owned(listed) - wanted.keys()) if target.exists(path)]
    if changed or stale or listed != wanted:
        _write_checksums(target, listed | wanted | {file.path: UNFINISHED for file in changed})
        for file in track(sorted(changed, key=lambda file: file.path == CARD), f"publish to {target.uri}"):
            _copy(file, store, target)
        for path in stale:
            target.delete(path)
        _write_checksums(target, wanted)
    sent_bytes = sum(file.size_bytes for file in changed)
    return Publication(target.uri, digest(wanted), len(files), len(changed), sent_bytes)


def _is_there(file: DatasetFile, target: Store, listed: dict[str, str]) -> bool:
    """Say whether a file lies in the folder: by its content where that is at hand, else by the list."""
    if not target.exists(file.path) or target.size_bytes(file.path) != file.size_bytes:
        return False
    if not target.is_local:
        return listed.get(file.path) == file.sha256
    return file_sha256(Path(target.path(file.path))) == file.sha256


def _copy(file: DatasetFile, store: Store, target: Store) -> None:
    with store.local(file.stored) as path:
        _check_digest(file, file_sha256(path))
        with path.open("rb") as source, target.writing(file.path) as copy:
            shutil.copyfileobj(source, copy, COPY_BYTES)


def _read_checksums(target: Store) -> dict[str, str]:
    if not target.exists(CHECKSUMS):
        return {}
    lines = target.read_bytes(CHECKSUMS).decode().splitlines()
    return {path: checksum for checksum, _, path in (line.partition("  ") for line in lines) if path}


def _write_checksums(target: Store, checksums: dict[str, str]) -> None:
    """Write the list as `sha256sum --check` reads it."""
    lines = (f"{checksum}  {path}\n" for path, checksum in sorted(checksums.items()))
    target.write_bytes(CHECKSUMS, "".join(lines).encode())
