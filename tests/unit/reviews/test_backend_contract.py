"""The backend against its own OpenAPI: whatever it lets a client send gets one of the answers that it tells of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from pagemill.reviews.backend.app import create_app
from pagemill.reviews.backend.desk import Desk, open_desk
from pagemill.reviews.wire import HEALTH_ROUTE
from pagemill.settings import DecksSettings
from tests.deck_containers import TOKEN
from tests.decks import FOLDER, PARCELS
from tests.flow_databases import postgres

PDF = FOLDER / f"{PARCELS}.pdf"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
# What has the right form may still be refused: bytes that are no PDF, pipelines that there are not; and queries that
# nobody asked for do no harm.
EXCLUDED = [positive_data_acceptance, negative_data_rejection, ignored_auth]

schemathesis.openapi.media_type("application/pdf", st.sampled_from([PDF.read_bytes(), b"", b"%PDF-", b"notes"]))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk on PostgreSQL, which is stricter than SQLite about what a column takes."""
    store = tmp_path_factory.mktemp("store")
    with open_desk(DecksSettings(store=str(store), database=postgres().flow_database())) as made:
        yield made


@pytest.mark.parametrize("mode", GenerationMode)
def test_the_backend_answers_as_its_openapi_says(desk: Desk, mode: GenerationMode) -> None:
    pipeline = desk.add_document_processing_pipeline(Path(PDF))
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(desk, TOKEN), headers=BEARER)
    checked = set[str]()
    operations = [each.ok() for each in schema.get_all_operations()]
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.path == HEALTH_ROUTE:
            continue  # it takes nothing that could be wrong

        @settings(max_examples=5, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
        def answers(case: Any, is_known: bool) -> None:
            checked.add(case.operation.path)
            if is_known and mode is GenerationMode.POSITIVE and "pipeline_id" in case.path_parameters:
                case.path_parameters["pipeline_id"] = pipeline
            case.validate_response(case.call(headers=BEARER), excluded_checks=EXCLUDED)

        answers()

    paths = {operation.path for operation in operations}
    assert checked == (paths if mode is GenerationMode.POSITIVE else paths - {HEALTH_ROUTE})
