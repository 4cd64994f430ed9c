"""The hostile PDFs of the tests do what is said of them, each in a child that can be spared."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pagemill.children import Answer, Crew
from pagemill.pages.document import Examination, PdfFault, examine, text_layer
from pagemill.pages.render import RenderError, render_page
from pagemill.records import Reason
from tests import hostile_pdfs
from tests.hostile_pdfs import HOSTILE_PAGE, SOUND_PAGES

PATIENCE_SECONDS = 0.6  # for what never ends
MEMORY_BYTES = 512 << 20

HOSTILE_PAGES = [
    hostile_pdfs.write_endless_forms,
    hostile_pdfs.write_endless_picture,
    hostile_pdfs.write_slow_image,
    hostile_pdfs.write_starving,
    hostile_pdfs.write_crashing,
    hostile_pdfs.write_broken_content,
    hostile_pdfs.write_huge_page,
]


def look(order: tuple):
    """Do in a child what the order says: a function and what it is to be given."""
    function, *arguments = order
    return function(*arguments)


def facts_of(path: str, with_text: bool = True):
    return examine(Examination(path, 20_000, 14_400.0, with_text))


Look = Callable[..., Answer]


def looking(**limits: float) -> Iterator[Look]:
    with Crew(look, workers=1, **limits) as crew:
        yield lambda *order: crew.submit(order).result()


@pytest.fixture(scope="module")
def patiently() -> Iterator[Look]:
    yield from looking(time_limit_seconds=60.0)


@pytest.fixture(scope="module")
def briefly() -> Iterator[Look]:
    yield from looking(time_limit_seconds=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def in_little_memory() -> Iterator[Look]:
    yield from looking(time_limit_seconds=60.0, memory_limit_bytes=MEMORY_BYTES)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Callable[[Callable[[Path], None]], str]:
    """Returns the path of what a function writes; each writes once."""
    folder = tmp_path_factory.mktemp("hostile")

    @functools.cache
    def path_of(write: Callable[[Path], None]) -> str:
        path = folder / f"{write.__name__}.pdf"
        write(path)
        return str(path)

    return path_of


# Pages


@pytest.mark.parametrize("write", HOSTILE_PAGES)
def test_the_pages_beside_a_hostile_one_are_sound(written, patiently, write):
    path = written(write)
    for page in (1, 3):
        assert patiently(text_layer, path, page).value == SOUND_PAGES[page - 1]
        picture = patiently(render_page, path, page).value
        assert (picture.width, picture.height) == (560, 794)
    assert patiently(facts_of, path, False).value[0].num_pages == 3


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (hostile_pdfs.write_endless_forms, text_layer),
        (hostile_pdfs.write_endless_forms, render_page),
        (hostile_pdfs.write_endless_picture, render_page),
        (hostile_pdfs.write_slow_image, render_page),
        (hostile_pdfs.write_starving, render_page),
    ],
)
def test_a_page_without_end_is_given_up(written, briefly, write, read):
    answer = briefly(read, written(write), HOSTILE_PAGE)
    assert (answer.reason, answer.detail) == (Reason.TIME_LIMIT, "no answer within 0.6 s")


@pytest.mark.parametrize("write", [hostile_pdfs.write_endless_forms, hostile_pdfs.write_starving])
@pytest.mark.parametrize("read", [text_layer, render_page])
def test_a_page_that_wants_too_much_memory_ends_its_child(written, in_little_memory, write, read):
    assert in_little_memory(read, written(write), HOSTILE_PAGE).reason is Reason.CRASHED


@pytest.mark.parametrize("read", [text_layer, render_page])
def test_a_page_that_crashes_pdfium_ends_its_child(written, patiently, read):
    answer = patiently(read, written(hostile_pdfs.write_crashing), HOSTILE_PAGE)
    assert (answer.reason, answer.detail) == (Reason.CRASHED, "killed by SIGSEGV")


@pytest.mark.parametrize("write", [hostile_pdfs.write_endless_picture, hostile_pdfs.write_slow_image])
def test_the_text_of_a_page_may_be_had_where_its_picture_is_not(written, patiently, write):
    assert patiently(text_layer, written(write), HOSTILE_PAGE).value == SOUND_PAGES[1]


def test_broken_content_is_drawn_as_far_as_it_goes(written, patiently):
    path = written(hostile_pdfs.write_broken_content)
    assert patiently(text_layer, path, HOSTILE_PAGE).value == ""
    picture = patiently(render_page, path, HOSTILE_PAGE).value.image()
    assert picture.getpixel((280, 200)) == (51, 51, 51)


def test_a_huge_page_has_too_many_pixels(written, patiently):
    path = written(hostile_pdfs.write_huge_page)
    answer = patiently(render_page, path, HOSTILE_PAGE)
    assert isinstance(answer.error, RenderError)
    assert "14400 x 14400 points are too many pixels" in answer.detail
    assert [page.width_points for page in patiently(facts_of, path).value[1]] == [420.0, 14_400.0, 420.0]


# Files


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (hostile_pdfs.write_locked, Reason.PASSWORD_PROTECTED),
        (hostile_pdfs.write_without_pages, Reason.NO_PAGES),
        (hostile_pdfs.write_truncated, Reason.BROKEN_PDF),
    ],
)
def test_a_file_that_cannot_be_read_says_why(written, patiently, write, reason):
    facts, pages = patiently(facts_of, written(write)).value
    assert (facts.reason, pages) == (reason, ())
    text, picture = (patiently(read, written(write), 1).error for read in (text_layer, render_page))
    assert isinstance(text, PdfFault)
    assert text.reason is reason
    assert isinstance(picture, RenderError)


def test_what_is_encrypted_for_all_is_read_by_all(written, patiently):
    path = written(hostile_pdfs.write_encrypted_for_all)
    facts, _ = patiently(facts_of, path).value
    assert (facts.encrypted, facts.num_pages, facts.pages_with_text) == (True, 3, 3)
    assert patiently(text_layer, path, 2).value == SOUND_PAGES[1]


def test_three_thousand_empty_pages_are_all_there_and_all_white(written, patiently):
    path = written(hostile_pdfs.write_3000_empty_pages)
    facts, pages = patiently(facts_of, path).value
    assert (facts.num_pages, facts.pages_with_text, len(pages)) == (3_000, 0, 3_000)
    assert set(patiently(render_page, path, 3_000).value.rgb) == {255}


def test_a_file_with_a_page_that_crashes_is_examined_without_its_texts(written, patiently):
    path = written(hostile_pdfs.write_crashing)
    assert patiently(facts_of, path).reason is Reason.CRASHED
    facts, pages = patiently(facts_of, path, False).value
    assert (facts.reason, len(pages)) == (None, 3)
