"""Backends, containers and the database are killed or stopped: every review ends as if nothing had happened."""

import random
import signal

import pytest

from pagemill.reviews.backend.desk import open_desk
from tests.deck_answers import BAD_SCRIPT
from tests.decks import HEALTH, PARCELS
from tests.flow_databases import flow_database
from tests.review_kills import findings_undisturbed, kill_everything_once
from tests.review_processes import BACKENDS, MODEL, add_decks, check_course, running_house

PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return findings_undisturbed(tmp_path_factory.mktemp("undisturbed"))


def test_everything_is_killed_once_at_some_moment(tmp_path, undisturbed):
    roles = (MODEL, *BACKENDS, "vision", "text")
    with running_house(tmp_path, flow_database("postgresql", tmp_path), BAD_SCRIPT, *roles) as house:
        desk = open_desk(house.settings)
        pipelines = add_decks(desk, HEALTH, PARCELS)
        kill_everything_once(house, random.Random(2026), database_too=True)
        for each in pipelines:
            desk.queue.wait(each, PATIENCE_SECONDS)
        check_course(desk, pipelines, undisturbed)
        desk.close()


def test_a_container_that_is_stopped_goes_on_too_late(tmp_path, undisturbed):
    roles = (MODEL, "backend", "vision", "text")
    with running_house(tmp_path, flow_database("sqlite", tmp_path), BAD_SCRIPT, *roles) as house:
        desk = open_desk(house.settings)
        pipelines = add_decks(desk, HEALTH, PARCELS)
        house.wait_for("vision", "task started", 2)
        house.start("other-vision")
        house.signal("vision", signal.SIGSTOP)
        for each in pipelines:
            desk.queue.wait(each, PATIENCE_SECONDS)
        results = [desk.queue.results(each) for each in pipelines]
        assert len(house.told("other-vision", "task finished")) == 4
        house.signal("vision", signal.SIGCONT)
        house.wait_for("vision", "task finished", 2)
        assert [desk.queue.results(each) for each in pipelines] == results
        check_course(desk, pipelines, undisturbed)
        desk.close()
