"""Pages read by batch prediction: what comes out is what a worker gives."""

import pytest

from pagemill.errors import UserError
from pagemill.ocr.remote import collect_predictions, predict_pages, write_instances
from pagemill.records import Reason, Status
from tests.e2e.remote.conftest import (
    BOOK,
    BOOKS,
    LEAFLET,
    assert_same,
    outcomes,
)
from tests.light_books import BROKEN, digest
from tests.remote import predict_batch


def test_batch_prediction_gives_the_manifest_and_the_ledgers_of_a_worker(shard, server, checkpoint, by_worker):
    pdfs, store = shard()

    written = write_instances(pdfs, store, pages_per_instance=4)
    assert (written.instances, written.pages) == (4, 9)
    assert write_instances(pdfs, store, pages_per_instance=4) == written
    predictions = predict_batch(server.url, [written.uri], store.uri_of("out"))
    manifest = collect_predictions(pdfs, store, predictions, checkpoint=checkpoint)

    expected = by_worker[1]["none"]
    assert (manifest, manifest.name) == (expected, expected.name)
    assert_same(store, manifest, by_worker, *BOOKS)


def test_pages_that_a_job_failed_on_are_failed_and_another_way_reads_them_again(
    shard, server, door, checkpoint, by_worker
):
    pdfs, store = shard(BOOK, LEAFLET)
    written = write_instances(pdfs, store, pages_per_instance=4)

    predictions = predict_batch(
        server.url, [written.uri], store.uri_of("out"), fails=lambda instance: instance["pages"] == "5-6"
    )
    manifest = collect_predictions(pdfs, store, predictions, checkpoint=checkpoint)

    lost = {page for page, found in outcomes(store, manifest, BOOK).items() if found[1] is Reason.MODEL_ERROR}
    assert lost == {4, 5, 6}  # on page 4 the model fails itself
    assert_same(store, manifest, by_worker, LEAFLET)
    again = predict_pages(pdfs, store, endpoint=door.address, checkpoint=checkpoint, retry="failed")
    assert outcomes(store, again, BOOK) == outcomes(by_worker[0], by_worker[1]["none"], BOOK)


def test_a_job_without_predictions_is_told_in_one_line_and_leaves_nothing(shard, server, checkpoint):
    pdfs, store = shard(LEAFLET)
    written = write_instances(pdfs, store)
    predictions = predict_batch(server.url, [written.uri], store.uri_of("out"), fails=lambda instance: True)
    with pytest.raises(UserError, match=r"holds no prediction \(the server failed\)"):
        collect_predictions(pdfs, store, predictions, checkpoint=checkpoint)
    assert store.folders("readings") == []


def test_a_job_that_could_not_fetch_a_pdf_is_told_in_one_line(shard, server, checkpoint):
    pdfs, store = shard(LEAFLET)
    written = write_instances(pdfs, store)
    store.delete(f"pdf/{digest(LEAFLET)}.pdf")
    predictions = predict_batch(server.url, [written.uri], store.uri_of("out"))
    with pytest.raises(UserError, match=r"holds no page that was asked for \(not_found: there is no such file\)"):
        collect_predictions(pdfs, store, predictions, checkpoint=checkpoint)


def test_a_shard_without_a_page_still_gives_a_job_something_to_do(shard, server, checkpoint):
    pdfs, store = shard(BROKEN)
    written = write_instances(pdfs, store)
    assert (written.instances, written.pages) == (1, 0)
    predictions = predict_batch(server.url, [written.uri], store.uri_of("out"))

    manifest = collect_predictions(pdfs, store, predictions, checkpoint=checkpoint)
    assert outcomes(store, manifest, BROKEN) == {0: (Status.FAILED, Reason.BROKEN_PDF)}


def test_batch_prediction_needs_a_bucket_and_reads_once(given, shard):
    with pytest.raises(UserError, match="is no bucket"):
        write_instances(given[1], given[0])
    with pytest.raises(UserError, match="is nothing that batch prediction does"):
        write_instances(*shard(LEAFLET), retry="failed")


def test_the_components_hand_files_and_metadata_on(tmp_path, shard, server, checkpoint):
    from kfp.dsl import Artifact, Dataset

    from pagemill.components.collect_predictions import collect_predictions as collect
    from pagemill.components.predict_pages import predict_pages as predict
    from pagemill.components.write_instances import write_instances as write

    manifest, store = shard(LEAFLET)
    pdfs, pages, same = (Dataset(uri=str(tmp_path / name)) for name in ("pdfs", "pages", "same"))
    manifest.write(pdfs.path)
    model = "projects/mill/locations/europe-west4/models/3@1"

    uris, destination, location, model_uri = write.python_func(pdfs, store.uri, model)
    predictions = Artifact(uri=predict_batch(server.url, uris, destination))
    collect.python_func(pdfs, predictions, store.uri, pages, checkpoint)
    predict.python_func(pdfs, store.uri, server.url, same, checkpoint)

    assert (location, model_uri) == ("europe-west4", f"https://europe-west4-aiplatform.googleapis.com/v1/{model}")
    assert pages.metadata["pages_ok"] == 2
    assert (tmp_path / "pages").read_text() == (tmp_path / "same").read_text()
