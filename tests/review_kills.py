"""What kills the processes of deck review at random moments, and what reviews find when nothing does."""

import random
import signal
import time
from pathlib import Path

from pagemill.decks.asking import Context
from pagemill.decks.models.chat import ChatModel
from pagemill.decks.review import review
from pagemill.storage import Store
from tests.deck_answers import answer_from_truth
from tests.decks import HEALTH, PARCELS, prepared
from tests.flow_databases import postgres
from tests.model_server import running_model_server
from tests.review_processes import PARAMETERS, House

LONGEST_PAUSE_SECONDS = 0.7


def findings_undisturbed(folder: Path) -> list[dict[str, str]]:
    """Return the digests of both decks' findings by task, made in one process of a model that makes no mistakes."""
    store = Store(str(folder))
    with running_model_server("openai") as service:
        answer_from_truth(service)
        models = {"vision": ChatModel(service.endpoint, "llava:13b"), "text": ChatModel(service.endpoint, "gemma3:27b")}
        context = Context(store, models.__getitem__)
        reviews = [review(prepared(name, store), context, PARAMETERS) for name in (HEALTH, PARCELS)]
    names = ["visual_analysis", "slide_feedback", "extractions_and_template"]
    names += [f"specialized_{each.specialty}" for each in reviews[0].specialists]
    return [dict(zip(names, (each.content_digest for each in found.results), strict=True)) for found in reviews]


def kill_everything_once(house: House, chance: random.Random, database_too: bool) -> None:
    """Kill both backends, both containers and perhaps PostgreSQL, in a random order at random moments."""
    house.wait_for("vision", "task started")
    victims = ["backend", "other-backend", "vision", "text", *(["database"] if database_too else [])]
    chance.shuffle(victims)
    for victim in victims:
        time.sleep(chance.uniform(0.0, LONGEST_PAUSE_SECONDS))
        if victim == "database":
            postgres().kill()
            postgres().restart()
        else:
            house.signal(victim, signal.SIGKILL)
            house.start(victim)
