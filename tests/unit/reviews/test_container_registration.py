"""How a container tells backends of itself, over real HTTP."""

import asyncio

import pytest

from pagemill.reviews.container import registration as registration_module
from pagemill.reviews.container.registration import Registration
from pagemill.reviews.wire import ServerReport
from tests.deck_containers import LIMIT_SECONDS
from tests.deck_listener import Listener, running_listener

REPORT = ServerReport(
    server_type="vision_container", url="http://10.0.0.7:8000", state="warming", capabilities={"vision": 2}
)


def gone() -> str:
    """Return a URL at which nobody answers."""
    with running_listener() as backend:
        return backend.url


def told(*urls: str, times: int = 1) -> bool:
    """Report so many times, end, and say whether the last report was heard."""

    async def tell() -> bool:
        registration = Registration(urls, "the-token", "vision-1", lambda: REPORT)
        heard = [await registration.tell() for _ in range(times)]
        await registration.dismiss()
        return heard[-1]

    return asyncio.run(tell())


def test_a_report_is_put_with_the_token_and_at_the_end_taken_back() -> None:
    with running_listener() as backend:
        assert told(f"{backend.url}/")

    put, deleted = backend.told
    assert put == ("PUT", "/api/servers/vision-1", "Bearer the-token", REPORT.model_dump(mode="json"))
    assert deleted[:3] == ("DELETE", "/api/servers/vision-1", "Bearer the-token")


def test_the_next_backend_is_told_when_one_does_not_answer_and_kept_to() -> None:
    with running_listener() as second:
        assert told(gone(), second.url, times=2)

    assert second.methods == ["PUT", "PUT", "DELETE"]


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_the_next_backend_is_told_when_one_refuses(status: int) -> None:
    with running_listener(status) as first, running_listener() as second:
        assert told(first.url, second.url, times=2)

    assert first.methods == ["PUT"]
    assert second.methods == ["PUT", "PUT", "DELETE"]


def test_that_nobody_hears_is_logged_once_and_that_somebody_does_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pagemill")

    async def tell(backend: Listener) -> list[bool]:
        registration = Registration([backend.url], "the-token", "vision-1", lambda: REPORT)
        heard = []
        for status in (500, 500, 401, 200, 200):
            backend.status = status
            heard.append(await registration.tell())
        await registration.dismiss()
        return heard

    with running_listener() as backend:
        heard = asyncio.run(tell(backend))

    assert heard == [False, False, False, True, True]
    assert [record.getMessage() for record in caplog.records if record.name == "pagemill"] == [
        f"no backend takes reports: {backend.url}: HTTP 500",
        f"reports are taken by {backend.url}",
    ]
    assert "the-token" not in caplog.text


def test_reports_come_again_and_again_and_at_once_when_something_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(backend: Listener) -> None:
        async def heard(reports: int) -> None:
            while len(backend.told) < reports:
                await asyncio.sleep(0.01)

        monkeypatch.setattr(registration_module, "HEARTBEAT_SECONDS", 600.0)
        registration = Registration([backend.url], "the-token", "vision-1", lambda: REPORT)
        reporting = asyncio.create_task(registration.run())
        await heard(1)
        monkeypatch.setattr(registration_module, "HEARTBEAT_SECONDS", 0.01)
        registration.tell_now()
        await heard(4)
        registration.end()
        await reporting
        await registration.dismiss()

    with running_listener() as backend:
        asyncio.run(asyncio.wait_for(run(backend), LIMIT_SECONDS))

    assert set(backend.methods[:-1]) == {"PUT"}
    assert backend.methods[-1] == "DELETE"


def test_without_a_backend_nobody_is_told() -> None:
    async def run() -> None:
        registration = Registration([], "the-token", "vision-1", lambda: REPORT)
        await registration.run()
        await registration.dismiss()

    asyncio.run(asyncio.wait_for(run(), LIMIT_SECONDS))
