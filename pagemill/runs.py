"""Finds what a run of the book pipeline has left in the store, as far as it came."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pagemill.documents import read_drops
from pagemill.errors import UserError
from pagemill.ledger import READINGS_FOLDER, read_readings, readings_in
from pagemill.manifest import Manifest, find_manifest
from pagemill.records import (
    Archive,
    BookRecord,
    DatasetFile,
    Drop,
    Duplicate,
    FetchedArchive,
    MemberRecord,
    PageRecord,
    PdfRecord,
    Row,
)
from pagemill.storage import Store

RUN_FILE = "run.json"  # in a run's folder: the pipeline's arguments

SHARD_STAGES: dict[str, type[Row]] = {
    "fetch_archives": FetchedArchive,
    "extract_pdfs": MemberRecord,
    "inspect_pdfs": PdfRecord,
    "recognize_pages": BookRecord,
    "clean_documents": BookRecord,
    "chunk_documents": BookRecord,
}


@dataclasses.dataclass(frozen=True)
class ShardRun:
    """A shard's archives, and by stage the manifests of what it has been through."""

    archives: tuple[Archive, ...]
    manifests: dict[str, Manifest[Any]]
    ledgers: dict[str, tuple[str, ...]]  # by PDF: store names of its page rows, as far as it was read

    def rows(self, stage: str) -> tuple[Any, ...]:
        """Return the rows of a stage; none when it was not reached."""
        return self.manifests[stage].rows if stage in self.manifests else ()


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: what was discovered, what became of each shard, and duplicates and dataset if it came that far."""

    archives: Manifest[Archive] | None = None
    shards: tuple[ShardRun, ...] = ()
    duplicates: Manifest[Duplicate] | None = None
    dataset: Manifest[DatasetFile] | None = None

    def manifests(self) -> Iterator[Manifest[Any]]:
        """Yield all manifests in the order of the road."""
        if self.archives:
            yield self.archives
        for stage in SHARD_STAGES:
            yield from (shard.manifests[stage] for shard in self.shards if stage in shard.manifests)
        yield from filter(None, (self.duplicates, self.dataset))


def find_run(store: Store, parameters: Mapping[str, Any]) -> Run:
    """Return the run that was started with these parameters of the pipeline, as far as it came.

    Raises:
        UserError: `max_shards` is no number of shards.
    """
    archives = find_manifest(store, "discover_archives", Archive, [], parameters)
    if archives is None:
        return Run()
    shards = tuple(
        _find_shard(store, shard, parameters) for shard in _plan(archives, parameters.get("max_shards", 100))
    )
    duplicates = _find_duplicates(store, shards, parameters)
    return Run(archives, shards, duplicates, _find_dataset(store, shards, duplicates, parameters))


def run_pages(store: Store, run: Run) -> Iterator[PageRecord]:
    """Yield the page rows of each PDF once, also of books that are still being read."""
    ledgers = {sha256: names for shard in run.shards for sha256, names in shard.ledgers.items()}
    for names in ledgers.values():
        yield from read_readings(store, names)


def run_drops(store: Store, run: Run) -> Iterator[Drop]:
    """Yield what the profile's rules left out, pages and books, of each PDF once."""
    stage = "clean_documents"
    yield from read_drops(store, [shard.manifests[stage] for shard in run.shards if stage in shard.manifests])


def read_run_ledger(folder: Path) -> Iterator[PageRecord]:
    """Yield the page rows of a run, each once, by the arguments that `pagemill run` left in its folder.

    Raises:
        FileNotFoundError: The store is not there any more.
    """
    store, run = _run_of(folder)
    yield from run_pages(store, run)


def read_run_drops(folder: Path) -> Iterator[Drop]:
    """Yield what rules left out of a run, by the arguments that `pagemill run` left in its folder."""
    store, run = _run_of(folder)
    yield from run_drops(store, run)


def _run_of(folder: Path) -> tuple[Store, Run]:
    arguments = json.loads((folder / RUN_FILE).read_text())
    store = Store(arguments["store"])
    return store, find_run(store, arguments)


def _plan(archives: Manifest[Archive], max_shards: Any) -> list[tuple[Archive, ...]]:
    from pagemill.archives.shards import balance

    try:
        return balance(archives.rows, int(float(max_shards)))
    except ValueError as error:
        raise UserError(f"max_shards {max_shards}", "is no number of shards", "give a number from 1 to 100") from error


def _find_shard(store: Store, archives: tuple[Archive, ...], parameters: Mapping[str, Any]) -> ShardRun:
    from pagemill.archives.shards import PLAN

    fingerprints = {"archives": sorted(archive.fingerprint for archive in archives)}
    # What the plan's manifest is called follows from its archives: no need to look for it.
    parent: Manifest[Any] = Manifest(PLAN.name, PLAN.version, (), fingerprints, archives, {})
    found: dict[str, Manifest[Any]] = {}
    for stage, row in SHARD_STAGES.items():
        manifest = find_manifest(store, stage, row, [parent], parameters)
        if manifest is None:
            break
        found[stage] = parent = manifest
    return ShardRun(archives, found, _find_ledgers(store, found))


def _find_ledgers(store: Store, found: Mapping[str, Manifest[Any]]) -> dict[str, tuple[str, ...]]:
    if "recognize_pages" in found:
        return {row.pdf_sha256: (row.result,) for row in found["recognize_pages"].rows if row.result}
    if "inspect_pdfs" not in found:
        return {}
    return _find_unfinished(store, {pdf.pdf_sha256 for pdf in found["inspect_pdfs"].rows})


def _find_unfinished(store: Store, pdfs: set[str]) -> dict[str, tuple[str, ...]]:
    """Return what was read of PDFs so far: in the folder with ranges of pages, or in the only one.

    Which configuration reads them is not recorded before the stage is done. Where several could, none is taken.
    """
    in_folders = []
    for folder in store.folders(READINGS_FOLDER):
        of_pdfs = {pdf: tuple(names) for pdf, names in readings_in(store, folder).items() if pdf in pdfs}
        if of_pdfs:
            in_folders.append((of_pdfs, store.folders(folder)))
    being_read = [of_pdfs for of_pdfs, begun in in_folders if begun] or [of_pdfs for of_pdfs, _ in in_folders]
    return being_read[0] if len(being_read) == 1 else {}


def _find_duplicates(
    store: Store, shards: tuple[ShardRun, ...], parameters: Mapping[str, Any]
) -> Manifest[Duplicate] | None:
    documents = _manifests_of_all(shards, "clean_documents")
    return find_manifest(store, "find_duplicates", Duplicate, documents, parameters) if documents else None


def _find_dataset(
    store: Store, shards: tuple[ShardRun, ...], duplicates: Manifest[Duplicate] | None, parameters: Mapping[str, Any]
) -> Manifest[DatasetFile] | None:
    chunks = _manifests_of_all(shards, "chunk_documents")
    if not chunks or duplicates is None:
        return None
    return find_manifest(store, "build_dataset", DatasetFile, [*chunks, duplicates], parameters)


def _manifests_of_all(shards: tuple[ShardRun, ...], stage: str) -> list[Manifest[Any]]:
    """Return the manifests of a stage that all shards have been through, [] when one has not."""
    found = [shard.manifests[stage] for shard in shards if stage in shard.manifests]
    return found if len(found) == len(shards) else []
