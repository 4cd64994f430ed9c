"""A small dataset as `build_dataset` leaves it in a store, for tests of what comes after."""

import hashlib
from collections.abc import Mapping

from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.records import DatasetFile
from pagemill.storage import Store

CARD = b"---\nlicense: other\n---\n# Books\n"
FIRST_SHARD = "data/chunks/train-00000-of-00002.parquet"
SECOND_SHARD = "data/chunks/train-00001-of-00002.parquet"
JSONL = "jsonl/chunks/train-00000-of-00002.jsonl.zst"
FILES = {"README.md": CARD, FIRST_SHARD: b"first shard", SECOND_SHARD: b"second shard", JSONL: b"the same as JSONL"}


def built(store: Store, files: Mapping[str, bytes] = FILES) -> Manifest[DatasetFile]:
    """Return the manifest of a built dataset with these files."""
    rows = []
    for path, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        store.write_bytes(f"dataset/{sha256}", content)
        config = "" if path == "README.md" else path.split("/")[1]
        rows.append(DatasetFile(path, f"dataset/{sha256}", sha256, len(content), 1 if config else 0, config))
    stage = Stage("build_dataset", 1, DatasetFile)
    return stage.once(store, [], {"files": [row.to_dict() for row in rows]}, lambda: Outcome(rows))
