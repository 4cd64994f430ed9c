"""The stage that opens every PDF once and says which pages there are to read."""

import contextlib
import dataclasses
import itertools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from pagemill.children import Answer, cpu_count, in_children
from pagemill.manifest import Manifest, Outcome, Stage
from pagemill.pages.document import Examination, PdfFacts, examine
from pagemill.progress import track
from pagemill.records import MemberRecord, PageInspection, PdfRecord, Reason, Status
from pagemill.storage import Store

INSPECT = Stage("inspect_pdfs", 1, PdfRecord)
MEMORY_LIMIT_BYTES = 6 << 30  # address space of one child, so that a hostile PDF cannot take the machine's

Inspection = tuple[PdfFacts, tuple[PageInspection, ...]]
PdfAnswer = Answer[Examination, Inspection]


def inspect_pdfs(
    members: Manifest[MemberRecord],
    store: Store,
    *,
    time_limit_seconds: float = 120.0,
    max_pages: int = 20_000,
    max_page_points: float = 14_400.0,
    workers: int = 0,
) -> Manifest[PdfRecord]:
    """Open each distinct PDF among the members, in a child process, and record what is in it.

    A PDF that cannot be read becomes a failed row with its reason. One whose text layers take too long
    or crash PDFium is looked at again without them, so that its pages are still rendered.
    What is found of each page lies in the store, for `read_inspections`.

    Args:
        members: Members of archives; those with status `ok` are PDFs in the store.
        store: Holds the PDFs and receives the inspections.
        time_limit_seconds: For one PDF.
        max_pages: A PDF with more is not read.
        max_page_points: A page with a longer side (1/72 inch) is not read; the default is the
            largest page that Acrobat makes.
        workers: PDFs at once; 0 for one a CPU.

    Raises:
        OSError: When the store cannot be read or written.
    """
    limits = _Limits(time_limit_seconds, max_pages, max_page_points)
    parameters = dataclasses.asdict(limits)
    inspector = _Inspector(store, _folder(INSPECT.config_key(parameters)), limits, workers or cpu_count())

    def body() -> Outcome[PdfRecord]:
        sources = _distinct(members.rows)
        facts = inspector.known(sources)
        missing = [sha256 for sha256 in sources if sha256 not in facts]
        facts |= track(inspector.inspect(missing), "inspect PDFs", len(missing))
        return Outcome([_record(source, facts[sha256]) for sha256, source in sources.items()], _counts(facts.values()))

    return INSPECT.once(store, [members], parameters, body, {"workers": workers})


def read_inspections(pdfs: Manifest[PdfRecord], pdf_sha256: str, store: Store) -> Iterator[PageInspection]:
    """Yield the inspections of a PDF's pages, in order; none when the PDF could not be read."""
    name = f"{_folder(pdfs.config_key)}/{pdf_sha256}.jsonl"
    if store.exists(name):
        _, *pages = store.read_jsonl(name)
        yield from map(PageInspection.from_dict, pages)


def _folder(config_key: str) -> str:
    return f"inspections/{config_key}"


def _distinct(members: Iterable[MemberRecord]) -> dict[str, MemberRecord]:
    """Return the first member, by archive and path, that holds each PDF."""
    found = (member for member in members if member.status is Status.OK and member.sha256)
    sources: dict[str, MemberRecord] = {}
    for member in sorted(found, key=lambda member: (member.archive, member.member_path)):
        sources.setdefault(member.sha256, member)
    return sources


@dataclasses.dataclass(frozen=True)
class _Limits:
    time_limit_seconds: float
    max_pages: int
    max_page_points: float


@dataclasses.dataclass(frozen=True)
class _Inspector:
    """Examines PDFs of the store in children and keeps what they find."""

    store: Store
    folder: str
    limits: _Limits
    workers: int

    def known(self, digests: Iterable[str]) -> dict[str, PdfFacts]:
        """Return the facts that an earlier run has kept, by the digest of the PDF."""
        names = {sha256: f"{self.folder}/{sha256}.jsonl" for sha256 in digests}
        return {sha256: self._first(name) for sha256, name in names.items() if self.store.exists(name)}

    def _first(self, name: str) -> PdfFacts:
        return PdfFacts.from_dict(next(self.store.read_jsonl(name)))

    def inspect(self, digests: Sequence[str]) -> Iterator[tuple[str, PdfFacts]]:
        """Yield the facts of each PDF, by its digest, in any order."""
        lost = {}
        for sha256, answer in self._answers(digests, with_text=True):
            if answer.reason is None:
                yield sha256, self._keep(sha256, answer)
            else:
                lost[sha256] = answer
        for sha256, answer in self._answers(list(lost), with_text=False):
            yield sha256, self._keep(sha256, answer, lost[sha256])

    def _answers(self, digests: Sequence[str], *, with_text: bool) -> Iterator[tuple[str, PdfAnswer]]:
        """Examine PDFs, each under a local path for as long as its child needs it."""
        leases = deque[contextlib.ExitStack]()

        def examinations() -> Iterator[Examination]:
            for sha256 in digests:
                leases.append(contextlib.ExitStack())
                path = leases[-1].enter_context(self.store.local(f"pdf/{sha256}.pdf"))
                yield Examination(str(path), self.limits.max_pages, self.limits.max_page_points, with_text)

        answers = in_children(
            examine,
            examinations(),
            workers=self.workers,
            time_limit_seconds=self.limits.time_limit_seconds,
            memory_limit_bytes=MEMORY_LIMIT_BYTES,
        )
        with contextlib.ExitStack() as unfinished, contextlib.closing(answers):
            unfinished.callback(_close_all, leases)
            for sha256, answer in zip(digests, answers, strict=True):
                leases.popleft().close()
                yield sha256, answer

    def _keep(self, sha256: str, answer: PdfAnswer, before: PdfAnswer | None = None) -> PdfFacts:
        """Write what an examination found; the loss of a child is not kept, so that it can be tried again."""
        if answer.reason is not None:
            return PdfFacts(reason=answer.reason, detail=answer.detail)
        facts, pages = _found(answer)
        if before is not None:
            facts = dataclasses.replace(facts, detail=f"text layers not read: {before.reason}, {before.detail}")
        rows = itertools.chain([facts], pages)
        self.store.write_jsonl(f"{self.folder}/{sha256}.jsonl", (row.to_dict() for row in rows))
        return facts


def _close_all(leases: Iterable[contextlib.ExitStack]) -> None:
    for lease in leases:
        lease.close()


def _found(answer: PdfAnswer) -> Inspection:
    """Return what an examination found; what PDFium or the decoding of its strings raised is the PDF's fault."""
    if answer.error is None or isinstance(answer.error, OSError):
        return answer.value
    return PdfFacts(reason=Reason.BROKEN_PDF, detail=answer.detail), ()


def _record(source: MemberRecord, facts: PdfFacts) -> PdfRecord:
    return PdfRecord(
        pdf_sha256=source.sha256,
        archive=source.archive,
        archive_sha256=source.archive_sha256,
        member_path=source.member_path,
        size_bytes=source.size_bytes,
        num_pages=facts.num_pages,
        status=Status.FAILED if facts.reason else Status.OK,
        reason=facts.reason,
        detail=facts.detail,
        title=facts.title,
        author=facts.author,
        encrypted=facts.encrypted,
        created=facts.created,
        added=source.modified,
    )


def _counts(facts: Collection[PdfFacts]) -> dict[str, int]:
    readable = [each for each in facts if each.reason is None]
    return {
        "pdfs": len(facts),
        "pdfs_encrypted": sum(each.encrypted for each in readable),
        "pdfs_without_text_layer": sum(each.pages_with_text == 0 for each in readable),
        "pages": sum(each.num_pages for each in readable),
        "pages_too_large": sum(each.pages_too_large for each in readable),
        "pages_with_text_layer": sum(each.pages_with_text for each in readable),
    }
