"""A small Hugging Face Hub for dataset repositories, kept in memory and served over HTTP."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from tests.hub import USER, Hub, StoredFile, meets, refusal

LFS_SUFFIXES = (".parquet", ".zst")
LFS_BYTES = 1 << 20  # files from this size on are kept as LFS objects whatever their name
CREATED = "2024-01-01T00:00:00.000Z"


def hub_app(hub: Hub) -> FastAPI:
    """Return the server's application."""
    app = FastAPI()
    _serve_faults(app, hub)
    _serve_repositories(app, hub)
    _serve_uploads(app, hub)
    _serve_commits(app, hub)
    _serve_listings(app, hub)
    _serve_files(app, hub)
    return app


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a new, empty Hub on a free port of this machine."""
    hub = Hub()
    server = uvicorn.Server(uvicorn.Config(hub_app(hub), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    pause = threading.Event()
    while not server.started and thread.is_alive():
        pause.wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    hub.endpoint = f"http://127.0.0.1:{port}"
    try:
        yield hub
    finally:
        server.should_exit = True
        thread.join()


def _serve_faults(app: FastAPI, hub: Hub) -> None:
    @app.middleware("http")
    async def log_and_fail(request: Request, carry_out: Any) -> Any:
        hub.requests.append(f"{request.method} {request.url.path}")
        hub.authorizations.add(request.headers.get("authorization", ""))
        for wanted, event in [each for each in hub.events if meets(each[0], request.method, request.url.path)]:
            hub.events.remove((wanted, event))
            event()
        fault = next((each for each in hub.faults if each.meets(request)), None)
        if fault is None:
            return await carry_out(request)
        fault.times -= 1
        if fault.done_first:
            await carry_out(request)
        return JSONResponse({"error": "Injected"}, fault.status, {"X-Error-Message": "Injected"} | fault.headers)

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _serve_repositories(app: FastAPI, hub: Hub) -> None:
    @app.post("/api/repos/create")
    async def create(request: Request) -> Any:
        hub.check_may_write(request)
        wanted = await request.json()
        assert wanted["type"] == "dataset"
        owner = wanted.get("organization") or USER
        if owner != USER:
            raise refusal(403, f"You do not have the rights to create a dataset under {owner}")
        name = f"{owner}/{wanted['name']}"
        url = f"{hub.endpoint}/datasets/{name}"
        if name in hub.repositories:
            return JSONResponse({"error": "You already created this dataset repo", "url": url}, 409)
        hub.create(name, private=wanted.get("private", wanted.get("visibility") == "private"))
        return {"url": url, "name": name}

    @app.post("/api/validate-yaml")
    async def validate_card() -> Any:
        return {"errors": [], "warnings": []}

    @app.post("/api/datasets/{owner}/{name}/branch/{branch:path}")
    async def create_branch(owner: str, name: str, branch: str, request: Request) -> Any:
        hub.check_may_write(request)
        repository = hub.find(f"{owner}/{name}", request)
        if branch in repository.branches:
            raise refusal(409, "Reference already exists")
        repository.branches[branch] = list(repository.branches["main"])
        return {}

    @app.get("/api/datasets/{owner}/{name}")
    @app.get("/api/datasets/{owner}/{name}/revision/{revision:path}")
    async def describe(owner: str, name: str, request: Request, revision: str = "main") -> Any:
        repository = hub.find(f"{owner}/{name}", request)
        commit = repository.commit_at(revision)
        return {
            "_id": "0" * 24,
            "id": f"{owner}/{name}",
            "author": owner,
            "sha": commit.oid,
            "lastModified": CREATED,
            "createdAt": CREATED,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }


def _serve_uploads(app: FastAPI, hub: Hub) -> None:
    @app.post("/api/datasets/{owner}/{name}/preupload/{revision:path}")
    async def preupload(owner: str, name: str, revision: str, request: Request) -> Any:
        hub.check_may_write(request)
        present = hub.find(f"{owner}/{name}", request).commit_at(revision).files
        return {"files": [_upload_mode(file, present) for file in (await request.json())["files"]]}

    @app.post("/datasets/{repository:path}.git/info/lfs/objects/batch")
    async def batch(request: Request) -> Any:
        hub.check_may_write(request)
        objects = (await request.json())["objects"]
        return {"transfer": "basic", "objects": [_lfs_object(hub, each) for each in objects]}

    @app.put("/lfs/{oid}")
    async def upload(oid: str, request: Request) -> Any:
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            raise refusal(400, "The content does not have this sha256")
        hub.blobs[oid] = content
        return Response(headers={"ETag": f'"{oid}"'})


def _upload_mode(file: dict[str, Any], present: dict[str, StoredFile]) -> dict[str, Any]:
    path = file["path"]
    is_lfs = file["size"] >= LFS_BYTES or path.endswith(LFS_SUFFIXES)
    return {
        "path": path,
        "uploadMode": "lfs" if is_lfs else "regular",
        "shouldIgnore": False,
        "oid": present[path].oid if path in present else None,
    }


def _lfs_object(hub: Hub, wanted: dict[str, Any]) -> dict[str, Any]:
    known = {"oid": wanted["oid"], "size": wanted["size"]}
    if wanted["oid"] in hub.blobs:
        return known
    return known | {"actions": {"upload": {"href": f"{hub.endpoint}/lfs/{wanted['oid']}", "header": {}}}}


def _serve_commits(app: FastAPI, hub: Hub) -> None:
    @app.post("/api/datasets/{owner}/{name}/commit/{branch:path}")
    async def commit(owner: str, name: str, branch: str, request: Request) -> Any:
        hub.check_may_write(request)
        repository = hub.find(f"{owner}/{name}", request)
        head = repository.commit_at(branch)
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit", head.oid) != head.oid:
            raise refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines:
            _apply(hub, files, line["key"], line["value"])
        made = hub.push(f"{owner}/{name}", files, header["summary"], branch)
        url = f"{hub.endpoint}/datasets/{owner}/{name}/commit/{made.oid}"
        return {"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""}


def _apply(hub: Hub, files: dict[str, StoredFile], key: str, value: dict[str, Any]) -> None:
    """Apply one line of a commit to its files."""
    if key == "file":
        files[value["path"]] = hub.keep(base64.b64decode(value["content"]), is_lfs=False)
    elif key == "lfsFile":
        if value["oid"] not in hub.blobs:
            raise refusal(400, f"An LFS pointer pointed to a file that does not exist: {value['path']}")
        files[value["path"]] = StoredFile(value["oid"], len(hub.blobs[value["oid"]]), is_lfs=True)
    elif key == "deletedFile":
        if files.pop(value["path"], None) is None:
            raise refusal(400, f"A file with this name doesn't exist: {value['path']}")
    elif key != "header":
        raise refusal(400, f"unknown line in a commit: {key}")


def _serve_listings(app: FastAPI, hub: Hub) -> None:
    @app.get("/api/datasets/{owner}/{name}/tree/{revision}")
    @app.get("/api/datasets/{owner}/{name}/tree/{revision}/{folder:path}")
    async def tree(
        owner: str, name: str, revision: str, request: Request, folder: str = "", recursive: bool = False
    ) -> Any:
        files = hub.find(f"{owner}/{name}", request).commit_at(revision).files
        entries = list(_tree(files, folder.strip("/"), recursive))
        if folder and not entries:
            raise refusal(404, f"{folder} does not exist", "EntryNotFound")
        return entries

    @app.post("/api/datasets/{owner}/{name}/paths-info/{revision:path}")
    async def paths_info(owner: str, name: str, revision: str, request: Request) -> Any:
        files = hub.find(f"{owner}/{name}", request).commit_at(revision).files
        wanted = parse_qs((await request.body()).decode()).get("paths", [])
        folders = {folder for path in files for folder in _folders_of(path)}
        return [files[path].entry(path) for path in wanted if path in files] + [
            _folder_entry(path) for path in wanted if path in folders
        ]


def _tree(files: dict[str, StoredFile], folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
    """Yield the entries below a folder, or directly in it."""
    prefix = f"{folder}/" if folder else ""
    entries = {path: file.entry(path) for path, file in files.items()}
    entries |= {name: _folder_entry(name) for path in files for name in _folders_of(path)}
    for path, entry in sorted(entries.items()):
        if path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :]):
            yield entry


def _folders_of(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _folder_entry(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}


def _serve_files(app: FastAPI, hub: Hub) -> None:
    @app.api_route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    async def resolve(owner: str, name: str, revision: str, path: str, request: Request) -> Any:
        commit = hub.find(f"{owner}/{name}", request).commit_at(revision)
        if path not in commit.files:
            missing = refusal(404, "Entry not found", "EntryNotFound")
            missing.headers = {**(missing.headers or {}), "X-Repo-Commit": commit.oid}
            raise missing
        file = commit.files[path]
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes", "ETag": f'"{file.oid}"'}
        if file.is_lfs:
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size)}
        return _ranged(hub.blobs[file.oid], request, headers)


def _ranged(content: bytes, request: Request, headers: dict[str, str]) -> Response:
    """Answer with the whole content, or with the one range that is asked for."""
    start, stop = _range(request.headers.get("range", ""), len(content))
    is_part = "range" in request.headers
    if is_part:
        headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    headers = headers | {"Content-Length": str(stop - start)}
    body = b"" if request.method == "HEAD" else content[start:stop]
    return Response(body, 206 if is_part else 200, headers, media_type="application/octet-stream")


def _range(asked: str, size: int) -> tuple[int, int]:
    """Return start and end of `bytes=2-5`, `bytes=2-` or `bytes=-3`; all of it when nothing is asked."""
    if not asked:
        return 0, size
    first, _, last = asked.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if start >= size:
        raise HTTPException(416, "The range lies outside the file", {"Content-Range": f"bytes */{size}"})
    return start, stop
