"""Sources of archives: what lies in a folder, a bucket, a dataset repository or behind a web page."""

import dataclasses
import glob
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from fsspec.utils import glob_translate

from pagemill.download import version_of
from pagemill.errors import UserError
from pagemill.storage import WEB_PROTOCOLS, filesystem_of

_WILDCARD = re.compile(r"[*?\[]")
_MODIFIED_FIELDS = ("mtime", "updated", "LastModified", "Last-Modified", "last_modified", "last_commit", "created")


@dataclasses.dataclass(frozen=True, slots=True)
class SourceFile:
    """A file at the source; `name` is its path below the source's root."""

    name: str
    uri: str
    size_bytes: int  # 0 when the source does not tell
    version: str
    modified: str


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """The files below a root, and the glob that a source with wildcards asks of their names."""

    files: tuple[SourceFile, ...]
    wanted: str  # "" when the source is a folder; matches one name when it is a single file


def list_source(source: str) -> Listing:
    """List what a source holds.

    Raises:
        UserError: the source does not exist or cannot be reached.
    """
    if urlsplit(source).password is not None:
        bare = source.replace(urlsplit(source).netloc, urlsplit(source).hostname or "")
        raise UserError(
            bare, "comes with a password, which manifests would keep", "name a source that needs none, such as a bucket"
        )
    try:
        listing = _list_web(source) if source.startswith(WEB_PROTOCOLS) else _list_tree(source)
    except FileNotFoundError as error:
        raise UserError(source, "does not exist", "check the path or URL of the source") from error
    except Exception as error:  # whatever the file system of that protocol raises
        reason = f"cannot be read ({type(error).__name__}: {error})"
        raise UserError(source, reason, "check the address, the network and the credentials") from error
    return listing


def modified_of(info: dict[str, Any]) -> str:
    """Return when the file was last changed, in ISO 8601 and UTC; "" if the source does not say."""
    for field in _MODIFIED_FIELDS:
        if value := info.get(field):
            return _iso(value)
    return ""


def _list_tree(source: str) -> Listing:
    filesystem, path = filesystem_of(source)
    if filesystem.isfile(path):
        root, _, wanted = path.rpartition("/")
        return Listing(_files_in(filesystem, root, 1), glob.escape(wanted))
    root, wanted = _split_glob(path)
    if not filesystem.isdir(root):
        raise FileNotFoundError(root)
    return Listing(_files_in(filesystem, root, None), wanted)


def _files_in(filesystem: Any, root: str, depth: int | None) -> tuple[SourceFile, ...]:
    options = {"expand_info": True} if "hf" in filesystem.protocol else {}
    found = filesystem.find(root, maxdepth=depth, detail=True, **options)
    return tuple(_source_file(filesystem, root, path, info) for path, info in sorted(found.items()))


def _source_file(filesystem: Any, root: str, path: str, info: dict[str, Any]) -> SourceFile:
    name = path.removeprefix(root.rstrip("/")).lstrip("/")
    uri = filesystem.unstrip_protocol(path)
    return SourceFile(name, uri, int(info.get("size") or 0), version_of(info), modified_of(info))


def _split_glob(path: str) -> tuple[str, str]:
    """Cut a path with wildcards into the folder before the first of them and the glob below it."""
    wildcard = _WILDCARD.search(path)
    if wildcard is None:
        return path.rstrip("/"), ""
    root, _, _ = path[: wildcard.start()].rpartition("/")
    return root, path[len(root) :].lstrip("/")


def _list_web(source: str) -> Listing:
    """List a directory index page, or a single file together with its fellow volumes on that page."""
    filesystem, _ = filesystem_of(source)
    if urlsplit(source).path.endswith("/"):
        return Listing(_web_files(filesystem, source, filesystem.ls(source, detail=False)), "")
    if filesystem.info(source).get("mimetype") == "text/html":
        return Listing(_web_files(filesystem, source, filesystem.ls(source, detail=False)), "")
    return Listing(
        _web_files(filesystem, source, [source, *_neighbours(filesystem, source)]), glob.escape(_web_name(source))
    )


def _neighbours(filesystem: Any, source: str) -> list[str]:
    """Return what the index page beside a file links to: [] where there is no such page."""
    try:
        return list(filesystem.ls(source.rpartition("/")[0] + "/", detail=False))
    except Exception:  # a server need not show an index
        return []


def _web_files(filesystem: Any, page: str, links: list[str]) -> tuple[SourceFile, ...]:
    from pagemill.archives.volumes import has_archive_suffix

    folder = page.rpartition("/")[0] + "/"
    archives = sorted({link for link in links if link.startswith(folder) and has_archive_suffix(_web_name(link))})
    return tuple(_web_file(filesystem, url) for url in archives)


def _web_file(filesystem: Any, url: str) -> SourceFile:
    info = filesystem.info(url)
    return SourceFile(_web_name(url), url, int(info.get("size") or 0), version_of(info), modified_of(info))


def _web_name(url: str) -> str:
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])


def matches(name: str, pattern: str) -> bool:
    """Say whether a name matches a glob, in any case: the whole path if the glob has a slash, else its last part."""
    return matches_path(name if "/" in pattern else name.rsplit("/", 1)[-1], pattern)


def matches_path(path: str, pattern: str) -> bool:
    """Say whether a whole path matches a glob, in any case; only `**` matches across slashes."""
    return re.match(glob_translate(pattern.casefold()), path.casefold()) is not None


def _iso(value: Any) -> str:
    moment = _moment(value)
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, str):
        return getattr(value, "date", None)  # a commit of the Hub
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return _web_date(value)


def _web_date(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value)
    except ValueError:
        return None
