"""How far a run is by what lies in its store, looked at again and again: what was found once is not read again."""

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pagemill.archives.shards import PLAN, balance
from pagemill.ledger import READINGS_FOLDER
from pagemill.manifest import Manifest, find_manifest
from pagemill.records import Archive, Status
from pagemill.runs import SHARD_STAGES
from pagemill.storage import Store

READ, INSPECTED = "recognize_pages", "inspect_pdfs"
PART = ".jsonl"  # of what was read; other endings mark ranges that are being read


@dataclasses.dataclass(frozen=True, slots=True)
class StoreProgress:
    """Shards and pages of a run, so far."""

    shards: int = 0
    shards_done: int = 0
    pages: int = 0  # of all shards; from their bytes for shards that were not inspected yet
    pages_are_known: bool = False
    pages_done: int = 0
    pages_since: int = 0  # of these, read since the run began
    pages_failed: int = 0  # in shards that were read to their end


@dataclasses.dataclass(slots=True)
class _Shard:
    """What is known of a shard."""

    archive_bytes: int
    parent: Manifest[Any]  # of the stage that comes next
    stages_done: int = 0
    pages_of: dict[str, int] = dataclasses.field(default_factory=dict)  # by PDF
    inspected: bool = False
    read: str = ""  # when it was read to its end, ISO 8601
    pages_failed: int = 0

    @property
    def pages(self) -> int:
        return sum(self.pages_of.values())

    def take(self, stage: str, manifest: Manifest[Any]) -> None:
        """Learn from a stage's manifest; of its rows only what is shown is kept."""
        self.stages_done += 1
        if stage == INSPECTED:
            self.inspected = True
            self.pages_of = {pdf.pdf_sha256: pdf.num_pages for pdf in manifest.rows if pdf.status == Status.OK}
        if stage == READ:
            self.read, self.pages_failed = manifest.finished, manifest.counts.get("pages_failed", 0)
        self.parent = dataclasses.replace(manifest, rows=())


class StoreWatch:
    """Looks how far a run is: a listing a stage, and one of what is being read; each manifest is read once."""

    def __init__(self, store: Store, parameters: Mapping[str, Any]) -> None:
        self.store, self.parameters = store, parameters
        self._shards: list[_Shard] = []

    def look(self, since: datetime.datetime | None = None) -> StoreProgress:
        """Return how far the run is; `since` is when it began.

        Raises:
            OSError: The store cannot be read.
        """
        self._find_shards()
        for stage in SHARD_STAGES:
            self._look_for(stage)
        inspected = [shard for shard in self._shards if shard.inspected]
        unread = {pdf: pages for shard in inspected if not shard.read for pdf, pages in shard.pages_of.items()}
        being_read = sum(self._pages_read(unread).values())
        return StoreProgress(
            shards=len(self._shards),
            shards_done=sum(shard.stages_done == len(SHARD_STAGES) for shard in self._shards),
            pages=self._all_pages(inspected),
            pages_are_known=bool(inspected) and len(inspected) == len(self._shards),
            pages_done=being_read + sum(shard.pages for shard in inspected if shard.read),
            pages_since=being_read + sum(shard.pages for shard in inspected if _is_since(shard.read, since)),
            pages_failed=sum(shard.pages_failed for shard in inspected),
        )

    def _find_shards(self) -> None:
        if self._shards:
            return
        archives = find_manifest(self.store, "discover_archives", Archive, [], self.parameters)
        if archives is None:
            return
        plan = balance(archives.rows, int(float(self.parameters.get("max_shards", 100))))
        for shard in plan:
            fingerprints = {"archives": sorted(archive.fingerprint for archive in shard)}
            parent: Manifest[Any] = Manifest(PLAN.name, PLAN.version, (), fingerprints, (), {})
            self._shards.append(_Shard(sum(archive.size_bytes for archive in shard), parent))

    def _look_for(self, stage: str) -> None:
        """Take the manifests of a stage for the shards that come to it next."""
        number = list(SHARD_STAGES).index(stage)
        waiting = [shard for shard in self._shards if shard.stages_done == number]
        there = set(self.store.folders(f"manifests/{stage}")) if waiting else set()
        for shard in waiting:
            if _folder(stage, shard.parent) in there:
                manifest = find_manifest(self.store, stage, SHARD_STAGES[stage], [shard.parent], self.parameters)
                if manifest:
                    shard.take(stage, manifest)

    def _all_pages(self, inspected: list[_Shard]) -> int:
        """Return the pages of all shards; those that were not inspected have as many for their bytes as the others."""
        pages = sum(shard.pages for shard in inspected)
        known_bytes = sum(shard.archive_bytes for shard in inspected)
        all_bytes = sum(shard.archive_bytes for shard in self._shards)
        return round(pages * all_bytes / known_bytes) if known_bytes else pages

    def _pages_read(self, pages_of: Mapping[str, int]) -> Counter[str]:
        """Return how many pages of PDFs that are being read lie in the store, by names of files alone.

        Which configuration reads them is not recorded before the stage is done; one that has ranges of pages is taken
        before those that have whole books only.
        """
        by_folder = [
            self._listed(folder, pages_of) for folder in (self.store.folders(READINGS_FOLDER) if pages_of else ())
        ]
        being_read = [found for found, ranges in by_folder if ranges] or [found for found, _ in by_folder]
        pages: Counter[str] = Counter()
        for found in being_read:
            pages |= found  # the greater of each
        return pages

    def _listed(self, folder: str, pages_of: Mapping[str, int]) -> tuple[Counter[str], bool]:
        """Return the pages under one configuration by PDF, and whether any lie there as ranges."""
        filesystem = self.store.filesystem
        root = self.store.path(folder)
        filesystem.invalidate_cache(root)
        found: Counter[str] = Counter()
        ranges = False
        for path in filesystem.find(root):
            pdf, _, part = path.split(f"/{folder}/", 1)[-1].removesuffix(PART).partition("/")
            if not path.endswith(PART) or pdf not in pages_of:
                continue
            ranges = ranges or bool(part)
            found[pdf] = min(found[pdf] + (_span(part) if part else pages_of[pdf]), pages_of[pdf])
        return found, ranges


def _span(part: str) -> int:
    """Return how many pages the name of a range tells of: "000001-000032-<token>"."""
    first, last, _ = part.split("-", 2)
    return int(last) - int(first) + 1


def _is_since(finished: str, since: datetime.datetime | None) -> bool:
    if not finished:
        return False
    return since is None or datetime.datetime.fromisoformat(finished) >= since.replace(microsecond=0)


def _folder(stage: str, parent: Manifest[Any]) -> str:
    """Return the folder of what a stage makes of a manifest."""
    child: Manifest[Any] = Manifest(stage, 0, (parent.name,), {}, (), {})
    return child.name.rpartition("/")[0]
