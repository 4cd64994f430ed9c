"""The Nougat engine: the text of a page is what the unmodified package gives for it, and every page has a status."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageDraw

from pagemill.errors import UserError
from pagemill.ocr import nougat
from pagemill.ocr.checkpoint import resolve_checkpoint
from pagemill.ocr.engine import EngineLost, PageText, load_engine, preparer_for
from pagemill.ocr.nougat import is_blank
from pagemill.ocr.reading import Reader
from pagemill.ocr.words import provide_word_list, write_word_list
from pagemill.records import Reason, Status
from pagemill.storage import Store
from tests import pdfs
from tests.tiny_nougat import write_checkpoint

PAGES = 8
BOOK = pdfs.book([f"= Chapter {page}\n\n#lorem({15 + 17 * page})\n\n$ x_{page} = y $" for page in range(PAGES)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return resolve_checkpoint(str(write_checkpoint(folder / "tiny")), Store(str(folder / "store")))


@pytest.fixture(scope="module")
def engine(checkpoint):
    return load_engine("nougat", checkpoint, "cpu", threads=1)


@pytest.fixture(scope="module")
def images():
    return [page.render(scale=96 / 72).to_pil() for page in pypdfium2.PdfDocument(BOOK)]


@pytest.fixture(scope="module")
def pages(checkpoint, images):
    prepare = preparer_for("nougat", checkpoint)
    return [prepare(image) for image in images]


def answer(text="text", sequence=(0, 5, 6, 2), repeats=None):
    """What `model.inference` would return for a batch of one page."""
    return {"predictions": [text], "sequences": nougat.torch.tensor([list(sequence)]), "repeats": [repeats]}


# Equality with the stock package


def test_pages_are_prepared_as_the_model_itself_does(engine, images, pages):
    for image, page in zip(images, pages, strict=True):
        assert page.dtype == np.float32
        np.testing.assert_array_equal(page, engine.model.encoder.prepare_input(image, random_padding=False).numpy())


def test_the_preparer_travels_to_another_process(checkpoint, images, pages):
    prepare = pickle.loads(pickle.dumps(preparer_for("nougat", checkpoint)))

    np.testing.assert_array_equal(prepare(images[0]), pages[0])


@pytest.mark.parametrize("batch_size", [1, 3, PAGES])
def test_texts_are_those_of_model_inference_for_the_same_batch(engine, pages, batch_size):
    from nougat.postprocessing import markdown_compatible

    for start in range(0, PAGES, batch_size):
        batch = pages[start : start + batch_size]
        stock = engine.model.inference(image_tensors=nougat.torch.from_numpy(np.stack(batch)), early_stopping=True)

        assert [page.text for page in engine.read(batch)] == [
            markdown_compatible(text) for text in stock["predictions"]
        ]


def test_a_batch_reads_as_its_pages_do_alone(engine, pages):
    assert engine.read(pages) == [engine.read([page])[0] for page in pages]


def test_the_tiny_model_shows_both_kinds_of_page(engine, pages):
    read = engine.read(pages)

    assert {page.status for page in read} == {Status.OK, Status.TRUNCATED}
    assert {page.reason for page in read} == {None, Reason.LENGTH_LIMIT}
    assert len({page.text for page in read}) == PAGES
    assert all(0 < page.tokens <= 58 for page in read)


# Status and reason


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (answer(), PageText("text", 2, Status.OK)),
        (answer("so far", (0, 5, 6, 1, 1, 1), repeats=3), PageText("so far", 2, Status.TRUNCATED, Reason.REPETITION)),
        (answer("", (1, 1, 1), repeats=0), PageText("", 0, Status.FAILED, Reason.REPETITION_FROM_START)),
        (
            answer("\n\n[MISSING_PAGE_POST]\n\n"),
            PageText("", 2, Status.FAILED, Reason.REPETITION_FROM_START),
        ),
        (answer("", (0, 2)), PageText("", 0, Status.EMPTY, Reason.NO_TEXT)),
        (answer(sequence=[0, *[5] * 58, 2]), PageText("text", 58, Status.TRUNCATED, Reason.LENGTH_LIMIT)),
        (answer(sequence=[0, *[5] * 57, 2, 1]), PageText("text", 57, Status.OK)),
        (answer(sequence=[0, *[5] * 30]), PageText("text", 30, Status.TRUNCATED, Reason.REPETITION)),
        (answer(r"\bm{x} at http://a.org"), PageText(r"\mathbf{x} at [http://a.org](http://a.org)", 2, Status.OK)),
    ],
    ids=[
        "plain",
        "loop cut",
        "loop from the start",
        "nothing but loops",
        "nothing",
        "at the limit",
        "just below the limit",
        "stopped by the loop detector",
        "markdown",
    ],
)
def test_what_inference_says_becomes_a_status(engine, monkeypatch, output, expected):
    monkeypatch.setattr(engine.model, "inference", lambda **inputs: output)

    assert engine.read([np.zeros((3, 96, 48), np.float32)]) == [expected]


class Stutter:
    """Makes a decoder say random words for some steps, now more and now less sure, then one word for ever."""

    def __init__(self, steps: int, end: int) -> None:
        self.steps, self.end = steps, end
        self.random = nougat.torch.Generator().manual_seed(5)

    def __call__(self, module, inputs, logits):
        self.steps -= 1
        if self.steps < 0:
            logits = nougat.torch.zeros_like(logits)
            logits[..., 9] = 5.0
            return logits
        sureness = 20 * nougat.torch.rand(1, generator=self.random)
        logits = sureness + nougat.torch.rand(logits.shape, generator=self.random)
        logits[..., : self.end + 2] = 0.0
        return logits


@pytest.mark.parametrize(
    ("steps", "status", "reason"),
    [(0, Status.FAILED, Reason.REPETITION_FROM_START), (200, Status.TRUNCATED, Reason.REPETITION)],
)
def test_nougats_own_loop_detector_decides_what_is_kept(tmp_path, steps, status, reason):
    folder = write_checkpoint(tmp_path / "loop", max_length=700)
    engine = load_engine("nougat", resolve_checkpoint(str(folder), Store(str(tmp_path / "store"))), "cpu", threads=1)
    engine.model.decoder.model.lm_head.register_forward_hook(Stutter(steps, engine.eos))

    (page,) = engine.read([np.zeros((3, 96, 48), np.float32)])

    assert (page.status, page.reason) == (status, reason)
    assert page.tokens >= steps
    assert bool(page.text) == bool(steps)


# Blank pages


def speckled(level: int, noise: float) -> Image.Image:
    random = np.random.default_rng(3)
    grey = level + random.normal(0, noise, (800, 600)) + np.linspace(-5, 5, 600)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "image",
    [Image.new("RGB", (600, 800), "white"), Image.new("RGB", (600, 800), "black"), speckled(244, 3), speckled(120, 4)],
    ids=["white", "black", "scanned", "dark scan"],
)
def test_a_page_without_ink_is_blank(checkpoint, image):
    assert is_blank(image)
    assert preparer_for("nougat", checkpoint)(image) is None


@pytest.mark.parametrize("paper", [Image.new("L", (600, 800), "white"), speckled(244, 3)], ids=["white", "scanned"])
def test_a_page_with_a_page_number_alone_is_not_blank(paper):
    page = paper.copy()
    ImageDraw.Draw(page).text((300, 760), "7", fill=30, font_size=10)

    assert not is_blank(page)


def test_an_image_that_nougat_takes_nothing_from_is_an_error(checkpoint, monkeypatch, images):
    monkeypatch.setattr(nougat.SwinEncoder, "prepare_input", lambda *arguments, **options: None)

    with pytest.raises(ValueError, match="takes nothing"):
        preparer_for("nougat", checkpoint)(images[0])


# Batches that fail


class Faulty:
    """Stands for an engine that fails on some pages; a page is a number here."""

    name, default_batch_size = "faulty", 4

    def __init__(self, *, holds=99, bad=(), lost=False):
        self.holds, self.bad, self.lost = holds, set(bad), lost
        self.batches = []

    def read(self, pages):
        self.batches.append(list(pages))
        if self.lost:
            raise EngineLost("the device is gone")
        if len(pages) > self.holds:
            raise MemoryError("too many pages")
        if self.bad & set(pages):
            raise RuntimeError("a bad page")
        return [PageText(f"page {page}", 1, Status.OK) for page in pages]


def test_one_bad_page_costs_itself_alone():
    readings = Reader(Faulty(bad=[3])).read([1, 2, 3, 4])

    assert [reading.page.text for reading in readings] == ["page 1", "page 2", "", "page 4"]
    assert [reading.page.reason for reading in readings] == [None, None, Reason.MODEL_ERROR, None]
    assert {reading.attempts for reading in readings} == {2}


def test_a_batch_that_does_not_fit_is_halved_and_the_next_ones_are_smaller():
    reader = Reader(Faulty(holds=2), batch_size=8)

    readings = reader.read(list(range(8)))

    assert [reading.page.text for reading in readings] == [f"page {page}" for page in range(8)]
    assert {reading.attempts for reading in readings} == {1}
    assert reader.batch_size == 2


def test_a_single_page_that_does_not_fit_is_a_failed_page():
    (reading,) = Reader(Faulty(holds=0)).read([1])

    assert (reading.page.status, reading.page.reason, reading.attempts) == (Status.FAILED, Reason.MODEL_ERROR, 2)


def test_a_lost_device_ends_the_run_and_blames_no_page():
    with pytest.raises(EngineLost):
        Reader(Faulty(lost=True)).read([1, 2])


def test_errors_of_the_device_are_told_from_those_of_a_page(engine, monkeypatch):
    page = [np.zeros((3, 96, 48), np.float32)]
    for raised, expected in (
        (nougat.torch.OutOfMemoryError("full"), MemoryError),
        (nougat.torch.AcceleratorError("gone", 719), EngineLost),
        (RuntimeError("odd shape"), RuntimeError),
    ):
        monkeypatch.setattr(engine.model, "inference", lambda error=raised, **inputs: (_ for _ in ()).throw(error))
        with pytest.raises(expected):
            engine.read(page)


# The word list


def test_the_word_list_is_found_without_the_network_and_parsed_once(engine):
    import nltk
    from nltk.corpus import words

    provide_word_list()

    assert nltk.data.find("corpora/words")
    assert {"aardvark", "page"} <= words.words()
    assert words.words() is words.words()


def test_a_written_word_list_is_what_nltk_reads(tmp_path):
    folder = write_word_list(tmp_path / "nltk_data")
    program = "from nltk.corpus import words; found = words.words(); print(len(found), 'page' in found)"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NLTK_DATA": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )

    count, known = done.stdout.split()
    assert int(count) > 200_000
    assert known == "True"


# What it says and asks for


def test_reading_prints_nothing_on_stdout(engine, monkeypatch, capsys):
    def talkative(**inputs):
        print("INFO: likely hallucinated title at the end of the page")
        return answer()

    monkeypatch.setattr(engine.model, "inference", talkative)
    engine.read([np.zeros((3, 96, 48), np.float32)])

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("device", ["tpu", "cuda:0", "cuda"])
def test_a_device_that_is_not_there_is_a_mistake_of_the_user(checkpoint, device, monkeypatch):
    monkeypatch.setattr(nougat.torch.cuda, "is_available", lambda: False)

    with pytest.raises(UserError, match=f"device {device}"):
        load_engine("nougat", checkpoint, device)


def test_an_unknown_engine_is_a_mistake_of_the_user(checkpoint):
    with pytest.raises(UserError, match="engine tesseract: is not known; choose one of: nougat"):
        load_engine("tesseract", checkpoint)
