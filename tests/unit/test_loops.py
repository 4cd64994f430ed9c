"""Nougat's rules for loops: what is applied to many pages at once is what the package does to each page alone."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.ocr.nougat import loops
from pagemill.ocr.nougat.loading import NougatModel, torch
from pagemill.ocr.nougat.loops import StopRule, loop_start
from pagemill.ocr.nougat.words import provide_word_list
from tests.tiny_nougat import write_checkpoint

PAD, EOS, WORD = 1, 2, 5


def series(seed: int, steps: int, calm_from: int, calm_spread: float, spread: float = 8.0):
    """Return the greatest scores of a page: they vary much, and from some step on little."""
    random = np.random.default_rng(seed)
    spreads = np.where(np.arange(steps) < calm_from, spread * random.random(steps), calm_spread)
    return (10 + spreads * random.normal(size=steps)).astype(np.float32)


# The rule that ends the decoding of a page


def stock_stop(maxima) -> int | None:
    """Return the step with which StoppingCriteriaScores ends a page that is read alone."""
    from nougat.model import StoppingCriteriaScores

    rule, scores = StoppingCriteriaScores(), torch.full((1, 3), -100.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the variance of one value
        for step, maximum in enumerate(maxima, 1):
            scores[0, step % 3] = float(maximum)
            if rule(None, (scores.clone(),)):
                return step
            scores[0, step % 3] = -100.0
    return None


def stops_together(pages, joins) -> list[int | None]:
    """Feed pages that join at given steps to one rule, and return the step of each with which it is stopped."""
    rule, rows, stops = StopRule(), [], [None] * len(pages)
    done = [0] * len(pages)
    waiting = sorted(range(len(pages)), key=lambda page: joins[page])
    for now in range(max(joins) + max(map(len, pages)) + 1):
        if rows:
            for page in rows:
                done[page] += 1
            stopped = rule.push(torch.tensor([float(pages[page][done[page] - 1]) for page in rows]))
            for page, stop in zip(rows, stopped.tolist(), strict=True):
                stops[page] = stops[page] or (done[page] if stop else None)
            kept = [row for row, page in enumerate(rows) if done[page] < len(pages[page]) and not stops[page]]
            rule.keep(torch.tensor(kept, dtype=torch.long))
            rows = [rows[row] for row in kept]
        new = [page for page in waiting if joins[page] == now]
        if new:
            rule.join(torch.tensor([float(pages[page][0]) for page in new]))
            rows += new
            for page in new:
                done[page] = 1
    return stops


@settings(max_examples=15)
@given(st.data())
def test_pages_of_different_ages_are_stopped_as_each_would_be_alone(data):
    pages = [
        series(
            data.draw(st.integers(0, 10_000)),
            data.draw(st.integers(2, 420)),
            data.draw(st.integers(0, 300)),
            data.draw(st.sampled_from([0.0, 0.5, 2.0, 4.0])),
        )
        for _ in range(data.draw(st.integers(1, 5)))
    ]
    joins = [data.draw(st.integers(0, 60)) for _ in pages]

    assert stops_together(pages, joins) == [stock_stop(page) for page in pages]


@pytest.mark.parametrize(("maxima", "stop"), [
    (np.full(300, 7.0), 202),  # nothing varies: planned as soon as 200 variances are there, stopped a step later
    (series(1, 600, 300, 0.1), 508),
    (series(1, 400, 400, 0.0, spread=12.0), None),
    (np.full(150, 7.0), None),
], ids=["still from the start", "still at last", "never still", "too short"])  # fmt: skip
def test_when_a_page_is_stopped(maxima, stop):
    assert stock_stop(maxima) == stop
    assert stops_together([maxima], [0]) == [stop]


@pytest.mark.parametrize("near", [-2e-4, -2e-6, 0.0, 2e-6, 2e-4])
def test_variances_at_the_threshold_are_judged_as_there(near):
    """The spread is tuned so that the rule's own figure comes to lie as near to its threshold as float32 allows."""
    base = series(7, 201, 0, 1.0) - 10

    def figure(scale):
        windows = [torch.tensor(scale * base[max(0, step - 14) : step + 1]) for step in range(1, 201)]
        return float(torch.var(torch.stack([torch.var(window) / len(window) for window in windows])))

    scale = (loops.STILL * (1 + near) / figure(1.0)) ** 0.25
    maxima = np.concatenate([np.float32(scale) * base, np.full(50, np.float32(scale) * base[-1])])

    assert stops_together([maxima], [0]) == [stock_stop(maxima)]


def test_a_score_that_is_no_number_stops_nothing_as_long_as_it_is_looked_back_upon():
    maxima = np.full(700, 7.0)
    maxima[100] = np.nan

    assert stops_together([maxima], [0]) == [stock_stop(maxima)] == [316]


def test_beyond_the_greatest_plan_a_loop_runs_on():
    maxima = np.concatenate([series(3, 4094, 4094, 0.0, spread=20.0), np.full(400, 3.0)])

    assert stock_stop(maxima) is None
    assert stops_together([maxima], [0]) == [None]


def test_the_constants_are_those_of_the_package():
    from nougat.model import StoppingCriteriaScores

    rule = StoppingCriteriaScores()

    assert (rule.vars.L, rule.varvars.L, rule.threshold) == (loops.WINDOW, loops.HISTORY, loops.STILL)


# The test that cuts what was decoded


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    provide_word_list()
    folder = write_checkpoint(tmp_path_factory.mktemp("model") / "tiny")
    return NougatModel.from_pretrained(folder, use_safetensors=False).eval()


@pytest.fixture
def stock_repeats(model, monkeypatch):
    """Returns what `model.inference` says of a page whose decoder chose these tokens with these scores."""
    from transformers.file_utils import ModelOutput

    decoded = {}
    monkeypatch.setattr(model.decoder.model, "generate", lambda **inputs: ModelOutput(**decoded))
    monkeypatch.setattr(model.encoder, "forward", lambda image: torch.zeros(1, 3, 64))

    def repeats(tokens, maxima):
        scores = torch.full((len(tokens), 1, 6), -1e9)
        for step, (token, maximum) in enumerate(zip(tokens, maxima, strict=True)):
            scores[step, 0, token] = float(maximum)
        decoded.update(sequences=torch.tensor([[0, *tokens]]), scores=tuple(scores))
        with torch.inference_mode():
            return model.inference(image_tensors=torch.zeros(1, 3, 96, 48))["repeats"][0]

    return repeats


@pytest.mark.parametrize("seed", range(60))
def test_texts_are_cut_where_inference_cuts_them(stock_repeats, seed):
    random = np.random.default_rng(seed)
    steps = int(random.integers(1, 1500))
    maxima = series(seed, steps, int(random.integers(0, steps)), float(random.choice([0.0, 0.3, 2.0])))
    tokens = random.choice([PAD, WORD, 4], size=steps, p=[0.0 if seed % 3 else 0.1, 0.5, 0.5 if seed % 3 else 0.4])
    tokens = [*tokens.tolist()[:-1], EOS if seed % 2 else WORD]

    assert loop_start(tokens, maxima.tolist(), pad=PAD, eos=EOS) == stock_repeats(tokens, maxima)


def test_texts_of_every_length_are_cut_where_inference_cuts_them(stock_repeats):
    for steps in [*range(1, 40), 134, 135, 500]:
        for maxima in (np.full(steps, 7.0), series(steps, steps, steps // 2, 0.0)):
            tokens = [WORD] * steps
            assert loop_start(tokens, maxima.tolist(), pad=PAD, eos=EOS) == stock_repeats(tokens, maxima)


@pytest.mark.parametrize("near", [-1e-3, -1e-9, -1e-15, 0.0, 1e-15, 1e-9, 1e-3])
def test_variances_at_the_second_threshold_are_judged_as_there(stock_repeats, near):
    maxima = np.float64(series(11, 900, 0, 3.0))
    variances = np.array([np.var(np.float32(maxima[first : first + 15])) / 15 for first in range(885)])
    scale = (loops.STILL_TO_THE_END * (1 + near) / np.var(variances[300:])) ** 0.25
    maxima = ((maxima - 10) * scale).astype(np.float32)

    assert loop_start([WORD] * 900, maxima.tolist(), pad=PAD, eos=EOS) == stock_repeats([WORD] * 900, maxima)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30])
def test_odd_scores_are_taken_as_there(stock_repeats, odd):
    maxima = np.full(400, 7.0, np.float32)
    maxima[50] = odd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert loop_start([WORD] * 400, maxima.tolist(), pad=PAD, eos=EOS) == stock_repeats([WORD] * 400, maxima)


@pytest.mark.parametrize(("maxima", "tokens", "cut"), [
    (np.full(400, 7.0), [WORD] * 400, 0),
    (series(4, 1000, 500, 0.0), [WORD] * 1000, 637),
    (series(4, 1000, 500, 0.0), [*[WORD] * 300, PAD, PAD, *[WORD] * 697, EOS], None),
    (series(4, 600, 500, 0.0), [WORD] * 600, None),
    (series(4, 1000, 1000, 0.0), [WORD] * 1000, None),
    (np.full(24, 7.0), [WORD] * 24, None),
], ids=["from the start", "in the middle", "has an end, and gaps", "at the very end", "none", "too short"])  # fmt: skip
def test_what_is_cut(stock_repeats, maxima, tokens, cut):
    assert stock_repeats(tokens, maxima) == cut
    assert loop_start(tokens, maxima.tolist(), pad=PAD, eos=EOS) == cut
