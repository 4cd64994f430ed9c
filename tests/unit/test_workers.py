"""Several workers read the same books as one does: the same bytes, whatever becomes of any of them."""

import random
import signal
import socket
import time
from pathlib import Path

from pagemill.archives import extract_members
from pagemill.ocr import read_pdfs
from pagemill.ocr.assignment import TRIES_ALONE, TRIES_TOGETHER
from pagemill.ocr.readings import Readings
from pagemill.ocr.worker import MAX_RESTARTS
from pagemill.records import Reason, Status
from tests import light_engine
from tests.light_books import LEAFLET, digest, files_in, read
from tests.light_runs import BOOK, PAGES, descendants, kill, ledger, pages_kept, start, wait_for_pages


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def ranks_of(pid: int) -> list[int]:
    """Return the processes that have a model each."""
    commands = {each: command_of(each) for each in descendants(pid)}
    return [each for each, command in commands.items() if "be_rank" in command and "be_agent" not in command]


def numbers_kept(store) -> set[int]:
    """Return the pages of the book that are safe so far, but for those whose numbers the leaflet has too."""
    rows = [row for folder in store.folders("readings") for row in Readings(store, folder).kept(digest(BOOK))]
    return set(rows) - {1, 2}


def test_two_workers_share_the_pages_and_give_what_one_gives(light, store, undisturbed):
    folder = light(seconds=0.05)

    pages = read(store, folder, BOOK, LEAFLET, batch_size=4, workers=2)

    assert ledger(store, pages) == undisturbed
    (figures,) = pages.settings["figures"]
    assert figures["pages"] == PAGES + 2
    assert len(figures["ranks"]) == 2
    assert min(rank["pages"] for rank in figures["ranks"]) > PAGES / 4
    assert len(files_in(store, "readings")) == 2
    assert sorted(number for numbers in light_engine.read_log(folder) for number in numbers) == sorted(
        [*range(1, PAGES + 1), 1, 2]
    )


def test_workers_that_die_cost_at_most_what_was_in_flight(light, store, undisturbed):
    chance = random.Random(0)
    folder = light(seconds=0.2)
    process = start(store, folder, workers=2)
    deaths = []  # what was safe before each, and how many times pages had been admitted
    for _ in range(2):
        wait_for_pages(store, process, pages_kept(store) + chance.randrange(1, 20))
        time.sleep(chance.uniform(0, 0.3))
        while not (ranks := ranks_of(process.pid)) and process.poll() is None:
            time.sleep(0.01)
        deaths.append((pages_kept(store), numbers_kept(store), len(light_engine.read_log(folder))))
        if ranks:  # none where the run was faster than this test
            kill(chance.choice(ranks))

    assert process.wait() == 0, (folder / "talk.txt").read_text()

    for _, numbers, times in deaths:
        again = [number for each in light_engine.read_log(folder)[times:] for number in each]
        assert len(numbers.intersection(again)) <= 8  # two batches may have come between the count and the kill
    kept, *_ = deaths[-1]
    assert len(again) <= PAGES + 2 - kept + 8
    assert ledger(store, read(store, folder, BOOK, LEAFLET)) == undisturbed


def test_the_launcher_takes_its_workers_along_however_it_ends_and_the_next_goes_on(light, store, undisturbed):
    folder = light(seconds=0.1)
    process = start(store, folder, workers=2)
    wait_for_pages(store, process, 10)
    process.send_signal(signal.SIGTERM)

    assert process.wait() == 128 + signal.SIGTERM
    assert [name for name in files_in(store, "readings") if name.endswith((".reading", ".alone"))] == []

    numbers, times = numbers_kept(store), len(light_engine.read_log(folder))
    process = start(store, folder, workers=2)
    wait_for_pages(store, process, pages_kept(store) + 20)
    family = descendants(process.pid)
    process.kill()
    process.wait()

    assert numbers
    assert numbers.isdisjoint(number for each in light_engine.read_log(folder)[times:] for number in each)
    deadline = time.monotonic() + 30
    while any(command_of(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [command_of(pid) for pid in family if command_of(pid)]

    kept = pages_kept(store)
    before = sum(map(len, light_engine.read_log(folder)))
    pages = read(store, folder, BOOK, LEAFLET)
    assert sum(map(len, light_engine.read_log(folder))) - before == PAGES + 2 - kept
    assert ledger(store, pages) == undisturbed


def test_workers_that_go_on_where_one_gave_in_give_up_the_page_that_ends_them_within_one_run(light, store, undisturbed):
    folder = light(deadly=[77])
    for _ in range(3):  # two read it beside other pages, the third alone
        assert start(store, folder).wait() == -signal.SIGKILL

    pages = read(store, folder, BOOK, LEAFLET, batch_size=4, workers=2)

    got = ledger(store, pages)
    assert got[76][2:4] == (Status.FAILED, Reason.CRASHED)
    assert [row for row in got if row[1] != 77] == [row for row in undisturbed if row[1] != 77]
    assert sum(each.count(77) for each in light_engine.read_log(folder)) == TRIES_TOGETHER + TRIES_ALONE


def test_restarts_suffice_for_several_such_pages():
    assert MAX_RESTARTS >= 3 * (TRIES_TOGETHER + TRIES_ALONE)


def test_two_machines_read_together(light, store, undisturbed):
    """Two nodes of one worker each, which meet at a port."""
    folder = light(seconds=0.05)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nodes = [start(store, folder, workers=1, nodes=2, rendezvous=f"127.0.0.1:{port}") for _ in range(2)]

    assert [node.wait() for node in nodes] == [0, 0], (folder / "talk.txt").read_text()

    assert ledger(store, read(store, folder, BOOK, LEAFLET)) == undisturbed
    assert len(files_in(store, "pages")) == 2
    assert digest(BOOK) in files_in(store, "pages")[0] + files_in(store, "pages")[1]


def test_two_workers_with_nougat_write_the_bytes_that_one_writes(tmp_path):
    """Two real models, which meet through Gloo."""
    demo = Path(__file__).parents[2] / "demo"
    extract_members([demo / "samples" / "novels.rar", demo / "samples" / "treatise.part1.rar"], tmp_path / "pdfs")
    books = sorted((tmp_path / "pdfs").rglob("*.pdf"))

    for workers in (1, 2):
        read_pdfs(books, tmp_path / str(workers), checkpoint=str(demo / "checkpoint"), workers=workers)

    one, two = ({path.name: path.read_bytes() for path in (tmp_path / each).glob("*.mmd")} for each in "12")
    assert one == two
    assert len(one) > 1
