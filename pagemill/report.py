"""Reports a run as one self-contained page: what came out, what did not and why, and where it stands."""

import dataclasses
import json
import logging
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pagemill import __version__
from pagemill.dataset.card import token_histogram
from pagemill.ledger import LedgerSummary
from pagemill.manifest import Manifest
from pagemill.records import BookRecord, DatasetFile, MemberRecord, PageRecord, PdfRecord, Status
from pagemill.runs import SHARD_STAGES, Run, ShardRun, find_run, run_drops, run_pages
from pagemill.storage import Store
from pagemill.templates import html_templates
from pagemill.text.judging.drops import DropCount, count_drops

if TYPE_CHECKING:
    from pagemill.costs.comparison import Comparison

log = logging.getLogger("pagemill")
Found = TypeVar("Found")

LISTED_FAILURES = 200
GOOD, FAIR, POOR, PLAIN = "#2e8b6f", "#c98a1b", "#c2402f", "#4a78b5"
STATUS_COLORS = {
    Status.OK: GOOD,
    Status.FALLBACK: FAIR,
    Status.TRUNCATED: FAIR,
    Status.EMPTY: PLAIN,
    Status.SKIPPED: FAIR,
    Status.FAILED: POOR,
}
Bar = tuple[str, float, str]  # label, length, colour
# Numbers of tokens and tokenizers are no secrets; a token is.
SECRET_NAME = re.compile(r"token(?!s|izer)|password|secret|credential", re.IGNORECASE)
SECRETS_IN_TEXT = (
    (re.compile(r"(://)[^/\s@]+@"), r"\1***@"),  # user and password of a URL
    (re.compile(r"([?&][^=\s&]*(?:token|key|signature|credential)[^=\s&]*=)[^&\s]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_***"),
)


@dataclasses.dataclass(frozen=True)
class Chart:
    """A bar chart of the page."""

    title: str
    axis: str
    bars: list[Bar]
    number: str = ",.0f"  # format of the values
    logarithmic: bool = False

    def draw(self) -> str:
        """Return the chart as SVG."""
        from pagemill.plots import bar_chart

        labels, values, colors = zip(*self.bars, strict=True)
        return bar_chart(
            labels,
            values,
            colors,
            axis=self.axis,
            title=self.title,
            number=self.number,
            logarithmic=self.logarithmic,
        )


@dataclasses.dataclass
class RunFacts:
    """What the page tells of a run, counted over distinct PDFs."""

    members: int = 0
    failed_members: list[MemberRecord] = dataclasses.field(default_factory=list)
    pdfs: dict[str, PdfRecord] = dataclasses.field(default_factory=dict)
    pages: LedgerSummary = dataclasses.field(default_factory=LedgerSummary)
    failed_pages: list[PageRecord] = dataclasses.field(default_factory=list)  # the first LISTED_FAILURES
    page_tokens: Counter[int] = dataclasses.field(default_factory=Counter)
    documents: int = 0
    chunk_tokens: Counter[int] = dataclasses.field(default_factory=Counter)
    drops: Counter[str] = dataclasses.field(default_factory=Counter)
    filtered: list[DropCount] = dataclasses.field(default_factory=list)  # what the profile's rules left out

    @property
    def failed_pdfs(self) -> list[PdfRecord]:
        """The PDFs that could not be opened."""
        return [pdf for pdf in self.pdfs.values() if pdf.status != Status.OK]


def report_run(
    store: Store,
    out: Path,
    *,
    parameters: Mapping[str, Any],
    status: str = "",
    error: str = "",
    preset: str = "local",
) -> Path:
    """Write one HTML page about a run, from what its stages left in the store; no other file is needed to read it.

    A run that failed is reported as far as it came. Passwords and tokens do not appear.

    Args:
        store: The store of the run.
        out: The file to write.
        parameters: The parameters of the pipeline, by which the run's manifests are found.
        status: How the run ended, as the orchestrator calls it.
        error: Its error message.
        preset: What it ran on, to compare what it was to cost with what it did.

    Returns:
        `out`.
    """
    problems = [error] if error else []
    run = _attempt(problems, Run(), find_run, store, parameters)
    facts = _attempt(problems, RunFacts(), gather_facts, store, run)
    comparison = _attempt(problems, None, _compare, run, preset)
    state = _state(run, status, error)
    page = _render(store, run, facts, comparison, parameters, status, state, "\n".join(problems))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8", errors="replace")  # names in archives need not be Unicode
    return out


def _attempt(problems: list[str], otherwise: Found, look: Callable[..., Found], *arguments: Any) -> Found:
    """Return what `look` finds; when it fails, note why: a run that broke its store needs its report all the more."""
    try:
        return look(*arguments)
    except Exception as error:
        log.warning("the report is incomplete", exc_info=True)
        problems.append(f"This report is incomplete. {type(error).__name__}: {error}")
        return otherwise


def _compare(run: Run, preset: str) -> "Comparison | None":
    from pagemill.costs.comparison import compare
    from pagemill.costs.prices import load_prices

    return compare(run, preset, load_prices())


def gather_facts(store: Store, run: Run) -> RunFacts:
    """Count what a run has done so far."""
    facts = RunFacts()
    for shard in run.shards:
        _add_members(facts, shard)
        for pdf in shard.rows("inspect_pdfs"):
            facts.pdfs.setdefault(pdf.pdf_sha256, pdf)
    facts.drops.update(str(pdf.reason or pdf.status) for pdf in facts.failed_pdfs)
    for page in run_pages(store, run):
        _add_page(facts, page)
    facts.filtered = count_drops(run_drops(store, run))
    if run.dataset:
        _take_dataset(facts, store, run.dataset)
    else:
        facts.documents = sum(1 for _ in _results(run, "clean_documents"))
        for record in _results(run, "chunk_documents"):
            facts.chunk_tokens.update(chunk["token_count"] for chunk in store.read_jsonl(record.result))
    return facts


def _add_members(facts: RunFacts, shard: ShardRun) -> None:
    for member in shard.rows("extract_pdfs"):
        facts.members += 1
        if member.status != Status.OK:
            facts.drops[str(member.reason or member.status)] += 1
        if member.status == Status.FAILED:
            facts.failed_members.append(member)


def _add_page(facts: RunFacts, page: PageRecord) -> None:
    facts.pages.add(page)
    if page.text:
        facts.page_tokens[page.tokens] += 1
    elif page.page:
        facts.drops[str(page.reason or page.status)] += 1
    if page.status == Status.FAILED and len(facts.failed_pages) < LISTED_FAILURES:
        facts.failed_pages.append(page)


def _take_dataset(facts: RunFacts, store: Store, dataset: Manifest[DatasetFile]) -> None:
    """Let the built dataset have the last word: it alone knows of repeats between shards."""
    import pyarrow.parquet as pq

    prefix = "dropped_"
    counts = dataset.counts
    facts.documents = counts["documents"]
    facts.drops = Counter({name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)})
    for file in dataset.rows:
        if file.config == "chunks" and file.path.endswith(".parquet"):
            with store.reading(file.stored) as stream:
                facts.chunk_tokens.update(pq.read_table(stream, columns=["token_count"])["token_count"].to_pylist())


def _results(run: Run, stage: str) -> Iterator[BookRecord]:
    """Yield the books for which a stage has a result, each PDF once."""
    seen: set[str] = set()
    for shard in run.shards:
        for record in shard.rows(stage):
            if record.result and record.pdf_sha256 not in seen:
                seen.add(record.pdf_sha256)
                yield record


def _render(
    store: Store,
    run: Run,
    facts: RunFacts,
    comparison: "Comparison | None",
    parameters: Mapping[str, Any],
    status: str,
    state: str,
    error: str,
) -> str:
    template = html_templates("pagemill").get_template("report.html")
    return template.render(
        store=without_secrets(store.uri),
        state=state,
        status=status,
        error=without_secrets(error),
        tiles=_tiles(run, facts),
        charts=_charts(run, facts),
        comparison=comparison,
        shard_stages=SHARD_STAGES,
        shards=[_shard_row(shard) for shard in run.shards],
        facts=facts,
        paths={sha256: (pdf.archive, pdf.member_path) for sha256, pdf in facts.pdfs.items()},
        listed=LISTED_FAILURES,
        parameters={name: shown_value(name, value) for name, value in sorted(parameters.items())},
        stages=_stage_rows(run),
        versions={"pagemill": __version__, "Python": platform.python_version()},
    )


def shown_value(name: str, value: object) -> str:
    """Return a parameter's value for people to see; of a secret, only whether it is set."""
    if SECRET_NAME.search(name):
        return "(set)" if value else "(not set)"
    return without_secrets(value if isinstance(value, str) else json.dumps(value, default=str))


def without_secrets(text: str) -> str:
    """Return a text without the passwords of URLs, signatures and access tokens in it."""
    for pattern, replacement in SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _state(run: Run, status: str, error: str) -> str:
    """Return "failed", "done" or "unfinished", by what the orchestrator says, else by what there is."""
    if error or status.upper().startswith(("FAIL", "CANCEL")):
        return "failed"
    return "done" if run.dataset else "unfinished"


def _tiles(run: Run, facts: RunFacts) -> list[tuple[str, int, str]]:
    """Return (what, number, remark) of the figures that people look for first."""
    of = facts.pages.by_status
    return [
        ("archives", len(run.archives.rows) if run.archives else 0, f"in {len(run.shards)} shards"),
        ("members", facts.members, f"{len(facts.failed_members):,} failed"),
        ("PDFs", len(facts.pdfs), f"{len(facts.failed_pdfs):,} failed"),
        ("pages", facts.pages.pages, f"{of[Status.FAILED]:,} failed"),
        ("documents", facts.documents, ""),
        ("chunks", facts.chunk_tokens.total(), f"{sum(n * times for n, times in facts.chunk_tokens.items()):,} tokens"),
    ]


def _charts(run: Run, facts: RunFacts) -> list[tuple[str, str]]:
    """Return (title, SVG) of the charts that there is something to show in."""
    statuses: list[Bar] = [
        (f"{status} {reason or ''}".strip(), n, STATUS_COLORS[status]) for status, reason, n in facts.pages.rows()
    ]
    drops: list[Bar] = [
        (reason, number, POOR) for reason, number in sorted(facts.drops.items(), key=lambda drop: (-drop[1], drop[0]))
    ]
    speeds: list[Bar] = [(stage, speed, PLAIN) for stage, speed in pages_per_second(run).items()]
    charts = (
        Chart("Pages by status and reason", "pages", statuses),
        Chart("Pages per second by stage", "pages per second, mean of the shards", speeds, ",.2f", logarithmic=True),
        Chart("Tokens of the pages", "pages", _histogram_bars(facts.page_tokens)),
        Chart("Tokens of the chunks", "chunks", _histogram_bars(facts.chunk_tokens)),
        Chart("Left out, by reason", "members, PDFs, pages and documents", drops),
    )
    return [(chart.title, chart.draw()) for chart in charts if chart.bars]


def _histogram_bars(tokens: Counter[int]) -> list[Bar]:
    return [(f"{low:,} to {high:,}", number, PLAIN) for low, high, number in token_histogram(tokens)]


def pages_per_second(run: Run) -> dict[str, float]:
    """Return how many pages of its shards each stage has handled in each second that it ran."""
    pages: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for shard in run.shards:
        shard_pages = sum(pdf.num_pages for pdf in shard.rows("inspect_pdfs") if pdf.status == Status.OK)
        for stage, manifest in shard.manifests.items():
            pages[stage] += shard_pages
            seconds[stage] += manifest.seconds  # type: ignore[assignment]
    return {stage: pages[stage] / seconds[stage] for stage in SHARD_STAGES if pages[stage] and seconds[stage]}


def _shard_row(shard: ShardRun) -> dict[str, Any]:
    """Return a shard's archives and, stage by stage, how far it came."""
    names = ", ".join(archive.name for archive in shard.archives)
    states = [("done", shard.manifests[stage].seconds) for stage in SHARD_STAGES if stage in shard.manifests]
    waiting = len(SHARD_STAGES) - len(states)
    return {"archives": names, "states": states + [("not finished", 0.0)] * min(waiting, 1), "unreached": waiting - 1}


def _stage_rows(run: Run) -> list[dict[str, Any]]:
    """Return each stage and configuration once, with what decided its result."""
    rows: dict[str, dict[str, Any]] = {}
    for manifest in run.manifests():
        row = rows.setdefault(manifest.config_key, {"manifest": manifest, "runs": 0, "seconds": 0.0})
        row["runs"] += 1
        row["seconds"] += manifest.seconds
        row["parameters"] = {name: shown_value(name, value) for name, value in sorted(manifest.parameters.items())}
    return list(rows.values())
