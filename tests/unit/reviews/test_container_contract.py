"""Containers against their own OpenAPI: whatever it lets a client send gets one of the answers that it tells of."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from pagemill.reviews.container.app import create_app
from pagemill.reviews.container.container import Container
from pagemill.reviews.container.kinds import KINDS
from pagemill.reviews.container.readiness import Readiness
from pagemill.reviews.wire import HEALTH_ROUTE
from pagemill.storage import Store
from tests.deck_containers import TOKEN, until
from tests.decks import scripted

BEARER = {"Authorization": f"Bearer {TOKEN}"}
# What has the right form may still be refused, for no deck lies in the store; who has no token is looked at by itself.
EXCLUDED = [positive_data_acceptance, ignored_auth]


def operations_of(kind: str, folder: Path) -> list[Any]:
    """Return what the OpenAPI of a kind lets clients do, with its application behind it and an empty store."""
    container = Container(KINDS[kind], Store(str(folder)), Readiness(lambda tell: scripted()))
    until(lambda: container.readiness.is_ready)
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(container, TOKEN), headers=BEARER)
    return [each.ok() for each in schema.get_all_operations()]


def answered(cases: SearchStrategy[Any]) -> set[int]:
    """Send requests with the token, and return the statuses: all documented, in their form, no fault of the server.

    Without the token nobody gets in but to the health.
    """
    statuses = set[int]()

    @settings(max_examples=6, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def check(case: Any) -> None:
        answer = case.call(headers=BEARER)
        statuses.add(answer.status_code)
        case.validate_response(answer, excluded_checks=EXCLUDED)
        if case.operation.path != HEALTH_ROUTE:
            stranger = case.call()
            assert stranger.status_code == 401
            case.validate_response(stranger, excluded_checks=EXCLUDED)

    check()
    return statuses


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("kind", KINDS)
def test_a_container_answers_as_its_openapi_says(kind: str, mode: GenerationMode, tmp_path: Path) -> None:
    for operation in operations_of(kind, tmp_path):
        if mode is GenerationMode.POSITIVE or operation.path != HEALTH_ROUTE:  # which takes nothing that could be wrong
            assert answered(operation.as_strategy(generation_mode=mode))


@pytest.mark.parametrize(("kind", "status"), [("vision", 422), ("text", 409)])
def test_the_examples_of_the_openapi_get_as_far_as_the_store(kind: str, status: int, tmp_path: Path) -> None:
    tasks = [each for each in operations_of(kind, tmp_path) if each.path.startswith("/api/pipeline") and each.body]
    examples = [each for task in tasks for each in task.get_strategies_from_examples()]

    assert len(examples) >= len(KINDS[kind].tasks)
    assert status in {found for each in examples for found in answered(each)}  # there is no such deck
