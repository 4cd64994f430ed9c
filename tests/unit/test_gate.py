"""The gate: what counts as failed, and where a run is stopped."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill.dataset import check_failures, failed_fraction
from pagemill.errors import UserError
from pagemill.manifest import Manifest
from pagemill.records import DatasetFile
from pagemill.storage import Store
from tests import chain


def dataset(
    *, pages: int, pages_failed: int = 0, members_failed: int = 0, pages_missing: int = 0
) -> Manifest[DatasetFile]:
    counts = {
        "pages": pages,
        "pages_failed": pages_failed,
        "members_failed": members_failed,
        "pages_missing": pages_missing,
    }
    return Manifest("build_dataset", 1, (), {"name": "books"}, (), counts)


def test_failed_pages_unreadable_pdfs_and_failed_members_count_one_each(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    built = chain.build(store, chain.sample_chains(store))
    # 11 pages of four PDFs of which one failed, one PDF that cannot be opened, one torn member
    assert check_failures(built, max_failed_fraction=0.25) == failed_fraction(built) == 3 / 13


def test_a_run_that_failed_too_often_is_stopped_with_its_counts_and_the_mend() -> None:
    with pytest.raises(UserError) as stopped:
        check_failures(dataset(pages=998, pages_failed=150, members_failed=2), max_failed_fraction=0.1)
    assert stopped.value.subject == "dataset books"
    assert "152 of 1,000" in stopped.value.reason
    assert "15.2%, the limit is 10.0%" in stopped.value.reason
    assert "150 rows of the page ledger, 2 members" in stopped.value.reason
    assert "pagemill ledger STORE --failed" in stopped.value.mend
    assert "max_failed_fraction" in stopped.value.mend


def test_exactly_the_limit_passes() -> None:
    assert check_failures(dataset(pages=10, pages_failed=1)) == 0.1


def test_pages_without_a_row_are_failures() -> None:
    assert failed_fraction(dataset(pages=9, pages_missing=1)) == 0.1


def test_an_archive_that_gave_nothing_at_all_is_a_failure() -> None:
    with pytest.raises(UserError, match="1 of 1 pages"):
        check_failures(dataset(pages=0, members_failed=1), max_failed_fraction=0.99)


def test_nothing_in_is_nothing_failed() -> None:
    assert check_failures(dataset(pages=0), max_failed_fraction=0.0) == 0.0


@pytest.mark.parametrize("limit", [-0.1, 1.5, float("nan")])
def test_a_limit_that_is_no_fraction_is_refused(limit: float) -> None:
    with pytest.raises(UserError, match="is no fraction"):
        check_failures(dataset(pages=1), max_failed_fraction=limit)


@given(ok=st.integers(0, 1000), failed=st.integers(0, 1000), members=st.integers(0, 50), limit=st.floats(0, 1))
def test_it_stops_exactly_what_is_above_the_limit(ok: int, failed: int, members: int, limit: float) -> None:
    built = dataset(pages=ok + failed, pages_failed=failed, members_failed=members)
    fraction = failed_fraction(built)
    assert 0 <= fraction <= 1
    if fraction > limit:
        with pytest.raises(UserError):
            check_failures(built, max_failed_fraction=limit)
    else:
        assert check_failures(built, max_failed_fraction=limit) == fraction
