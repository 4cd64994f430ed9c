"""What the benchmarks make of their measurements: the stock command's files, verdicts on pages, and decode slots."""

import pytest

from benchmarks.ocr_stock import UNREADABLE, StockPage, Verdict, slots_used, stock_file, verdict_on


def page(text: str = "Text.", repeats: int | None = None, steps: int = 10) -> StockPage:
    return StockPage(text, repeats, steps, seconds_preparing=0.0, seconds_reading=0.0)


def test_a_stock_file_is_its_pages_one_after_another_with_at_most_one_empty_line():
    assert stock_file([page("\n\n# One\n\n"), page("\n\n\nTwo, which "), page("ends here.\n")]) == (
        "# One\n\nTwo, which ends here."
    )


def test_a_stock_file_has_marks_for_the_pages_that_the_command_gives_up_on():
    pages = [page("One."), page("Looped, looped,", repeats=7), page(UNREADABLE), page("", repeats=0)]
    assert stock_file(pages, pages_before=20) == (
        "One.\n\n[MISSING_PAGE_FAIL:2]\n\n[MISSING_PAGE_EMPTY:3]\n\n[MISSING_PAGE_EMPTY:24]"
    )


@pytest.mark.parametrize(
    ("stock", "text", "verdict"),
    [
        (page("Text."), "Text.", Verdict.IDENTICAL),
        (page("Text."), "Text. ", Verdict.DIFFERENT),
        (page("Text."), "", Verdict.DIFFERENT),
        (page(""), "", Verdict.IDENTICAL),
        (page("Looped, looped,", repeats=7), "Looped, looped,", Verdict.PREFIX),
        (page("Looped, looped,", repeats=7), "Looped,", Verdict.OTHER_PREFIX),
        (page("Looped, looped,", repeats=7), "", Verdict.NOTHING),
        (page(UNREADABLE), "", Verdict.NOTHING),
    ],
)
def test_every_page_gets_a_verdict(stock: StockPage, text: str, verdict: Verdict):
    assert verdict_on(stock, text, None, blank=False) is verdict


def test_a_blank_page_that_is_not_shown_to_the_model_is_counted_apart():
    assert verdict_on(page(""), "", "blank_page", blank=True) is Verdict.BLANK
    assert verdict_on(page("The the the"), "", "blank_page", blank=True) is Verdict.INVENTED


def test_a_page_that_is_blank_only_to_us_differs():
    assert verdict_on(page("Text."), "", "blank_page", blank=False) is Verdict.DIFFERENT


def test_a_static_batch_goes_on_for_its_longest_page():
    assert slots_used([10, 30, 20, 5], batch_size=1) == 1
    assert slots_used([10, 30, 20, 5], batch_size=2) == 65 / (2 * 30 + 2 * 20)
    assert slots_used([10, 30, 20], batch_size=2) == 60 / (2 * 30 + 20)
