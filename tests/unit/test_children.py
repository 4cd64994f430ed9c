"""Work in children: values in order, and every way in which one item can fail alone."""

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.children import Answer, ChildLost, Crew, RaisedInChild, in_children
from pagemill.records import Reason

HEAVY_MODULES = ("torch", "kfp", "transformers", "fsspec", "pypdfium2")


class Unsendable(Exception):
    """Takes two arguments but pickles one, so that unpickling it fails."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class Locked(Exception):
    """Carries what cannot be pickled at all."""

    def __init__(self) -> None:
        super().__init__(lambda: None)


def square(number: int) -> int:
    return number * number


def hang(_: Any = None) -> None:
    time.sleep(3600)


def segfault(_: Any = None) -> None:
    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def end(code: int) -> None:
    sys.exit(code)


def kill_oneself(_: Any = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def swallow(size_bytes: int) -> int:
    return len(bytearray(size_bytes))


def refuse(message: str) -> None:
    raise ValueError(message)


def raise_unsendable(_: Any = None) -> None:
    raise Unsendable("one", "two")


def raise_locked(_: Any = None) -> None:
    raise Locked


def return_unsendable(_: Any = None) -> Callable[[], None]:
    return lambda: None


def process_id(_: Any = None) -> int:
    return os.getpid()


def interrupt_oneself(_: Any = None) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def print_loudly(text: str) -> str:
    print(text, flush=True)
    os.write(1, text.encode())
    return text


def is_imported(module: str) -> bool:
    return module in sys.modules


def announce_and_hang(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    hang()


def announce_and_hang_unless_first(folder: str) -> None:
    first = Path(folder, "first")
    if first.exists():
        announce_and_hang(folder)
    first.touch()


def do(work: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    """Call a function with arguments, so that one stream can hold different kinds of work."""
    function, arguments = work
    return function(*arguments)


class RemembersItsProcess:
    """A callable that keeps what it made for its first item."""

    first: int | None = None

    def __call__(self, item: int) -> int:
        self.first = item if self.first is None else self.first
        return self.first


def outcomes(answers: Iterable[Answer[Any, Any]]) -> list[Any]:
    return [answer.reason or type(answer.error) if not answer.ok else answer.value for answer in answers]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait_until_gone(pids: Iterable[int]) -> None:
    for pid in pids:
        while is_alive(pid):
            time.sleep(0.01)


@settings(max_examples=5, deadline=None)
@given(numbers=st.lists(st.integers(), max_size=12), workers=st.integers(1, 2), ahead=st.integers(0, 5))
def test_values_come_in_the_order_of_the_items(numbers: list[int], workers: int, ahead: int) -> None:
    answers = list(in_children(square, numbers, workers=workers, ahead=ahead))

    assert [answer.item for answer in answers] == numbers
    assert [answer.value for answer in answers] == [number * number for number in numbers]


def test_each_bad_item_costs_itself_alone() -> None:
    work = [
        (square, (2,)),
        (segfault, ()),
        (square, (3,)),
        (leave, (7,)),
        (end, (3,)),
        (kill_oneself, ()),
        (hang, ()),
        (refuse, ("no",)),
        (square, (4,)),
    ]

    answers = list(in_children(do, work, workers=2, time_limit_seconds=3.0))

    crashed = Reason.CRASHED
    assert outcomes(answers) == [4, crashed, 9, crashed, crashed, crashed, Reason.TIME_LIMIT, ValueError, 16]
    assert [answer.detail for answer in answers] == [
        "",
        "killed by SIGSEGV",
        "",
        "ended with exit code 7",
        "ended with exit code 3",
        "killed by SIGKILL",
        "no answer within 3 s",
        "ValueError: no",
        "",
    ]


def test_an_exception_is_raised_where_its_value_is_asked_for_with_the_childs_traceback() -> None:
    (answer,) = in_children(refuse, ["page 3\nis bad"], workers=1)

    with pytest.raises(ValueError, match="page 3") as caught:
        _ = answer.value
    assert answer.detail == "ValueError: page 3 is bad"
    assert "in refuse" in "".join(caught.value.__notes__)


def test_a_lost_child_raises_where_the_value_is_asked_for() -> None:
    (answer,) = in_children(leave, [5], workers=1)

    with pytest.raises(ChildLost, match="crashed: ended with exit code 5"):
        _ = answer.value


@pytest.mark.parametrize(
    ("function", "name"), [(raise_unsendable, "Unsendable: one"), (raise_locked, "Locked: <function")]
)
def test_an_exception_that_cannot_travel_is_named(function: Callable[[Any], None], name: str) -> None:
    (answer,) = in_children(function, [None], workers=1)

    assert isinstance(answer.error, RaisedInChild)
    assert name in str(answer.error)


def test_a_value_that_cannot_travel_is_an_error_of_its_item() -> None:
    answers = in_children(do, [(return_unsendable, ()), (square, (5,))], workers=1)

    assert outcomes(answers)[1] == 25


def test_large_values_arrive_whole() -> None:
    (answer,) = in_children(bytes, [20_000_000], workers=1)

    assert answer.value == bytes(20_000_000)


def test_a_memory_limit_ends_the_child_and_not_the_machine() -> None:
    sizes = [1_000, 8 << 30, 2_000]

    answers = list(in_children(swallow, sizes, workers=1, memory_limit_bytes=2 << 30))

    assert outcomes(answers) == [1_000, Reason.CRASHED, 2_000]
    assert answers[1].detail == "out of memory"


def test_only_as_many_items_are_pulled_as_the_look_ahead_allows() -> None:
    pulled: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1_000_000):
            pulled.append(number)
            yield number

    with contextlib.closing(in_children(square, items(), workers=2, ahead=5)) as answers:
        for yielded in range(20):
            next(answers)
            assert len(pulled) == yielded + 5


def test_children_work_ahead_while_the_caller_is_busy(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(6)]

    with contextlib.closing(in_children(Path.touch, files, workers=1, ahead=6)) as answers:
        next(answers)
        while not files[-1].exists():
            time.sleep(0.01)


def test_one_child_serves_many_items_and_keeps_what_it_loaded() -> None:
    assert outcomes(in_children(RemembersItsProcess(), [7, 8, 9], workers=1)) == [7, 7, 7]
    assert len(set(outcomes(in_children(process_id, range(6), workers=1)))) == 1


def test_no_item_starts_no_child() -> None:
    assert list(in_children(hang, [], workers=2)) == []


def test_an_error_of_the_source_of_items_reaches_the_caller_and_ends_the_children() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(in_children(square, items(), workers=1))


def test_closing_the_generator_ends_children_that_hang(tmp_path: Path) -> None:
    work = [(process_id, ()), (process_id, ()), *[(hang, ())] * 6]

    with contextlib.closing(in_children(do, work, workers=2, ahead=4, time_limit_seconds=3600)) as answers:
        pids = {next(answers).value, next(answers).value}

    assert not any(is_alive(pid) for pid in pids)


def test_children_ignore_the_interrupt_that_is_meant_for_their_parent() -> None:
    assert outcomes(in_children(interrupt_oneself, [None], workers=1)) == ["still here"]


def test_what_a_child_prints_stays_off_the_output_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert outcomes(in_children(print_loudly, ["loud"], workers=1)) == ["loud"]

    captured = capfd.readouterr()
    assert captured.out == ""
    assert "loud" in captured.err


def test_a_function_that_no_import_finds_is_a_mistake_of_the_caller() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        list(in_children(lambda number: number, [3], workers=1))


def test_a_function_whose_module_the_child_cannot_import_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("only_here")
    monkeypatch.setitem(sys.modules, "only_here", module)
    exec("def work(item): return item", module.__dict__)

    with pytest.raises(ModuleNotFoundError, match="only_here"):
        list(in_children(module.work, [1], workers=1))


def test_an_item_that_cannot_travel_is_a_mistake_of_the_caller() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        list(in_children(str, [lambda: None], workers=1))


def run_parent(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments], stdout=subprocess.PIPE, text=True
    )


def test_a_parent_of_any_kind_of_main_can_use_children() -> None:
    program = """
        import math
        from pagemill.children import in_children
        print([answer.value for answer in in_children(math.sqrt, [4, 9], workers=1)])
    """
    with run_parent(program) as parent:
        assert parent.communicate()[0].strip() == "[2.0, 3.0]"


def test_a_child_imports_only_what_its_function_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HEAVY_MODULES:
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name) or type(sys)(name))

    assert outcomes(in_children(is_imported, HEAVY_MODULES, workers=1)) == [False] * len(HEAVY_MODULES)


@pytest.mark.parametrize("end_of_parent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_die_with_their_parent_even_while_they_hang(tmp_path: Path, end_of_parent: signal.Signals) -> None:
    program = """
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.path.insert(0, sys.argv[1])
        from pagemill.children import in_children
        from test_children import announce_and_hang
        list(in_children(announce_and_hang, [sys.argv[2]] * 2, workers=2, time_limit_seconds=3600))
    """
    with run_parent(program, str(Path(__file__).parent), str(tmp_path)) as parent:
        while len(children := list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        parent.send_signal(end_of_parent)

    wait_until_gone(int(child.name) for child in children)


def test_a_parent_that_ends_without_closing_takes_its_children_along(tmp_path: Path) -> None:
    program = """
        import pathlib, sys, time
        sys.path.insert(0, sys.argv[1])
        from pagemill.children import in_children
        from test_children import announce_and_hang_unless_first
        answers = in_children(announce_and_hang_unless_first, [sys.argv[2]] * 3, workers=1, time_limit_seconds=3600)
        next(answers)
        while len(list(pathlib.Path(sys.argv[2]).iterdir())) < 2:
            time.sleep(0.01)
    """
    with run_parent(program, str(Path(__file__).parent), str(tmp_path)) as parent:
        parent.wait()

    wait_until_gone(int(file.name) for file in tmp_path.iterdir() if file.name != "first")


def test_a_crew_can_be_warmed_up_before_there_is_work() -> None:
    with Crew(process_id, workers=1) as crew:
        crew.warm_up()
        numbers = {crew.submit(item).result().value for item in range(3)}
    assert len(numbers) == 1


def test_what_a_closed_crew_has_not_begun_is_cancelled() -> None:
    crew = Crew(time.sleep, workers=1)
    futures = [crew.submit(600) for _ in range(3)]
    while not futures[0].running():
        time.sleep(0.001)
    crew.close()
    assert [future.cancelled() for future in futures] == [False, True, True]


def test_an_item_that_its_owner_cancels_is_passed_over() -> None:
    with Crew(time.sleep, workers=1) as crew:
        first, second, third = (crew.submit(0.01) for _ in range(3))
        assert second.cancel()
        assert third.result().ok
        assert first.result().ok
