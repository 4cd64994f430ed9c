"""The pipeline with everything in a bucket, archives in, store, dataset out, and each task started from nothing."""

import re

import gcsfs

from tests.e2e.conftest import DEMO, PAGEMILL, Place
from tests.servers import gcs_server


def test_a_bucket_holds_archives_pdfs_texts_chunks_and_dataset(tmp_path):
    place = Place(tmp_path, "gs://library/in", "gs://library/store", "gs://library/out", program=(PAGEMILL,))
    with gcs_server():
        bucket = gcsfs.GCSFileSystem(token="anon", project="books", skip_instance_cache=True)
        bucket.mkdir("library")
        bucket.put_file(str(DEMO / "samples" / "secret.rar"), "library/in/secret.rar")
        place.run()
        files = bucket.find("library")
    kinds = {(name.split("/")[1], name.split("/")[2], name.rpartition(".")[2]) for name in files}
    assert {
        ("store", "raw", "rar"),
        ("store", "pdf", "pdf"),
        ("store", "pages", "jsonl"),
        ("store", "documents", "mmd"),
        ("store", "documents", "json"),
        ("store", "chunks", "jsonl"),
        ("store", "datasets", "parquet"),
        ("store", "datasets", "zst"),
        ("out", "data", "parquet"),
        ("out", "README.md", "md"),
    } <= kinds
    assert not [name for name in files if re.search(r"\.tmp-|\.jsonl\.\d", name)], "nothing half-written is left"
