"""Downloads: whatever the source does, a file is whole or not there, and no byte is fetched twice without need."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill import download as room
from pagemill import storage
from pagemill.download import DownloadError, RemoteFile, download, partial_file
from pagemill.storage import Store
from tests.servers import WebServer, web_server

WEIGHTS = random.Random(11).randbytes(3_000_000)
OTHER = random.Random(12).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RETRY_FIRST_SECONDS", 0.0)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.files["/model.bin"] = WEIGHTS
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "part"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def offsets(web: WebServer) -> list[int]:
    """Return where each request asked the server to begin."""
    return [int(span.removeprefix("bytes=").rstrip("-") or 0) for _, span in web.downloads]


def test_a_file_comes_in_one_request(web: WebServer, part: Path) -> None:
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert part.read_bytes() == WEIGHTS
    assert web.requests == [("GET", "/model.bin", "")]


def test_an_empty_file_is_a_file(web: WebServer, part: Path) -> None:
    web.files["/empty"] = b""
    assert download(RemoteFile(web.url("/empty")), part) == sha256(b"")
    assert part.read_bytes() == b""


def test_a_local_file_is_a_source_too(tmp_path: Path, part: Path) -> None:
    (tmp_path / "source").write_bytes(WEIGHTS)
    assert download(RemoteFile(f"file://{tmp_path}/source"), part) == sha256(WEIGHTS)


def test_connections_that_break_cost_no_byte_that_came(web: WebServer, part: Path) -> None:
    web.drop_after_bytes = [1_500_000, 0, 1_000_000]
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    first, *later = offsets(web)
    assert first == 0
    assert later == sorted(later)
    assert 0 < later[0] <= 1_500_000 <= later[-1] + 1_000_000
    assert part.read_bytes() == WEIGHTS


@settings(max_examples=15, deadline=None)
@given(drops=st.lists(st.integers(0, 60_000), max_size=4))
def test_wherever_connections_break_the_bytes_are_the_same(drops: list[int], tmp_path_factory) -> None:
    part = tmp_path_factory.mktemp("drops") / "part"
    with web_server() as web, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "RETRY_FIRST_SECONDS", 0.0)
        web.files["/model.bin"], web.drop_after_bytes = WEIGHTS[:50_000], list(drops)
        assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS[:50_000])


def test_what_came_is_kept_for_the_next_time(web: WebServer, part: Path) -> None:
    web.drop_after_bytes = [2_000_000]
    with pytest.raises(DownloadError, match=r"model\.bin: not fetched after 1 attempts"):
        download(RemoteFile(web.url("/model.bin")), part, attempts=1)
    came = part.stat().st_size
    assert 0 < came <= 2_000_000
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert offsets(web) == [0, came]


def test_a_file_that_came_whole_is_not_asked_for_again(web: WebServer, part: Path) -> None:
    download(RemoteFile(web.url("/model.bin")), part)
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert len(web.downloads) == 1


def test_a_server_without_ranges_gives_it_all_again(web: WebServer, part: Path) -> None:
    web.honours_ranges = False
    web.drop_after_bytes = [1_000_000]
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert part.read_bytes() == WEIGHTS


@pytest.mark.parametrize("other", [OTHER, OTHER[:-7], OTHER + OTHER, OTHER[:1000]])
def test_a_file_that_changes_between_two_attempts_starts_over(web: WebServer, part: Path, other: bytes) -> None:
    web.drop_after_bytes = [1_000_000]
    with pytest.raises(DownloadError):
        download(RemoteFile(web.url("/model.bin")), part, attempts=1)
    web.files["/model.bin"] = other
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(other)
    assert part.read_bytes() == other


def test_what_tells_no_version_is_never_pieced_together(web: WebServer, part: Path) -> None:
    web.tells_version = False
    web.drop_after_bytes = [1_000_000]
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert offsets(web) == [0, 0]


def test_bytes_of_unknown_origin_are_not_gone_on_with(web: WebServer, part: Path) -> None:
    part.write_bytes(OTHER[:1_000_000])
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert offsets(web) == [0]


def test_a_note_that_was_cut_off_counts_as_none(web: WebServer, part: Path) -> None:
    web.drop_after_bytes = [1_000_000]
    with pytest.raises(DownloadError):
        download(RemoteFile(web.url("/model.bin")), part, attempts=1)
    room._told_path(part).write_text('{"size_byt')
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert offsets(web) == [0, 0]


@pytest.mark.parametrize("wanted", [{"size_bytes": 2_999_999}, {"version": "another"}])
def test_another_file_than_the_listed_one_is_refused(web: WebServer, part: Path, wanted: dict) -> None:
    download(RemoteFile(web.url("/model.bin")), part)  # even if it came before
    with pytest.raises(DownloadError, match="has changed since it was listed"):
        download(RemoteFile(web.url("/model.bin"), **wanted), part, attempts=2)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(web: WebServer, part: Path, status: int, caplog) -> None:
    web.failures = [status, status]
    with caplog.at_level(logging.WARNING):
        assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert "attempt 2 failed" in caplog.text


def test_between_attempts_it_waits_longer_and_longer(
    web: WebServer, part: Path, waits: list[float], monkeypatch
) -> None:
    monkeypatch.setattr(room, "RETRY_FIRST_SECONDS", 1.0)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    web.failures = [503] * 9
    with pytest.raises(DownloadError, match="after 9 attempts"):
        download(RemoteFile(web.url("/model.bin")), part, attempts=9)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_server_that_falls_silent_is_given_up(web: WebServer, part: Path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "READ_TIMEOUT_SECONDS", 0.3)
    web.hold_after_bytes = 1_000_000
    with pytest.raises(DownloadError):
        download(RemoteFile(web.url("/model.bin")), part, attempts=1)
    web.hold_after_bytes = None
    assert download(RemoteFile(web.url("/model.bin")), part) == sha256(WEIGHTS)
    assert 0 < offsets(web)[-1] <= 1_000_000


def test_nobody_listens(part: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}/model.bin"
        with pytest.raises(DownloadError, match="not fetched after 2 attempts"):
            download(RemoteFile(uri), part, attempts=2)


def test_lasting_errors_are_raised_at_once(web: WebServer, part: Path) -> None:
    with pytest.raises(FileNotFoundError):
        download(RemoteFile(web.url("/nothing")), part, lasting=(FileNotFoundError,))
    assert len(web.downloads) == 1


def test_a_full_disk_is_not_tried_again(web: WebServer, part: Path, monkeypatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(room._Part, "append", full)
    with pytest.raises(OSError, match="No space left on device"):
        download(RemoteFile(web.url("/model.bin")), part)
    assert len(web.downloads) == 1


def test_progress_counts_the_bytes_that_are_lacking(web: WebServer, part: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "pagemill"):
        download(RemoteFile(web.url("/model.bin")), part, description="download bytes of model.bin")
    assert "download bytes of model.bin: 3,000,000 of 3,000,000" in caplog.text


class Liar:
    """A server that answers each connection with the next of some prepared bytes, and hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.requests = list(answers), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.listener.getsockname()[1]}/model.bin"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        for answer in self.answers:
            connection, _ = self.listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(65536)
                self.requests.append(request.decode())
                connection.sendall(answer)
        self.listener.close()

    def close(self) -> None:
        self.thread.join()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


ETAG = 'ETag: "one"'
WHOLE = answer(b"weights of gold", ETAG, "Content-Length: 15")
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"

NOT_THE_FILE = {
    "less than Content-Length": answer(b"weights ", ETAG, "Content-Length: 15"),
    "chunks without an end": answer(b"7\r\nweights\r\n", "Transfer-Encoding: chunked"),
    "neither length nor chunks": answer(b"weights of gold"),
    "a web page": answer(PAGE, "Content-Type: text/html", f"Content-Length: {len(PAGE)}"),
    "a web page that calls itself a file": answer(
        b"\n\n" + PAGE, "Content-Type: application/octet-stream", f"Content-Length: {len(PAGE) + 2}"
    ),
    "an error in XML": answer(b'<?xml version="1.0"?><Error/>', "Content-Length: 29"),
    "packed": answer(b"weights of gold", "Content-Length: 15", "Content-Encoding: br"),
    "a part nobody asked for": answer(
        b"ts of gold", "Content-Length: 10", "Content-Range: bytes 5-14/15", status="206 Partial Content"
    ),
    "a part without saying which": answer(b"weights", "Content-Length: 7", status="206 Partial Content"),
    "nothing at all": b"",
    "no HTTP": b"weights of gold",
}


@pytest.mark.parametrize("lie", NOT_THE_FILE.values(), ids=NOT_THE_FILE.keys())
def test_what_is_not_the_whole_file_is_not_taken_for_it(lie: bytes, part: Path) -> None:
    liar = Liar(lie)
    with pytest.raises(DownloadError, match="not fetched after 1 attempts"):
        download(RemoteFile(liar.uri), part, attempts=1)
    liar.close()


@pytest.mark.parametrize("lie", NOT_THE_FILE.values(), ids=NOT_THE_FILE.keys())
def test_and_leaves_nothing_in_the_file_that_comes_after_it(lie: bytes, part: Path) -> None:
    liar = Liar(lie, WHOLE, WHOLE)
    assert download(RemoteFile(liar.uri), part, attempts=3) == sha256(b"weights of gold")
    assert part.read_bytes() == b"weights of gold"


def test_chunks_with_an_end_are_whole(part: Path) -> None:
    liar = Liar(answer(b"7\r\nweights\r\n8\r\n of gold\r\n0\r\n\r\n", "Transfer-Encoding: chunked"))
    assert download(RemoteFile(liar.uri), part, attempts=1) == sha256(b"weights of gold")
    liar.close()


@pytest.fixture
def half(part: Path) -> Path:
    """What an attempt left behind that brought half of the file."""
    part.write_bytes(b"weights ")
    room._write_told(part, room._Told(15, "one"))
    return part


PARTS_OF_ANOTHER = {
    "another part": ("Content-Range: bytes 3-14/15", ETAG),
    "another size": ("Content-Range: bytes 8-14/16", ETAG),
    "another version": ("Content-Range: bytes 8-14/15", 'ETag: "two"'),
    "no version": ("Content-Range: bytes 8-14/15",),
    "a range in another unit": ("Content-Range: lines 8-14/15", ETAG),
}


@pytest.mark.parametrize("headers", PARTS_OF_ANOTHER.values(), ids=PARTS_OF_ANOTHER.keys())
def test_a_part_that_does_not_fit_is_not_put_to_the_first(headers: tuple[str, ...], half: Path) -> None:
    misfit = answer(b"OF LEAD", "Content-Length: 7", *headers, status="206 Partial Content")
    liar = Liar(misfit, WHOLE)
    assert download(RemoteFile(liar.uri), half, attempts=2) == sha256(b"weights of gold")
    liar.close()
    assert "Range: bytes=8-" in liar.requests[0]


def test_a_part_that_fits_is_put_to_the_first(half: Path) -> None:
    rest = answer(b"of gold", "Content-Length: 7", "Content-Range: bytes 8-14/15", ETAG, status="206 Partial Content")
    liar = Liar(rest)
    assert download(RemoteFile(liar.uri), half, attempts=1) == sha256(b"weights of gold")
    liar.close()


def test_a_range_that_the_server_cannot_satisfy_starts_over(half: Path) -> None:
    liar = Liar(answer(b"", "Content-Length: 0", status="416 Range Not Satisfiable"), WHOLE)
    assert download(RemoteFile(liar.uri), half, attempts=2) == sha256(b"weights of gold")
    liar.close()
    assert "Range" not in liar.requests[1]


IN_A_PROCESS = """
import sys
from pagemill.download import RemoteFile, download, partial_file
from pagemill.storage import Store
with partial_file(Store(sys.argv[1]), "key") as part:
    print(download(RemoteFile(sys.argv[2]), part))
"""


def test_after_a_kill_a_new_process_asks_only_for_the_rest(web: WebServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_A_PROCESS, str(tmp_path), web.url("/model.bin")]
    part, came = tmp_path / ".tmp-fetch-key", 0
    for hold_after_bytes in (1_500_000, 1_200_000):
        web.hold_after_bytes = hold_after_bytes
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not part.exists() or part.stat().st_size < came + 1_000_000:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        came = part.stat().st_size
    web.hold_after_bytes = None
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sha256(WEIGHTS)
    assert offsets(web)[0] == 0
    assert offsets(web)[1] >= 1_000_000
    assert offsets(web)[2] == came >= 2_000_000
    assert list(tmp_path.iterdir()) == []


def enter(store: Store, about_to: Any, entered: Any) -> None:
    """Be a process that downloads what others download as well."""
    about_to.put(os.getpid())
    with partial_file(store, "key"):
        entered.put(os.getpid())


def test_a_download_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    store, processes = Store(str(tmp_path)), multiprocessing.get_context("forkserver")
    about_to, entered = processes.Queue(), processes.Queue()
    with partial_file(store, "key"):
        others = [processes.Process(target=enter, args=(store, about_to, entered)) for _ in range(2)]
        for other in others:
            other.start()
        for _ in others:
            about_to.get(timeout=60)
        time.sleep(0.2)
        assert entered.empty()
    assert {entered.get(timeout=60) for _ in others} == {other.pid for other in others}
    for other in others:
        other.join()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_its_holder_took_away_is_not_held(tmp_path: Path, monkeypatch) -> None:
    """One who waited at a lock file that is gone by now would share the download with the next to come."""
    lock, waits = tmp_path / "lock", 0
    take = fcntl.flock

    def removed_while_waiting(descriptor: object, kind: int) -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            lock.unlink()
        take(descriptor, kind)

    monkeypatch.setattr(room.fcntl, "flock", removed_while_waiting)
    with room._locked(lock):
        assert waits == 2
        assert lock.exists()


def test_a_failure_keeps_the_part_and_an_end_removes_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with contextlib.suppress(DownloadError), partial_file(store, "key") as part:
        part.write_bytes(b"so far")
        raise DownloadError
    with partial_file(store, "key") as part:
        assert part.read_bytes() == b"so far"
    assert list(tmp_path.iterdir()) == []
