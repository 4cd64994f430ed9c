"""Fetch a shard's archives and extract their PDFs."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def extract_pdfs(
    shard: str,
    store: str,
    members: Output[Dataset],
    passwords: str = "",
    max_members: int = 100_000,
    max_member_bytes: int = 4 << 30,
    max_archive_bytes: int = 64 << 30,
    max_ratio: float = 1000.0,
    max_depth: int = 2,
    time_limit_seconds: float = 3600.0,
) -> None:
    """Fetch the archives of one shard into the store and extract the PDFs in them.

    Args:
        shard: Store name of the shard's manifest, from plan_shards.
        store: URI of the store.
        members: One row for every member of every archive. Metadata: manifest, stage, stage_version, pagemill_version,
            config_digest, parameters, seconds, rows, rows_<status>, archives, members, pdfs, pdfs_distinct,
            bytes_extracted.
        passwords: Passwords, one a line, tried in order: a file, or a secret by `env:NAME` or
            `secret:projects/P/secrets/S`. Only this name is recorded: give another name when the passwords change.
        max_members: Members of one archive that are looked at.
        max_member_bytes: Size of one member, in bytes.
        max_archive_bytes: Size of all that comes out of one archive, in bytes.
        max_ratio: Bytes out for each byte in.
        max_depth: How deep archives inside archives are opened.
        time_limit_seconds: Time for one archive.
    """
    from pagemill import archives as room
    from pagemill.storage import Store

    at = Store(store)
    manifest = room.extract_pdfs(
        room.fetch_archives(room.read_shard(shard, at), at),
        at,
        passwords=passwords,
        max_members=max_members,
        max_member_bytes=max_member_bytes,
        max_archive_bytes=max_archive_bytes,
        max_ratio=max_ratio,
        max_depth=max_depth,
        time_limit_seconds=time_limit_seconds,
    )
    manifest.write(members.path)
    members.metadata.update(manifest.lineage())
