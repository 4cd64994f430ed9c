"""Nougat behind the engine interface: its model is loaded, its pixels normalised, its answers given a status."""

import os
import subprocess
import sys

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from pagemill.errors import UserError
from pagemill.ocr.checkpoint import Checkpoint, resolve_checkpoint
from pagemill.ocr.engine import Draft, EngineLost, PageInput, finisher_for, load_engine, preparer_for
from pagemill.ocr.nougat.decoding import draft
from pagemill.ocr.nougat.loading import PixelTable, load_model, normalisation, torch
from pagemill.ocr.nougat.words import provide_word_list, write_word_list
from pagemill.records import Reason, Status
from pagemill.storage import Store
from tests import pdfs
from tests.tiny_nougat import write_checkpoint

PAGES = 6
BOOK = pdfs.book([f"= Chapter {page}\n\n#lorem({15 + 17 * page})\n\n$ x_{page} = y $" for page in range(PAGES)])
ENGINES = ["nougat", "nougat-reference"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("model")
    return resolve_checkpoint(str(write_checkpoint(folder / "tiny")), Store(str(folder / "store")))


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [page.render(scale=96 / 72).to_pil() for page in pypdfium2.PdfDocument(BOOK)]


@pytest.fixture(scope="module")
def pages(checkpoint, images) -> list[PageInput]:
    prepare = preparer_for("nougat", checkpoint)
    return [PageInput(number, prepare(image)) for number, image in enumerate(images)]


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(checkpoint, "cpu", threads=1)


def read(engine, pages) -> list[Draft]:
    engine.admit(pages)
    drafts = []
    while len(drafts) < len(pages):
        drafts += engine.step()
    return sorted(drafts, key=lambda draft: draft.key)


# The engines


def test_both_engines_read_the_same(checkpoint, pages):
    continuous, reference = (load_engine(name, checkpoint, "cpu", threads=1) for name in ENGINES)

    drafts = read(continuous, pages)

    assert drafts == read(reference, pages)
    assert [continuous.name, reference.name] == ENGINES
    assert {draft.status for draft in drafts} >= {Status.OK, Status.TRUNCATED}
    assert len({draft.text for draft in drafts}) == PAGES


def test_what_the_reference_drafts_becomes_the_prediction_of_inference(checkpoint, model, pages):
    from nougat.postprocessing import markdown_compatible

    provide_word_list()
    finish = finisher_for("nougat-reference", checkpoint)

    for page, drafted in zip(pages, read(load_engine("nougat-reference", checkpoint, "cpu"), pages), strict=True):
        with torch.inference_mode():
            output = model.inference(image_tensors=PixelTable(model)([page.pixels]))
        assert finish(drafted).text == markdown_compatible(output["predictions"][0])


def test_the_reference_reads_a_page_a_step_and_forgets_what_it_is_told_to(checkpoint, pages):
    engine = load_engine("nougat-reference", checkpoint, "cpu", threads=1)

    engine.admit(pages[:3])
    assert [draft.key for draft in engine.step()] == [0]
    engine.drop()

    assert engine.step() == []
    assert engine.default_batch_size == 1


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("full"), MemoryError),
        (torch.AcceleratorError("gone", 719), EngineLost),
        (RuntimeError("odd shape"), RuntimeError),
    ],
)
def test_the_reference_tells_faults_of_the_device_from_those_of_a_page(
    checkpoint, pages, monkeypatch, raised, expected
):
    engine = load_engine("nougat-reference", checkpoint, "cpu", threads=1)
    engine.admit(pages)

    def fail(**inputs):
        raise raised

    monkeypatch.setattr(engine.model, "inference", fail)
    with pytest.raises(expected):
        engine.step()

    assert engine.step() == []


def test_the_reference_prints_nothing_on_stdout(checkpoint, pages, monkeypatch, capsys, caplog):
    engine = load_engine("nougat-reference", checkpoint, "cpu", threads=1)
    inference = engine.model.inference

    def talkative(**inputs):
        print("INFO: likely hallucinated title at the end of the page")
        return inference(**inputs)

    monkeypatch.setattr(engine.model, "inference", talkative)
    read(engine, pages)

    assert capsys.readouterr().out == ""
    assert "Found repetitions" not in caplog.text


# Pixels


def test_the_table_gives_what_nougat_prepares_bit_for_bit(model, pages, images):
    table = PixelTable(model)

    for image, page in zip(images, pages, strict=True):
        assert torch.equal(table([page.pixels])[0], model.encoder.prepare_input(image, random_padding=False))


def test_the_table_holds_what_nougat_makes_of_every_level_in_images_of_any_size():
    from nougat.transforms import test_transform

    noise = np.random.default_rng(0).integers(0, 256, (61, 7, 3), dtype=np.uint8)
    table = normalisation()

    looked_up = torch.stack([table[colour][torch.from_numpy(noise[..., colour]).long()] for colour in range(3)])
    assert torch.equal(looked_up, test_transform(noise))
    assert table.dtype == torch.float32
    assert table.shape == (3, 256)


def test_in_bf16_the_input_is_rounded_as_inference_rounds_it(checkpoint, pages):
    exact, rounded = (PixelTable(load_model(checkpoint, "cpu", 1, precision)) for precision in ("fp32", "bf16"))
    pixels = [page.pixels for page in pages]

    assert torch.equal(rounded(pixels), exact(pixels).to(torch.bfloat16))


# Status and reason


class Words:
    """A tokenizer to whom every token is a letter."""

    bos_token_id, pad_token_id, eos_token_id = 0, 1, 2

    def decode(self, tokens, skip_special_tokens):
        return "".join("" if token < 3 else chr(94 + token) for token in tokens)


LIMIT = 60


@pytest.mark.parametrize(
    ("sequence", "repeats", "text", "tokens", "status", "reason"),
    [
        ([0, 3, 4, 2], None, "ab", 2, Status.OK, None),
        ([0, 2], None, "", 0, Status.OK, None),
        ([0, 3, 4, 5, 5, 5], 3, "ab", 2, Status.TRUNCATED, Reason.REPETITION),
        ([0, 3, 4, 1, 1, 1], 3, "ab", 2, Status.TRUNCATED, Reason.REPETITION),
        ([0, 3, 4, 5, 5, 2], 3, "ab", 2, Status.TRUNCATED, Reason.REPETITION),
        ([0, 5, 5, 5], 0, "", 0, Status.FAILED, Reason.REPETITION_FROM_START),
        ([0, *[5] * 58, 2], None, "c" * 58, 58, Status.TRUNCATED, Reason.LENGTH_LIMIT),
        ([0, *[5] * 57, 2], None, "c" * 57, 57, Status.OK, None),
        ([0, *[5] * 30], None, "c" * 30, 30, Status.TRUNCATED, Reason.REPETITION),
    ],
    ids=[
        "plain",
        "nothing",
        "loop cut",
        "loop cut by inference",
        "loop that ended",
        "loop from the start",
        "at the limit",
        "just below the limit",
        "stopped for a loop that is not cut",
    ],
)
def test_what_was_decoded_becomes_a_draft(sequence, repeats, text, tokens, status, reason):
    assert draft("page", sequence, repeats, Words(), LIMIT) == Draft("page", text, tokens, status, reason)


# Loading


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_model_comes_in_the_precision_that_is_asked_for(checkpoint, precision, dtype):
    model = load_model(checkpoint, "cpu", 1, precision)

    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert not any(module.training for module in model.modules())


def test_threads_are_as_many_as_asked_for(checkpoint):
    load_model(checkpoint, "cpu", threads=1)

    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("device", ["tpu", "cuda:0", "cuda", "cuda:x", "cpu:1"])
def test_a_device_that_is_not_there_is_a_mistake_of_the_user(checkpoint, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(UserError, match=f"device {device}"):
        load_engine("nougat", checkpoint, device)


def test_a_gpu_beyond_the_last_is_a_mistake_of_the_user(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    with pytest.raises(UserError, match="device cuda:2: this machine has no such CUDA device; choose a number below 2"):
        load_engine("nougat", checkpoint, "cuda:2")


def test_an_unknown_precision_is_a_mistake_of_the_user(checkpoint):
    with pytest.raises(UserError, match="precision fp8: is not known; choose one of: auto, bf16, fp32"):
        load_engine("nougat", checkpoint, "cpu", precision="fp8")


def test_an_unknown_engine_is_a_mistake_of_the_user(checkpoint):
    with pytest.raises(UserError, match="engine tesseract: is not known; choose one of: nougat"):
        load_engine("tesseract", checkpoint)


@pytest.mark.parametrize("spoil", ["config.json", "pytorch_model.bin", "tokenizer.json"])
def test_files_that_are_no_nougat_model_are_a_mistake_of_the_user(tmp_path, spoil):
    folder = write_checkpoint(tmp_path / "tiny")
    (folder / spoil).write_text("{}")
    broken = Checkpoint(folder, "", "tiny", "unknown", {})

    with pytest.raises(UserError, match="these files are no Nougat model"):
        load_model(broken, "cpu", 1)


def test_weights_are_unpickled_without_running_what_they_hold(tmp_path):
    folder = write_checkpoint(tmp_path / "tiny")
    torch.save({"weights": os.getcwd, "call": subprocess.run}, folder / "pytorch_model.bin")

    with pytest.raises(UserError, match="these files are no Nougat model"):
        load_model(Checkpoint(folder, "", "tiny", "unknown", {}), "cpu", 1)


# The word list


def test_the_word_list_is_found_without_the_network_and_parsed_once():
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
