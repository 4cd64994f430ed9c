"""What tests of reading pages share: a store, the light engine, and what comes out when nothing goes wrong."""

from pathlib import Path

import pytest

from pagemill.storage import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def light(tmp_path):
    """Writes the light engine's folder; called again, it makes the engine behave otherwise."""
    from tests import light_engine

    def install(**behaviour) -> Path:
        return light_engine.write_checkpoint(tmp_path / "light", **behaviour)

    return install


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> list[tuple]:
    """What the books' ledgers hold when one worker reads them and nothing goes wrong."""
    from tests import light_engine, light_runs  # books are typeset: not for every test
    from tests.light_books import LEAFLET, read

    folder = tmp_path_factory.mktemp("undisturbed")
    store = Store(str(folder / "store"))
    pages = read(store, light_engine.write_checkpoint(folder / "light"), light_runs.BOOK, LEAFLET)
    return light_runs.ledger(store, pages)
