"""Manifests: what a stage made of which inputs with which parameters, found again by all three."""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from pagemill import __version__
from pagemill.records import Row
from pagemill.storage import Store, digest

RowT = TypeVar("RowT", bound=Row)

ROOT = "root"  # stands for the parents of a manifest that has none


@dataclasses.dataclass(frozen=True)
class Manifest(Generic[RowT]):
    """The result of a stage: small rows that point into the store.

    `parameters` decide the result and are part of the key; `settings` (workers, device, the path of
    a checkpoint whose digest is a parameter) do not. `seconds` and `finished` are measured, so they
    alone may differ between two runs of the same work.
    """

    stage: str
    version: int
    parents: tuple[str, ...]  # store names of the manifests that this one was made from
    parameters: dict[str, Any]
    rows: tuple[RowT, ...]
    counts: dict[str, int]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    seconds: float = dataclasses.field(default=0.0, compare=False)
    finished: str = dataclasses.field(default="", compare=False)  # ISO 8601, UTC

    @property
    def config_key(self) -> str:
        """Digest of the stage, its version and its parameters: the name of its folder of results."""
        return _config_key(self.stage, self.version, self.parameters)

    @property
    def name(self) -> str:
        """Where this manifest lies in the store."""
        return f"{_folder(self.stage, self.parents)}/{self.config_key}.json"

    def lineage(self) -> dict[str, str | int | float]:
        """Return the metadata that an artifact of this manifest carries."""
        return {
            "manifest": self.name,
            "stage": self.stage,
            "stage_version": self.version,
            "pagemill_version": __version__,
            "config_digest": self.config_key,
            "parameters": json.dumps(self.parameters, sort_keys=True),
            "seconds": round(self.seconds, 3),
            **self.counts,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as plain JSON values."""
        return dataclasses.asdict(self) | {"rows": [row.to_dict() for row in self.rows]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], row: type[RowT]) -> "Manifest[RowT]":
        """Build a manifest from `to_dict` values."""
        rows = tuple(row.from_dict(each) for each in values["rows"])
        return cls(**{**values, "parents": tuple(values["parents"]), "rows": rows})

    def write(self, path: str | Path) -> None:
        """Write the manifest to a local file, as KFP artifacts are."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(self.to_dict(), sort_keys=True, indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path, row: type[RowT]) -> "Manifest[RowT]":
        """Read a manifest from a local file."""
        return cls.from_dict(json.loads(Path(path).read_text()), row)

    @classmethod
    def load(cls, store: Store, name: str, row: type[RowT]) -> "Manifest[RowT]":
        """Read a manifest from the store, such as a parent's; raises FileNotFoundError."""
        return cls.from_dict(store.read_json(name), row)


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[RowT]):
    """What the body of a stage returns: its rows, and counts beyond their number and statuses."""

    rows: Sequence[RowT]
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Stage(Generic[RowT]):
    """A step of the road: its name, the version of its behaviour and the type of its rows.

    Raise `version` whenever the same input would give another result: old results are then left alone.
    """

    name: str
    version: int
    row: type[RowT]

    def config_key(self, parameters: Mapping[str, Any]) -> str:
        """Digest of the stage, its version and its parameters: the name of its folder of results."""
        return _config_key(self.name, self.version, parameters)

    def once(
        self,
        store: Store,
        parents: Sequence[Manifest[Any]],
        parameters: Mapping[str, Any],
        body: Callable[[], Outcome[RowT]],
        settings: Mapping[str, Any] | None = None,
    ) -> Manifest[RowT]:
        """Return the manifest of this work, doing the work only when the store has none of it."""
        names = tuple(parent.name for parent in parents)
        path = f"{_folder(self.name, names)}/{self.config_key(parameters)}.json"
        if store.exists(path):
            return Manifest.load(store, path, self.row)
        started = time.monotonic()
        outcome = body()
        return self.record(store, names, parameters, outcome, settings or {}, time.monotonic() - started)

    def record(
        self,
        store: Store,
        parents: tuple[str, ...],
        parameters: Mapping[str, Any],
        outcome: Outcome[RowT],
        settings: Mapping[str, Any],
        seconds: float,
    ) -> Manifest[RowT]:
        """Write the manifest of work that was done."""
        manifest = Manifest(
            stage=self.name,
            version=self.version,
            parents=parents,
            parameters=dict(parameters),
            rows=tuple(outcome.rows),
            counts=_counts(outcome.rows) | dict(outcome.counts),
            settings=dict(settings),
            seconds=seconds,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        store.write_json(manifest.name, manifest.to_dict())
        return manifest


def find_manifest(
    store: Store, stage: str, row: type[RowT], parents: Sequence[Manifest[Any]], wanted: Mapping[str, Any]
) -> Manifest[RowT] | None:
    """Return the manifest a stage made from `parents` with parameters as `wanted`, or None.

    Of several the one whose settings agree best is taken, then the latest. Only names that both
    sides have are compared, as text: what comes through a pipeline has lost its types.
    """
    folder = _folder(stage, tuple(parent.name for parent in parents))
    manifests = (Manifest.load(store, name, row) for name in store.names(folder))
    agreeing = [each for each in manifests if _differences(each.parameters, wanted) == 0]
    return max(agreeing, key=lambda each: (-_differences(each.settings, wanted), each.finished), default=None)


def _differences(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    return sum(_untyped(known[name]) != _untyped(wanted[name]) for name in known.keys() & wanted.keys())


def _untyped(value: Any) -> str | float:
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return text


def _config_key(stage: str, version: int, parameters: Mapping[str, Any]) -> str:
    return digest({"stage": stage, "version": version, "parameters": dict(parameters)})[:32]


def _folder(stage: str, parents: tuple[str, ...]) -> str:
    return f"manifests/{stage}/{digest(sorted(parents))[:32] if parents else ROOT}"


def _counts(rows: Iterable[Row]) -> dict[str, int]:
    rows = list(rows)
    statuses = Counter(str(status) for row in rows if (status := getattr(row, "status", None)))
    return {"rows": len(rows), **{f"rows_{status}": number for status, number in sorted(statuses.items())}}
