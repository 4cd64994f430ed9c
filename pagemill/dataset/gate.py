"""The gate before publishing: a run of which too much failed stops here."""

from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.records import DatasetFile


def failed_fraction(dataset: Manifest[DatasetFile]) -> float:
    """Return the part, 0 to 1, of what went into a dataset that failed.

    One thing that went in is a page of a PDF that could be opened, a PDF that could not, or a member
    (or an archive as a whole) that failed before any PDF came out of it. Pages have failed when the
    ledger says so or has no row of them; PDFs that could not be opened have their row in the ledger,
    with page 0. What was left out on purpose (blank pages, repeats, members that are no PDF) is no
    failure. Nothing in gives 0.
    """
    failed, total = _failed_and_total(dataset.counts)
    return failed / total if total else 0.0


def check_failures(dataset: Manifest[DatasetFile], *, max_failed_fraction: float = 0.1) -> float:
    """Return the failed fraction of a dataset when it is at most `max_failed_fraction`.

    Raises:
        UserError: More failed, or the limit is no fraction.
    """
    check_limit(max_failed_fraction)
    fraction = failed_fraction(dataset)
    if fraction > max_failed_fraction:
        failed, total = _failed_and_total(dataset.counts)
        counts = dataset.counts
        raise UserError(
            f"dataset {dataset.parameters.get('name', '')}".rstrip(),
            f"{failed:,} of {total:,} pages, PDFs and members failed ({fraction:.1%}, the limit is "
            f"{max_failed_fraction:.1%}): {counts['pages_failed']:,} rows of the page ledger, "
            f"{counts['members_failed']:,} members of archives, {counts['pages_missing']:,} pages without a row",
            "see why with `pagemill ledger STORE --failed`, mend the cause or raise max_failed_fraction",
        )
    return fraction


def check_limit(max_failed_fraction: float) -> None:
    """Raise UserError when the limit is no fraction."""
    if not 0 <= max_failed_fraction <= 1:
        raise UserError(f"max_failed_fraction {max_failed_fraction}", "is no fraction", "give a number from 0 to 1")


def _failed_and_total(counts: dict[str, int]) -> tuple[int, int]:
    beside_ledger = counts["members_failed"] + counts["pages_missing"]
    return counts["pages_failed"] + beside_ledger, counts["pages"] + beside_ledger
