"""How a run stands: its tasks by the backend, its shards and pages by the store, when it will end, what it cost."""

import dataclasses
import datetime
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pagemill.cloud.backend import Run, State, Task
from pagemill.cloud.labels import PRESET_LABEL
from pagemill.cloud.watching import StoreProgress, StoreWatch
from pagemill.costs.estimate import HOUR_SECONDS, Work, bill, duration
from pagemill.costs.prices import DEFAULT_REGION, PriceTable, load_prices
from pagemill.costs.ranges import Range
from pagemill.presets import DEFAULTS, GPU_TASKS, PRESETS, Preset
from pagemill.storage import Store

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

    from pagemill.settings import Settings

EVIDENCE_SECONDS, EVIDENCE_PAGES = 120, 20  # of reading, before it is said when it will end
SHOWN_ERRORS, SHOWN_SHARDS = 5, 10
READING_TASKS = (*GPU_TASKS, "predict-pages")  # also by an endpoint's GPUs, which are no task's
UNPAID = frozenset({State.PENDING, State.CACHED, State.SKIPPED})
COLUMNS = (
    ("done", (State.SUCCEEDED, State.CACHED)),
    ("running", (State.RUNNING, State.CANCELLING)),
    ("waiting", (State.PENDING,)),
    ("failed", (State.FAILED,)),
    ("not run", (State.SKIPPED, State.CANCELLED)),
)

log = logging.getLogger("pagemill")


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What `pagemill status` shows of a run."""

    run: Run
    progress: StoreProgress
    store_problem: str  # why the store tells nothing; "" when it does
    eta_seconds: float | None  # until all pages are read; None without evidence
    cost: float | None  # so far, of what has a price; None on machines of one's own
    currency: str
    unpriced: tuple[str, ...]
    retry: str = ""  # the command that goes on from here, where the run has failed

    @property
    def errors(self) -> list[str]:
        """What went wrong in tasks, each once with the shards that it befell; what was cancelled is not wrong."""
        shards: dict[tuple[str, str], list[int]] = {}
        for task in self.run.tasks:
            if task.error and task.state is not State.CANCELLED:
                befallen = shards.setdefault((task.name, task.error), [])
                befallen += [] if task.iteration is None else [task.iteration]
        return [f"{name}{_named(sorted(befallen))}: {error}" for (name, error), befallen in shards.items()]

    @property
    def failure(self) -> str:
        """Why the run failed: what its first failed task says, which tells more than what the backend says of it."""
        return next(iter(self.errors), self.run.error)

    @property
    def tasks(self) -> dict[str, Counter[State]]:
        """The tasks by name, counted by state, in the order in which they began."""
        counted: dict[str, Counter[State]] = {}
        for task in self.run.tasks:
            counted.setdefault(task.name, Counter())[task.state] += 1
        return counted


class RunWatch:
    """Tells how a run stands, as often as one likes: `standing` may be called every few seconds."""

    def __init__(
        self,
        store: Store | None,
        parameters: Mapping[str, Any],
        prices: PriceTable,
        preset: Preset,
        region: str = DEFAULT_REGION,
        to: str = "vertex",
    ) -> None:
        self.store = StoreWatch(store, parameters) if store else None
        self.prices, self.preset, self.region = prices, preset, region
        self.where = f" --to {to}"

    def standing(self, run: Run, now: datetime.datetime | None = None) -> Standing:
        """Return how the run stands by what the backend has just told of it, its tasks too, and by the store."""
        now = now or datetime.datetime.now(datetime.UTC)
        progress, problem = self._look(run)
        items = bill(self.preset, self.prices, self.region, _work(run, now)) if self.preset.backend != "local" else ()
        return Standing(
            run=run,
            progress=progress,
            store_problem=problem,
            eta_seconds=_eta_seconds(run, progress, now),
            cost=sum(item.cost.likely for item in items if item.cost) if items else None,
            currency=self.prices.currency,
            unpriced=tuple(item.name for item in items if item.price is None and item.amount.likely),
            retry=f"pagemill retry {run.id}{self.where}" if run.state is State.FAILED else "",
        )

    def _look(self, run: Run) -> tuple[StoreProgress, str]:
        """Look into the store; what goes wrong there does not hide what the backend tells."""
        if self.store is None:
            return StoreProgress(), "the run names no store that can be looked into"
        try:
            return self.store.look(run.started or run.created), ""
        except Exception as error:
            log.debug("the store cannot be read", exc_info=True)
            return StoreProgress(), f"{self.store.store.uri} cannot be read ({type(error).__name__})"


def watch_of(run: Run, settings: "Settings") -> RunWatch:
    """Return what watches a run, with the prices of the settings and the preset that its labels name."""
    name = run.labels.get(PRESET_LABEL) or settings.preset or DEFAULTS[settings.to]
    preset = PRESETS.get(name, PRESETS[DEFAULTS[settings.to]])
    prices = load_prices(settings.prices)
    return RunWatch(_store_of(run), run.parameters, prices, preset, settings.vertex.region, settings.to)


def _store_of(run: Run) -> Store | None:
    try:
        return Store(str(run.parameters["store"]))
    except (KeyError, ValueError, ImportError):  # none, or on a file system that is not known here
        return None


def standing_of(run: Run, settings: "Settings") -> Standing:
    """Return how a run stands, once; to look again and again, keep what `watch_of` gives."""
    return watch_of(run, settings).standing(run)


def _work(run: Run, now: datetime.datetime) -> Work:
    """Return for how long a run's tasks have had machines; what a task waited for its machine counts as well."""
    began = run.started or run.created
    wall_seconds = max(0.0, ((run.ended or now) - began).total_seconds()) if began else 0.0
    return Work(
        gpu_machine_hours=_hours((task for task in run.tasks if task.name in GPU_TASKS), now),
        cpu_machine_hours=_hours((task for task in run.tasks if task.name not in GPU_TASKS), now),
        wall_hours=Range.exactly(wall_seconds / HOUR_SECONDS),
    )


def _hours(tasks: Iterable[Task], now: datetime.datetime) -> Range:
    seconds = (
        ((task.ended or now) - task.started).total_seconds()
        for task in tasks
        if task.started and task.state not in UNPAID
    )
    return Range.exactly(sum(max(0.0, each) for each in seconds) / HOUR_SECONDS)


def _eta_seconds(run: Run, progress: StoreProgress, now: datetime.datetime) -> float | None:
    """Return how long the rest of the pages takes at the rate of those read since the first shard was begun."""
    starts = [
        task.started for task in run.tasks if task.name in READING_TASKS and task.started and task.state not in UNPAID
    ]
    left = progress.pages - progress.pages_done
    if run.state.ended or not starts or progress.pages_since < EVIDENCE_PAGES or left <= 0:
        return None
    seconds = (now - min(starts)).total_seconds()
    return left * seconds / progress.pages_since if seconds >= EVIDENCE_SECONDS else None


def render(standing: Standing) -> "RenderableType":
    """Return a standing for the terminal; print it with `soft_wrap`, so that the console's address stays whole."""
    return _View(standing)


@dataclasses.dataclass(frozen=True, slots=True)
class _View:
    """A standing with what matters first, for a terminal may be low, and without bars where it is narrow."""

    standing: Standing

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.measure import Measurement
        from rich.text import Text

        run, errors = self.standing.run, self.standing.errors
        yield Text.assemble((run.name, "bold"), f"  {run.state}")
        address = Text(run.console, f"dim link {run.console}" if run.console else "", no_wrap=True)
        address.overflow = options.overflow or "ellipsis"  # where it is cut, the link leads there still
        yield address
        yield from map(Text, _lines(self.standing))
        yield from (Text(error, "red") for error in errors[:SHOWN_ERRORS] or [run.error] if error)
        if more := errors[SHOWN_ERRORS:]:
            yield Text(f"and {len(more)} other errors, which the console shows", "red")
        table = _tasks_table(self.standing, bars=True)
        fits = Measurement.get(console, options, table).maximum <= options.max_width
        yield table if fits else _tasks_table(self.standing, bars=False)
        if self.standing.retry:
            yield Text(f"`{self.standing.retry}` runs what failed and what depends on it")


def _tasks_table(standing: Standing, *, bars: bool) -> "Table":
    """Return a row a task type: a bar, and how many tasks there are in which state."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("task", no_wrap=True, min_width=max(map(len, standing.tasks), default=0))
    if bars:
        table.add_column("")
    for name, _ in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    looped = {task.name for task in standing.run.tasks if task.iteration is not None}
    for name, states in standing.tasks.items():
        total = max(states.total(), standing.progress.shards if name in looped else 0)
        numbers = {column: sum(states[state] for state in group) for column, group in COLUMNS}
        numbers["waiting"] += total - states.total()  # shards whose turn has not come are not told of
        bar = [ProgressBar(total=total, completed=numbers["done"], width=20)] if bars else []
        table.add_row(name, *bar, *(f"{number:,}" if number else "" for number in numbers.values()))
    return table


def _lines(standing: Standing) -> list[str]:
    progress = standing.progress
    if standing.store_problem:
        lines = [f"pages   not known: {standing.store_problem}"]
    elif not progress.shards:
        lines = ["shards  not planned yet"]
    else:
        about = "" if progress.pages_are_known else "about "
        share = f", {progress.pages_done / progress.pages:.0%}" if progress.pages else ""
        failed = f"; {progress.pages_failed:,} failed" if progress.pages_failed else ""
        lines = [
            f"shards  {progress.shards_done:,} of {progress.shards:,}",
            f"pages   {progress.pages_done:,} of {about}{progress.pages:,}{share}{failed}",
        ]
    if standing.eta_seconds is not None:
        lines.append(f"left    {duration(standing.eta_seconds)} of reading at the present rate")
    if standing.cost is not None:
        without = f"; no price for {', '.join(standing.unpriced)}" if standing.unpriced else ""
        lines.append(f"cost    about {standing.cost:,.2f} {standing.currency} so far{without}")
    return lines


def _named(shards: list[int]) -> str:
    """Return which shards are meant, for behind a task's name; "" for a task that has none."""
    if not shards:
        return ""
    more = f" and {len(shards) - SHOWN_SHARDS} more" if len(shards) > SHOWN_SHARDS else ""
    return f", shard{'s' if shards[1:] else ''} {', '.join(map(str, shards[:SHOWN_SHARDS]))}{more}"
