"""Continuous decoding: whatever else is in flight, every page is read as `model.inference` reads it alone."""

import gc
import json
import os
import random

import numpy as np
import pytest

from pagemill.archives import extract_members
from pagemill.ocr.checkpoint import resolve_checkpoint
from pagemill.ocr.engine import EngineLost, PageInput, preparer_for
from pagemill.ocr.nougat import decoding
from pagemill.ocr.nougat.decoding import ContinuousEngine
from pagemill.ocr.nougat.loading import load_model, torch
from pagemill.ocr.nougat.reference import ReferenceEngine
from pagemill.ocr.nougat.words import provide_word_list
from pagemill.pages.render import render_page
from pagemill.records import Reason, Status
from pagemill.storage import Store, file_sha256
from tests.conftest import DEMO
from tests.tiny_nougat import write_checkpoint

FLOAT_NOISE = 1e-3  # two scores that lie nearer to each other may change places with the shape of a batch


def load(folder, precision="fp32"):
    provide_word_list()
    return load_model(resolve_checkpoint(str(folder), Store("memory://")), "cpu", 1, precision)


@pytest.fixture(scope="module")
def pictures() -> list:
    """Pages for the tiny models: noise, which makes them write the most various things."""
    noise = np.random.default_rng(5)
    return [noise.integers(0, 256, (3, 96, 48), dtype=np.uint8) for _ in range(8)]


@pytest.fixture
def decoded(monkeypatch):
    """What becomes a draft, by page: sequence and repeats."""
    found = {}
    make = decoding.draft

    def spy(key, sequence, repeats, tokenizer, max_length):
        found[key] = (sequence, repeats)
        return make(key, sequence, repeats, tokenizer, max_length)

    monkeypatch.setattr(decoding, "draft", spy)
    return found


def read(engine, pictures, slots=1, joins=None):
    """Read pages with no more than some at a time in flight, and return their drafts by page.

    Args:
        engine: Reads them.
        pictures: The pages.
        slots: How many pages may be in flight.
        joins: Draws how many of those that have room are taken in before a step; None takes all.
    """
    waiting, drafts, flying = list(range(len(pictures))), {}, 0
    if joins:
        joins.shuffle(waiting)
    while waiting or flying:
        room = min(slots - flying, len(waiting))
        taken = [waiting.pop(0) for _ in range(joins.randint(0, room) if joins else room)]
        engine.admit([PageInput(page, pictures[page]) for page in taken])
        flying += len(taken)
        ended = engine.step()
        drafts |= {draft.key: draft for draft in ended}
        flying -= len(ended)
    return drafts


def stock(model, pictures):
    """Return what `model.inference` reads on each page alone, and the least lead of a token over its rival there."""
    engine, unk, drafts, leads = ReferenceEngine(model), model.decoder.tokenizer.unk_token_id, {}, {}

    def watch(module, inputs, logits):
        scores = logits[0, -1].float().index_fill(0, torch.tensor(unk), -torch.inf)
        best, rival = scores.topk(2).values.tolist()
        leads[page] = min(leads.get(page, best - rival), best - rival)

    hook = model.decoder.model.lm_head.register_forward_hook(watch)
    for page, picture in enumerate(pictures):
        engine.admit([PageInput(page, picture)])
        drafts |= {draft.key: draft for draft in engine.step()}
    hook.remove()
    return drafts, leads


# The demo's pages


@pytest.fixture(scope="module")
def demo_lines():
    """What the demo says of each of its pages that bears text."""
    lines = [json.loads(line) for line in (DEMO / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["text"]]


@pytest.fixture(scope="module")
def demo_pictures(demo_lines, tmp_path_factory):
    """These pages as the model takes them."""
    out = tmp_path_factory.mktemp("books")
    archives = [
        DEMO / "samples" / f"{name}.rar" for name in ("novels", "science-rar4", "treatise.part1", "secret", "damaged")
    ]
    extract_members(archives, out, passwords=str(DEMO / "passwords.txt"))
    found = {file_sha256(path): str(path) for path in out.rglob("*.pdf")}
    prepare = preparer_for("nougat", resolve_checkpoint(str(DEMO / "checkpoint"), Store("memory://")))
    return [prepare(render_page(found[line["pdf_sha256"]], line["page"]).image()) for line in demo_lines]


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def demo(request, demo_pictures):
    """The demo's model in both precisions, and what `model.inference` reads with it on every page alone."""
    model = load(DEMO / "checkpoint", request.param)
    return model, stock(model, demo_pictures)[0]


def test_inference_reads_the_demo(demo, demo_lines):
    _, wanted = demo

    for page, line in enumerate(demo_lines):
        assert wanted[page].text.startswith(line["text"].strip()[:20])
    assert {draft.status for draft in wanted.values()} == {Status.OK, Status.TRUNCATED}
    assert [line.get("loops", False) for line in demo_lines] == [
        draft.reason is Reason.REPETITION for draft in wanted.values()
    ]


@pytest.mark.parametrize("slots", [1, 8, 64])
def test_the_demo_is_read_as_inference_reads_it(demo, demo_pictures, slots):
    model, wanted = demo

    assert read(ContinuousEngine(model), demo_pictures, slots, random.Random(slots)) == wanted


# Models of random weights, which write all that can be written


MODELS = {
    "short": {"seed": 3, "max_length": 60},
    "loops": {"seed": 0, "max_length": 700, "score_scale": 8.0},
    "two layers": {"seed": 3, "max_length": 120, "layers": 2},
    "limits": {"seed": 5, "max_length": 700, "score_scale": 8.0},
    "ends": {"seed": 6, "max_length": 300, "score_scale": 4.0},
}


@pytest.fixture(scope="module", params=MODELS)
def tiny(request, tmp_path_factory, pictures):
    """A model, with what `model.inference` reads on every page alone, and how surely."""
    model = load(write_checkpoint(tmp_path_factory.mktemp("tiny") / "model", **MODELS[request.param]))
    return model, *stock(model, pictures)


def test_alone_a_page_has_the_sequence_and_repeats_of_inference(tiny, pictures, decoded):
    model, wanted, _ = tiny
    engine = ContinuousEngine(model)

    assert read(engine, pictures) == wanted

    for page, (sequence, repeats) in decoded.items():
        with torch.inference_mode():
            output = model.inference(image_tensors=engine.pixels([pictures[page]]), early_stopping=True)
        kept = sequence if repeats is None else sequence[:repeats] + [engine.pad] * (len(sequence) - repeats)
        assert (kept, repeats) == (output["sequences"][0].tolist(), output["repeats"][0])


@pytest.mark.parametrize("seed", range(4))
def test_together_pages_are_read_as_alone_in_any_order_and_number(tiny, pictures, seed):
    """All but those on which two tokens were so near to each other that the shape of a sum may decide."""
    model, wanted, leads = tiny
    joins = random.Random(seed)
    sure = [page for page, lead in leads.items() if lead > FLOAT_NOISE]

    drafts = read(ContinuousEngine(model), pictures, joins.randint(2, 8), joins)

    assert len(sure) >= len(pictures) - 2
    assert {page: drafts[page] for page in sure} == {page: wanted[page] for page in sure}


def test_the_models_write_all_that_can_be_written(tmp_path, pictures, decoded):
    ends = set()
    for name, traits in MODELS.items():
        engine = ContinuousEngine(load(write_checkpoint(tmp_path / name, **traits)))
        for page, draft in read(engine, pictures).items():
            sequence, repeats = decoded[page]
            ends.add((draft.status, draft.reason))
            ends.add("stopped" if sequence[-1] != engine.eos else "ended")
            ends.add(("cut", repeats is not None and repeats > 0))
            ends.add(("pad inside", engine.pad in sequence[1:]))

    assert ends == {
        (Status.OK, None),
        (Status.TRUNCATED, Reason.REPETITION),
        (Status.TRUNCATED, Reason.LENGTH_LIMIT),
        (Status.FAILED, Reason.REPETITION_FROM_START),
        "stopped",
        "ended",
        *((what, so) for what in ("cut", "pad inside") for so in (True, False)),
    }


def test_in_bf16_a_page_alone_is_read_exactly_as_inference_reads_it(tmp_path, pictures):
    model = load(write_checkpoint(tmp_path / "model", **MODELS["ends"]), "bf16")

    assert read(ContinuousEngine(model), pictures) == stock(model, pictures)[0]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rows_of_ended_pages_change_nothing(tiny, pictures, monkeypatch, share):
    model, wanted, leads = tiny
    monkeypatch.setattr(decoding, "DEAD_SHARE", share)

    drafts = read(ContinuousEngine(model), pictures, len(pictures))

    assert all(drafts[page] == wanted[page] for page, lead in leads.items() if lead > FLOAT_NOISE)


def test_others_may_use_the_model_meanwhile(tmp_path, pictures):
    model = load(write_checkpoint(tmp_path / "model"))
    engine = ContinuousEngine(model)
    wanted, _ = stock(model, pictures)

    engine.admit([PageInput(page, picture) for page, picture in enumerate(pictures[:4])])
    drafts = {}
    while len(drafts) < 4:
        drafts |= {draft.key: draft for draft in engine.step()}
        if engine.steps % 10 == 0:
            assert stock(model, pictures[4:5])[0][0].text == wanted[4].text

    assert drafts == {page: wanted[page] for page in range(4)}


# What is kept, and counted


def held_after(engine, pictures, steps) -> list[tuple]:
    """Return the shapes of the tensors that an engine holds after some steps."""
    before = tensors()  # held until the end: what is freed gives its identity to another
    known = {id(tensor) for tensor in before}
    engine.admit([PageInput(page, picture) for page, picture in enumerate(pictures)])
    for _ in range(steps):
        assert engine.step() == []
    return sorted(tuple(tensor.shape) for tensor in tensors() if id(tensor) not in known)


def tensors() -> list:
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]


def test_nothing_is_kept_that_grows_with_the_vocabulary(tmp_path, pictures):
    shapes = []
    for unread in (0, 3000):
        folder = write_checkpoint(tmp_path / str(unread), seed=5, max_length=60, unread=unread)
        engine = ContinuousEngine(load(folder))
        engine.eos = -1  # no page ends
        shapes.append(held_after(engine, pictures, 20))
        assert {len(page.tokens) for page in engine.pages} == {len(page.maxima) for page in engine.pages} == {21}

    assert shapes[0] == shapes[1]
    assert max(max(shape) for shape in shapes[1]) < 3000


def test_what_is_kept_at_full_length_is_what_memory_is_reckoned_by(tmp_path, pictures):
    folder = write_checkpoint(tmp_path / "model", max_length=60, layers=2)
    engine = ContinuousEngine(load(folder))
    engine.eos = -1

    engine.admit([PageInput(0, pictures[0])])
    for _ in range(57):
        engine.step()

    kept = sum(tensor.nbytes for layer in engine.rows.caches for tensor in layer)
    two_tokens = 2 * (2 * 2 * 64 * 4)  # the last has no successor, and is never in the cache; one was not read here
    assert engine.page_bytes == (kept + two_tokens) * 3 / 2  # of two layers one is there twice while it is copied


def test_a_layers_caches_are_let_go_when_the_next_is_asked_for():
    caches = decoding.HandedOver([("first",), ("second",), ("third",)])

    assert [caches[layer] for layer in (0, 0, 1, 2)] == [("first",), ("first",), ("second",), ("third",)]
    assert list(iter(caches)) == [(), (), ("third",)]


def test_steps_and_rows_are_counted(tmp_path, pictures, decoded):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model")))

    read(engine, pictures, 4)

    tokens = sum(len(sequence) - 1 for sequence, _ in decoded.values())
    assert engine.rows_used == tokens
    assert tokens <= engine.rows_computed <= tokens / (1 - decoding.DEAD_SHARE)
    assert tokens / 4 <= engine.steps < tokens


def test_pages_that_leave_make_the_others_narrower(tmp_path, pictures):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model")))
    engine.eos = -1
    engine.admit([PageInput("first", pictures[0])])
    for _ in range(40):
        engine.step()
    engine.admit([PageInput("second", pictures[1])])

    assert engine.rows.seen.shape == (2, 41)
    assert engine.rows.seen.sum(1).tolist() == [41, 1]
    while engine.step() == []:
        pass
    engine.step()
    assert engine.rows.seen.shape == (1, 20)


@pytest.mark.parametrize(("free_gigabytes", "size"), [(0.0001, 1), (1000, decoding.CPU_BATCH_SIZE)])
def test_as_many_pages_as_fit_into_memory(tmp_path, monkeypatch, free_gigabytes, size):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model", max_length=700)))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_AVPHYS_PAGES": int(free_gigabytes * 1e9)}.get)

    assert engine.default_batch_size == size


@pytest.mark.parametrize("pages", [0, 5, 500])
def test_as_many_pages_as_fit_into_a_gpu(tmp_path, monkeypatch, pages):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model")))
    monkeypatch.setattr(type(engine.model), "device", torch.device("cuda"))
    free_bytes = int(engine.page_bytes * pages / decoding.MEMORY_SHARE) + 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 10 * free_bytes))

    assert engine.default_batch_size == max(1, min(pages, decoding.CUDA_BATCH_SIZE))


# Beginnings, ends and faults


def test_without_pages_nothing_happens(tmp_path):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model")))

    engine.admit([])

    assert engine.step() == []
    assert engine.steps == 0


def test_a_page_that_ends_with_its_first_token_is_returned_by_the_next_step(tmp_path, pictures):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model")))
    wanted, _ = stock(engine.model, pictures[:1])
    engine.admit([PageInput(0, pictures[0])])

    def speechless(module, inputs, logits):
        return torch.nn.functional.one_hot(torch.full(logits.shape[:2], engine.eos), logits.shape[2]).float()

    hook = engine.decoder.lm_head.register_forward_hook(speechless)
    engine.admit([PageInput("empty", pictures[1])])
    hook.remove()
    (draft,) = engine.step()

    assert (draft.key, draft.text, draft.tokens, draft.status) == ("empty", "", 0, Status.OK)
    drafts = []
    while not drafts:
        drafts = engine.step()
    assert drafts == [wanted[0]]


@pytest.mark.parametrize("while_joining", [True, False], ids=["joining", "going on"])
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("full"), MemoryError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), MemoryError),
        (torch.AcceleratorError("gone", 719), EngineLost),
        (RuntimeError("odd shape"), RuntimeError),
    ],
    ids=["GPU full", "memory full", "device gone", "page at fault"],
)
def test_after_a_fault_no_page_is_in_flight(tmp_path, pictures, monkeypatch, while_joining, raised, expected):
    engine = ContinuousEngine(load(write_checkpoint(tmp_path / "model")))
    wanted, _ = stock(engine.model, pictures[:3])
    engine.admit([PageInput(0, pictures[0]), PageInput(1, pictures[1])])
    engine.step()

    def fail(*arguments, **options):
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(engine.decoder.lm_head, "forward", fail)
        with pytest.raises(expected) as fault:
            engine.admit([PageInput(2, pictures[2])]) if while_joining else engine.step()

    assert expected is not MemoryError or fault.value.__context__ is None  # it would keep the tensors it tells of
    assert engine.step() == []
    assert read(engine, pictures[:3], 3) == wanted
