"""The runner that sends tasks to containers: what it sends, what it makes of their answers, and how it lets go."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from pagemill.decks.asking import Call
from pagemill.decks.records import Reason, Status
from pagemill.decks.tasks import Parameters, TaskInput, TaskOutput
from pagemill.flow.runner import NeedLost, PipelineRun, Server, ServerLost, Skip, Superseded, TaskFailed, TaskRun
from pagemill.reviews.backend.runner import HttpRunner
from pagemill.reviews.wire import Done, ErrorKind, Failed, Problem, Progress
from tests.fake_container import FakeContainer, answers, fake_container, goes_on, is_silent, refuses, tells

TOKEN = "the shared token"
KEY = "c0ffee.extractions_and_template.1"
VISUAL = "decks/visual/" + 32 * "a" + ".json"
PIPELINE = PipelineRun(
    "c0ffee", "deck_review", 64 * "d", Parameters(max_characters=5000).model_dump(mode="json"), "a deck.pdf"
)
OUTPUT = TaskOutput(
    task="extractions_and_template",
    result="decks/extractions/" + 32 * "b" + ".json",
    content_digest="e" * 64,
    status=Status.OK,
)


@pytest.fixture
def runner() -> Iterator[HttpRunner]:
    made = HttpRunner(TOKEN, news_limit_seconds=0.5, busy_limit_seconds=30)
    yield made
    made.close()


def run(runner: HttpRunner, url: str, report: Any = lambda share: None, **task: Any) -> dict[str, Any]:
    server = Server(id="t1", server_type="text_container", capabilities={"text": 3}, url=url)
    told = {"name": OUTPUT.task, "capability": "text", "attempt": 1, "attempts": 3, "key": KEY, "epoch": 7}
    inputs = {"visual_analysis": {"result": VISUAL, "task": "visual_analysis"}}
    return runner.run(
        TaskRun(**{**told, "time_limit_seconds": 30.0, "server": server, **task}), PIPELINE, inputs, report
    )


def problem(error: ErrorKind, **others: Any) -> Problem:
    return Problem(error=error, message=f"it is {error}", **others)


# What is sent, and what comes back


def test_a_container_is_sent_all_that_it_needs_and_its_news_are_passed_on(runner: HttpRunner) -> None:
    shares: list[float] = []
    with fake_container(
        tells(Progress(share=0.25), Progress(share=0.25), Progress(share=0.9), Done(output=OUTPUT))
    ) as it:
        assert run(runner, it.url + "/", shares.append) == OUTPUT.model_dump(mode="json")
    assert shares == [0.25, 0.25, 0.9]
    (asked,) = it.heard
    assert asked.path == "/api/pipeline/extractions-and-template"
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert (asked.headers["Idempotency-Key"], asked.headers["Pagemill-Pipeline"]) == (KEY, "c0ffee")
    order = TaskInput.model_validate(asked.body)
    assert (order.deck.pdf_sha256, order.deck.name) == (64 * "d", "a deck.pdf")
    assert order.parameters.max_characters == 5000
    assert order.needs == {"visual_analysis": VISUAL}


@pytest.mark.parametrize(("attempt", "accepts"), [(1, False), (2, False), (3, True)])
def test_only_the_last_attempt_takes_gaps(runner: HttpRunner, attempt: int, accepts: bool) -> None:
    with fake_container(tells(Done(output=OUTPUT))) as it:
        run(runner, it.url, attempt=attempt)
    assert it.heard[0].body["accept_missing"] is accepts


def test_a_task_that_had_nothing_to_do_is_skipped_and_its_result_kept(runner: HttpRunner) -> None:
    skipped = OUTPUT.model_copy(update={"status": Status.SKIPPED, "reason": Reason.NOT_HEALTHCARE})
    with fake_container(tells(Done(output=skipped))) as it, pytest.raises(Skip, match="not_healthcare") as caught:
        run(runner, it.url)
    assert caught.value.result == skipped.model_dump(mode="json")


def test_lines_end_at_line_feeds_alone(runner: HttpRunner) -> None:
    said = "one\u2028two\x85three"
    failed = Failed(problem=problem(ErrorKind.BAD_ANSWER, raw=(said,)))
    with fake_container(tells(failed)) as it, pytest.raises(TaskFailed) as caught:
        run(runner, it.url)
    assert caught.value.detail["raw"] == [said]


def test_proxies_are_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with fake_container(tells(Done(output=OUTPUT))) as it:
        assert run(HttpRunner(TOKEN), it.url)["result"] == OUTPUT.result


# What becomes of problems

OUTCOMES = [
    (ErrorKind.UNAUTHORIZED, TaskFailed, False),
    (ErrorKind.NOT_FOUND, TaskFailed, True),
    (ErrorKind.NOT_ALLOWED, TaskFailed, True),
    (ErrorKind.TOO_LARGE, TaskFailed, False),
    (ErrorKind.INVALID, TaskFailed, False),
    (ErrorKind.REFUSED, TaskFailed, False),
    (ErrorKind.INTERNAL, TaskFailed, True),
    (ErrorKind.BAD_ANSWER, TaskFailed, True),
    (ErrorKind.CANCELLED, ServerLost, None),
    (ErrorKind.DRAINING, ServerLost, None),
]


@pytest.mark.parametrize("before_work", [True, False], ids=["refused", "failed"])
@pytest.mark.parametrize(("error", "kind", "retry"), OUTCOMES)
def test_every_kind_of_problem_has_its_consequence(
    runner: HttpRunner, error: ErrorKind, kind: type[Exception], retry: bool | None, before_work: bool
) -> None:
    told = problem(error)
    act = refuses(told) if before_work else tells(Progress(share=0.5), Failed(problem=told))
    with fake_container(act) as it, pytest.raises(kind) as caught:
        run(runner, it.url)
    assert getattr(caught.value, "retry", None) is retry


def test_a_model_that_falls_silent_is_a_failure_but_not_where_it_was_not_asked(runner: HttpRunner) -> None:
    told = problem(ErrorKind.MODEL_UNAVAILABLE)
    with fake_container(tells(Failed(problem=told)), refuses(told)) as it:
        with pytest.raises(TaskFailed) as caught:
            run(runner, it.url)
        assert caught.value.retry
        assert lost(runner, it, begun=False) == "it is model_unavailable"


def test_every_kind_of_problem_is_thought_of() -> None:
    elsewhere = {ErrorKind.BUSY, ErrorKind.RESULT_LOST, ErrorKind.MODEL_UNAVAILABLE}
    assert {error for error, _, _ in OUTCOMES} | elsewhere == set(ErrorKind)


def test_a_failed_attempt_leaves_what_it_cost_and_what_the_model_said(runner: HttpRunner) -> None:
    call = Call("gemma3:27b", 12.5, 700, 90, "not of the form")
    failed = Failed(problem=problem(ErrorKind.BAD_ANSWER, raw=("I am only a model",), calls=(call,)))
    with fake_container(tells(failed)) as it, pytest.raises(TaskFailed, match="it is bad_answer") as caught:
        run(runner, it.url)
    assert caught.value.detail["error"] == "bad_answer"
    assert caught.value.detail["raw"] == ["I am only a model"]
    assert [Call(**each) for each in caught.value.detail["calls"]] == [call]


def test_another_token_is_nothing_that_another_attempt_mends(runner: HttpRunner) -> None:
    with (
        fake_container(answers(401, "<html>who are you?</html>", "text/html")) as it,
        pytest.raises(TaskFailed) as caught,
    ):
        run(runner, it.url)
    assert not caught.value.retry
    assert "decks.token" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("lost", "maker"),
    [(VISUAL, "visual_analysis"), ("decks/extractions/" + 32 * "0" + ".json", "extractions_and_template")],
)
def test_a_lost_result_is_wanted_of_the_task_that_makes_it(runner: HttpRunner, lost: str, maker: str) -> None:
    with fake_container(refuses(problem(ErrorKind.RESULT_LOST, lost=lost))) as it, pytest.raises(NeedLost) as caught:
        run(runner, it.url)
    assert caught.value.task_name == maker


@pytest.mark.parametrize("lost", ["", "decks/other/x.json", "pdf/x.pdf"])
def test_a_lost_file_that_no_task_makes_is_a_failure(runner: HttpRunner, lost: str) -> None:
    with fake_container(refuses(problem(ErrorKind.RESULT_LOST, lost=lost))) as it, pytest.raises(TaskFailed):
        run(runner, it.url)


# Containers that go away


def lost(runner: HttpRunner, container: FakeContainer, begun: bool = True) -> str:
    with pytest.raises(ServerLost) as caught:
        run(runner, container.url)
    assert caught.value.begun is begun
    return str(caught.value)


def test_a_container_that_is_gone_is_lost(runner: HttpRunner) -> None:
    with fake_container() as it:
        pass
    assert "t1" in lost(runner, it, begun=False)


def test_a_container_without_an_address_is_lost(runner: HttpRunner) -> None:
    assert lost(runner, FakeContainer(), begun=False)


def test_a_stream_that_breaks_or_ends_too_soon_is_a_lost_container(runner: HttpRunner) -> None:
    with fake_container(tells(Progress(share=0.5), breaks=True), tells(Progress(share=0.5))) as it:
        assert lost(runner, it)
        assert lost(runner, it) == "t1 broke off"


def test_a_container_that_falls_silent_is_lost() -> None:
    let_go = threading.Event()
    with fake_container(is_silent(let_go)) as it:
        assert "timed out" in lost(HttpRunner(TOKEN, news_limit_seconds=0.1), it)
        let_go.set()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_proxy_says_of_a_container_that_is_gone_is_understood(runner: HttpRunner, status: int) -> None:
    with fake_container(answers(status, "<html>bad gateway</html>", "text/html")) as it:
        assert str(status) in lost(runner, it, begun=False)


@pytest.mark.parametrize(
    "act",
    [answers(200, "<html>welcome</html>", "text/html"), answers(200, "{}"), answers(418, "short"), answers(302, "")],
    ids=["page", "empty", "teapot", "elsewhere"],
)
def test_something_else_at_the_address_is_a_failure(runner: HttpRunner, act: Any) -> None:
    with fake_container(act) as it, pytest.raises(TaskFailed) as caught:
        run(runner, it.url)
    assert caught.value.retry


# Containers without room


def test_a_busy_container_is_asked_again_after_a_while(runner: HttpRunner) -> None:
    busy = refuses(problem(ErrorKind.BUSY), Retry_After="0")
    with fake_container(busy, busy, tells(Done(output=OUTPUT))) as it:
        run(runner, it.url)
    assert len(it.heard) == 3
    assert len({asked.headers["Idempotency-Key"] for asked in it.heard}) == 1


def test_a_container_that_stays_busy_loses_the_task_to_another() -> None:
    with fake_container(refuses(problem(ErrorKind.BUSY), Retry_After="0")) as it:
        assert lost(HttpRunner(TOKEN, busy_limit_seconds=0), it, begun=False) == "t1 has no room"


# Letting go


def test_a_task_that_nobody_wants_any_more_is_ended(runner: HttpRunner) -> None:
    def superseded(share: float) -> None:
        raise Superseded(KEY)

    let_go = threading.Event()
    with fake_container(goes_on(let_go)) as it, pytest.raises(Superseded):
        run(runner, it.url, superseded)
    let_go.set()
    (ended,) = it.of("DELETE")
    assert ended.path == f"/api/pipeline/tasks/{KEY}"
    assert ended.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_task_that_takes_too_long_is_ended_and_fails(runner: HttpRunner) -> None:
    let_go = threading.Event()
    with fake_container(goes_on(let_go)) as it, pytest.raises(TaskFailed, match="no result within") as caught:
        run(runner, it.url, time_limit_seconds=0.05)
    let_go.set()
    assert caught.value.retry
    assert len(it.of("DELETE")) == 1


def test_a_container_that_is_gone_need_not_hear_that_its_task_is_over(runner: HttpRunner) -> None:
    with ExitStack() as stack:
        it = stack.enter_context(fake_container(tells(Progress(share=0.5))))

        def superseded(share: float) -> None:
            stack.close()
            raise Superseded(KEY)

        with pytest.raises(Superseded):
            run(runner, it.url, superseded)


def test_a_backend_that_ends_lets_go_and_leaves_the_task_running(runner: HttpRunner) -> None:
    let_go, began = threading.Event(), threading.Event()
    with fake_container(goes_on(let_go)) as it, ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, runner, it.url, lambda share: began.set())
        assert began.wait(30)
        runner.close()
        with pytest.raises(Superseded):
            running.result(30)
        let_go.set()
    assert it.of("DELETE") == []


def test_the_log_tells_when_a_task_is_sent_and_what_became_of_it(
    runner: HttpRunner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pagemill")
    with fake_container(tells(Done(output=OUTPUT)), tells(breaks=True)) as it:
        run(runner, it.url)
        lost(runner, it)
    fields = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert [(each["key"], each["server"], each.get("outcome")) for each in fields] == [
        (KEY, "t1", None),
        (KEY, "t1", "ok"),
        (KEY, "t1", None),
        (KEY, "t1", "server lost"),
    ]
