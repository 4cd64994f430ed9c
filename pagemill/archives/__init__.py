"""RAR archives: finding them at a source, bringing them into the store and taking the PDFs out."""

from pagemill.archives.discover import discover_archives, fingerprint_of
from pagemill.archives.extract import extract_members, extract_pdfs
from pagemill.archives.fetch import FetchError, fetch_archives
from pagemill.archives.names import safe_member_path
from pagemill.archives.shards import balance, plan_shards, read_shard

__all__ = [
    "FetchError",
    "balance",
    "discover_archives",
    "extract_members",
    "extract_pdfs",
    "fetch_archives",
    "fingerprint_of",
    "plan_shards",
    "read_shard",
    "safe_member_path",
]
