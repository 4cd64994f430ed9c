"""Whatever is killed, whenever it is: afterwards every page is there once, with the text of an undisturbed run."""

import random
import signal
import time

import pytest

from pagemill.ocr.readings import Readings
from pagemill.records import Reason, Status
from tests.light_books import LEAFLET, digest, files_in, read
from tests.light_engine import read_log
from tests.light_runs import BOOK, PAGES, descendants, kill, ledger, pages_kept, start, wait_for_pages


@pytest.mark.parametrize("seed", range(2))
def test_after_kills_of_the_process_at_any_moment(light, store, undisturbed, seed):
    chance = random.Random(seed)
    folder = light(seconds=0.02)
    for kept in sorted(chance.sample(range(PAGES), 4)):
        process = start(store, folder)
        wait_for_pages(store, process, kept)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()

    pages = read(store, folder, BOOK, LEAFLET)

    assert ledger(store, pages) == undisturbed
    assert files_in(store, "pages") == sorted(book.result for book in pages.rows)
    assert len(files_in(store, "readings")) == 2  # no part and no mark remains


def test_a_kill_costs_at_most_the_leases_in_flight(light, store, undisturbed):
    folder = light(seconds=0.02)
    process = start(store, folder)
    wait_for_pages(store, process, 64)
    process.kill()
    process.wait()
    kept = pages_kept(store)
    before = sum(map(len, read_log(folder)))

    read(store, folder, BOOK, LEAFLET)

    assert kept >= 64
    again = sum(map(len, read_log(folder))) - before
    assert again == PAGES + 2 - kept


@pytest.mark.parametrize("seed", range(2))
def test_children_that_are_killed_cost_no_page(light, store, undisturbed, seed):
    chance = random.Random(seed)
    folder = light(seconds=0.02)
    process = start(store, folder)
    for kept in (1, 33, 65):
        wait_for_pages(store, process, kept)
        time.sleep(chance.uniform(0, 0.1))
        if children := descendants(process.pid):
            kill(chance.choice(children))
    assert process.wait() == 0, (folder / "talk.txt").read_text()

    assert ledger(store, read(store, folder, BOOK, LEAFLET)) == undisturbed


def test_a_kill_between_joining_a_book_and_removing_its_ranges_leaves_nothing_behind(light, store, undisturbed):
    folder = light()
    read(store, folder, BOOK, LEAFLET)
    (whole,) = [name for name in files_in(store, "readings") if digest(BOOK) in name]
    row = next(store.read_jsonl(whole))
    store.write_jsonl(f"{whole.removesuffix('.jsonl')}/000001-000001-0123456789ab.jsonl", [row])
    store.delete(next(name for name in files_in(store, "manifests/recognize_pages")))

    pages = read(store, folder, BOOK, LEAFLET)

    assert len(files_in(store, "readings")) == 2
    assert ledger(store, pages) == undisturbed


def test_a_page_that_ends_every_process_that_reads_it_is_given_up_and_no_other(light, store, undisturbed):
    folder = light(deadly=[77])
    exits = []
    while not exits or exits[-1] != 0:
        assert len(exits) < 10, "the page stops the run for ever"
        exits.append(start(store, folder).wait())

    pages = read(store, folder, BOOK, LEAFLET)

    got = ledger(store, pages)
    assert got[76][2:4] == (Status.FAILED, Reason.CRASHED)
    assert [row for row in got if row[1] != 77] == [row for row in undisturbed if row[1] != 77]
    assert exits == [-signal.SIGKILL] * 5 + [0]


def test_a_run_that_is_interrupted_blames_no_page(light, store):
    folder = light(seconds=0.02)
    for _ in range(3):
        process = start(store, folder)
        wait_for_pages(store, process, 1)
        process.send_signal(signal.SIGINT)
        process.wait()
    readings = Readings(store, store.folders("readings")[0])

    assert not readings.tries(digest(BOOK))[".reading"]
