"""What a small Hugging Face Hub knows: repositories with their commits and files, and what is to fail."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException, Request

USER = "tester"


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """A file of a commit: `oid` is the sha256 of an LFS object, else the git blob's sha1."""

    oid: str
    size: int
    is_lfs: bool

    def entry(self, path: str) -> dict[str, Any]:
        """Return the file as the tree and paths-info endpoints list it."""
        if not self.is_lfs:
            return {"type": "file", "path": path, "oid": self.oid, "size": self.size}
        pointer = hashlib.sha1(self.oid.encode()).hexdigest()
        lfs = {"oid": self.oid, "size": self.size, "pointerSize": 134}
        return {"type": "file", "path": path, "oid": pointer, "size": self.size, "lfs": lfs}


@dataclasses.dataclass(frozen=True)
class Commit:
    """A state of a repository and how it came about."""

    oid: str
    message: str
    files: dict[str, StoredFile]


@dataclasses.dataclass
class Repository:
    """A dataset repository: its branches, each a list of commits, the oldest first."""

    private: bool
    branches: dict[str, list[Commit]]

    def commit_at(self, revision: str) -> Commit:
        """Return the head of a branch or the commit of that id."""
        if revision in self.branches:
            return self.branches[revision][-1]
        commits = itertools.chain.from_iterable(self.branches.values())
        found = next((commit for commit in commits if commit.oid == revision), None)
        if found is None:
            raise refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found


@dataclasses.dataclass
class Fault:
    """An answer that the server gives instead of doing what it is asked."""

    request: str  # the method and a part of the path: "POST /commit/"
    status: int
    times: int
    headers: dict[str, str]
    done_first: bool  # whether the request is carried out and only its answer lost

    def meets(self, request: Request) -> bool:
        """Say whether this request is to fail."""
        return self.times > 0 and meets(self.request, request.method, request.url.path)


class Hub:
    """What the server knows; a test looks into it and sets it up directly."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.reset()

    def reset(self) -> None:
        """Forget everything but the address."""
        self.token = "hf_" + "w" * 34
        self.read_token = "hf_" + "r" * 34
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []  # "METHOD /path" of each, in order
        self.authorizations: set[str] = set()  # the Authorization headers that were seen
        self.faults: list[Fault] = []
        self.events: list[tuple[str, Callable[[], object]]] = []
        self.oids = (hashlib.sha1(str(number).encode()).hexdigest() for number in itertools.count())

    def environment(self) -> dict[str, str]:
        """Return the variables by which another process finds this Hub and may write to it."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": self.token, "HF_HUB_DISABLE_XET": "1"}

    def fail(self, request: str, status: int, times: int = 1, *, done_first: bool = False, **headers: str) -> None:
        """Answer the next `times` requests like `request` with `status`; `retry_after="3"` becomes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(request, status, times, named, done_first))

    def count(self, request: str) -> int:
        """Return how many requests had this method and this part in their path."""
        return sum(meets(request, *line.split(" ", 1)) for line in self.requests)

    def before(self, request: str, event: Callable[[], object]) -> None:
        """Let something happen right before the next request like `request` is carried out."""
        self.events.append((request, event))

    def create(self, name: str, *, private: bool = True) -> Repository:
        """Create a repository with the commit that the Hub itself makes."""
        repository = Repository(private, {"main": []})
        self.repositories[name] = repository
        attributes = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
        self.push(name, {".gitattributes": self.keep(attributes, is_lfs=False)}, "initial commit")
        return repository

    def keep(self, content: bytes, *, is_lfs: bool) -> StoredFile:
        """Store bytes under the id that git or LFS gives them."""
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        oid = hashlib.sha256(content).hexdigest() if is_lfs else git
        self.blobs[oid] = content
        return StoredFile(oid, len(content), is_lfs)

    def push(self, name: str, files: dict[str, StoredFile], message: str, branch: str = "main") -> Commit:
        """Put a commit of exactly these files on a branch."""
        commit = Commit(next(self.oids), message, files)
        self.repositories[name].branches[branch].append(commit)
        return commit

    def commits(self, name: str, branch: str = "main") -> list[Commit]:
        """Return the commits of a branch, the oldest first."""
        return self.repositories[name].branches[branch]

    def contents(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Return the files of a revision by path, without the Hub's own `.gitattributes`."""
        files = self.repositories[name].commit_at(revision).files
        return {path: self.blobs[file.oid] for path, file in files.items() if path != ".gitattributes"}

    def find(self, name: str, request: Request) -> Repository:
        """Return a repository as far as this request may see it."""
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not self.may_read(request)):
            raise refusal(404, "Repository not found", "RepoNotFound")
        return repository

    def may_read(self, request: Request) -> bool:
        """Say whether the request bears a token; a token that is not known is refused outright."""
        authorization = request.headers.get("authorization", "")
        if authorization and authorization not in (f"Bearer {self.token}", f"Bearer {self.read_token}"):
            raise refusal(401, "Invalid credentials in Authorization header")
        return bool(authorization)

    def check_may_write(self, request: Request) -> None:
        """Refuse requests without a token that may write."""
        if not self.may_read(request):
            raise refusal(401, "Invalid username or password.")
        if request.headers["authorization"] != f"Bearer {self.token}":
            raise refusal(403, "This token may not write here")


def meets(wanted: str, method: str, path: str) -> bool:
    """Say whether a request has the method and the part of the path that are wanted: "PUT /lfs/"."""
    wanted_method, part = wanted.split(" ", 1)
    return method == wanted_method and part in path


def refusal(status: int, message: str, code: str = "") -> HTTPException:
    """Return the error that the Hub answers with: its text and code stand in the headers, too."""
    return HTTPException(status, message, {"X-Error-Code": code, "X-Error-Message": message})
