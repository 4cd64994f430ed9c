"""Duplicates: wording told from setting, signatures that mean something, and the best kept of what is alike."""

import itertools
import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.text.dedup import deduplicate, near_duplicates, normalise, repeated_pages
from pagemill.text.dedup.lsh import Banding, choose_banding
from pagemill.text.dedup.minhash import SIGNATURE_VALUES, decode, encode, estimate, minhash
from pagemill.text.dedup.pages import MIN_PAGE_WORDS
from pagemill.text.dedup.signature_file import SignatureFile
from pagemill.text.dedup.wording import shingles_of, words_of

MASK = 2**64 - 1


def make_text(seed: int, words: int, vocabulary: int = 4000) -> list[str]:
    """Words of no sense, the frequent ones as frequent as in a language."""
    chooser = random.Random(seed)
    return [f"w{int(vocabulary ** chooser.random())}" for _ in range(words)]


def change(words: list[str], share: float, seed: int) -> list[str]:
    chooser = random.Random(seed)
    return [f"x{chooser.getrandbits(30)}" if chooser.random() < share else word for word in words]


def signature(words: list[str]) -> np.ndarray:
    found = minhash(shingles_of([word.encode() for word in words]))
    assert found is not None
    return found


def jaccard(first: list[str], second: list[str]) -> float:
    one, other = (set(zip(words, words[1:], words[2:], strict=False)) for words in (first, second))
    return len(one & other) / len(one | other)


# -- wording ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The Origin of Species", "THE ORIGIN   of\n\nspecies."),
        ("to-day it is well known", "today it is well-known".replace("well-", "well ")),
        ("an inter-\nnational treaty", "an international treaty"),
        ("it wasn\u2019t na\u00efve; it was \ufb01ne", "it wasn't naive - it was fine"),
        ("e\u0301tude", "\u00e9tude"),
        ("\u201cQuoted,\u201d he said\u2014once", '"Quoted", he said -- once'),
        ("Stra\u00dfe und \u017fo", "STRASSE und so"),
        (r"\(\mathbf{x}_{1}\) is real", r"\(x_1\) is real"),
        (r"\[\left(\frac{a}{b}\right)\tag{3}\]", r"\[(\frac ab) \quad 3\]"),
        (r"\begin{tabular}{l r r} Beetles & 112 \\ Finches & 13 \\ \end{tabular}", "beetles 112 finches 13"),
        ("## Heading\n\n**bold** [MISSING_PAGE_FAIL:12] text", "heading bold text"),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\uff21\uff22\uff23 \uff11", "abc 1"),
    ],
)
def test_two_settings_of_one_wording_are_the_same(first: str, second: str) -> None:
    assert normalise(first) == normalise(second) != ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Yearbook 1990: 112 beetles", "Yearbook 1991: 113 beetles"),
        (r"\(\alpha + 1\)", r"\(\beta + 1\)"),
        ("well known", "unknown"),
    ],
)
def test_other_numbers_formulas_and_words_are_not(first: str, second: str) -> None:
    assert normalise(first) != normalise(second)


def test_a_formula_is_one_word_and_so_is_a_character_of_a_script_without_spaces() -> None:
    assert normalise(r"Let \(x_{i}\) be \[\frac{1}{2}\] of it") == "let xi be frac12 of it"
    assert normalise("\u6771\u4eac\u3067 OCR") == "\u6771 \u4eac \u3067 ocr"
    assert normalise("\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902") == (
        "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902"
    )


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        ("", 0),
        (r"\(" * 300_000, 0),
        (r"\[" + r"x_{1}+" * 150_000 + r"\]", 1),
        (r"\(" + "word " * 200_000, 200_000),
        (r"\begin{a}" * 1000 + r"\end{a}" * 1000, 0),
        ("{" * 1000 + "a" + "}" * 1000, 1),
        ("-" * 1_000_000, 0),
        ("a-\n" * 300_000, 1),
        ("x" * 1_000_000, 1),
        (r"\begin{tabular}{ll}" + r"a & 1 \\" * 10_000 + r"\end{tabular}", 20_000),
        ("\x00\ud800a\udfff \x00b", 2),
        ("\u05d0\u05d1 \u202e\u05d2", 2),
        ("\u0301" * 100_000, 0),
    ],
)
def test_hostile_text_has_words_or_none(hostile: str, words: int) -> None:
    assert len(words_of(hostile)) == words


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_has_a_normal_form_without_case_and_marks(text: str) -> None:
    words = normalise(text).split(" ") if normalise(text) else []
    assert [word.encode() for word in words] == words_of(text)
    assert not set("".join(words)) & set("ABCXYZ.,;-'\"\\{}$ \n")
    assert len(shingles_of(words_of(text))) == max(0, len(words) - 2)


# -- signatures ---------------------------------------------------------------------------------------------


def mix(number: int) -> int:
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK
    return number ^ number >> 31


def plain_minhash(shingles: list[int], values: int) -> list[int]:
    """The definition, step by step."""
    least: dict[int, tuple[int, int]] = {}
    for round_number in range(2 * values):
        for shingle in shingles:
            mixed = mix(shingle + (round_number + 1) * 0x9E3779B97F4A7C15 & MASK)
            place = (mixed >> 32) * values >> 32 if round_number < values else round_number - values
            candidate = (round_number, mixed & 0xFFFFFFFF)
            least[place] = min(least.get(place, candidate), candidate)
    return [least[place][1] for place in range(values)]


@pytest.mark.parametrize(("shingles", "values"), [(1, 4), (1, 16), (2, 16), (5, 64), (40, 16), (3000, 8)])
def test_a_signature_is_what_its_definition_says(shingles: int, values: int) -> None:
    chooser = random.Random(shingles)
    numbers = [chooser.getrandbits(64) for _ in range(shingles)]
    found = minhash(np.array(numbers, np.uint64), values)
    assert found is not None
    assert found.tolist() == plain_minhash(numbers, values)


def test_signatures_that_are_kept_stay_as_they_are() -> None:
    text = "The ends of a line are points. \\(x^2\\) \u6771\u4eac"
    assert normalise(text) == "the ends of a line are points x2 \u6771 \u4eac"
    shingles = shingles_of(words_of(text))
    assert shingles[:2].tolist() == [13196914967759658474, 16362921501324552977]
    assert minhash(shingles, 4).tolist() == [1092366338, 1938118332, 1238920045, 1403774419]
    assert encode(minhash(shingles, 3)) == "AjAcQbxWhXPT5atT"


def test_a_long_text_that_says_the_same_over_and_over_has_the_signature_of_what_it_says() -> None:
    once = [word.encode() for word in make_text(1, 12)]
    looped = shingles_of(once * 2000)
    assert len(looped) > 20_000
    assert minhash(looped).tolist() == plain_minhash(sorted(set(looped.tolist())), SIGNATURE_VALUES)


def test_order_and_repetition_of_shingles_make_no_difference() -> None:
    shingles = shingles_of([word.encode() for word in make_text(1, 20_000)])
    shuffled = np.random.default_rng(1).permutation(np.concatenate([shingles, shingles[:999]]))
    assert np.array_equal(minhash(shingles), minhash(shuffled))


@pytest.mark.parametrize("words", [12, 60, 1000, 30_000])
def test_the_estimate_is_near_the_similarity_for_short_texts_and_long_ones(words: int) -> None:
    texts = [make_text(seed, words) for seed in range(60)]
    errors = []
    for seed, text in enumerate(texts[: 60 if words < 10_000 else 6]):
        other = change(text, 0.1, seed)
        errors.append(estimate(signature(text), signature(other)) - jaccard(text, other))
    assert abs(np.mean(errors)) < 0.03
    assert max(map(abs, errors)) < 4 * np.sqrt(0.25 / SIGNATURE_VALUES)


def test_a_text_of_fewer_than_three_words_has_no_signature() -> None:
    assert minhash(shingles_of(words_of("Two words"))) is None
    assert encode(None) == ""
    assert decode("") is None


def test_a_signature_survives_being_kept() -> None:
    made = signature(make_text(1, 100))
    assert np.array_equal(decode(encode(made)), made)
    with pytest.raises(ValueError, match="256 numbers"):
        decode(encode(made[:-1]))
    with pytest.raises(ValueError, match="base64"):
        decode("not so")


# -- bands --------------------------------------------------------------------------------------------------


def test_the_chance_to_meet_in_a_band_is_the_s_curve() -> None:
    """Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", example 3.12: 20 bands of 5 rows."""
    chances = {0.2: 0.006, 0.3: 0.047, 0.4: 0.186, 0.5: 0.470, 0.6: 0.802, 0.7: 0.975, 0.8: 0.9996}
    assert {similarity: Banding(20, 5).chance(similarity) for similarity in chances} == pytest.approx(chances, abs=5e-4)


@pytest.mark.parametrize("similarity", [0.01, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0])
def test_bands_are_as_long_as_can_be_without_missing_what_is_asked_for(similarity: float) -> None:
    chosen = choose_banding(SIGNATURE_VALUES, similarity)
    assert chosen.bands * chosen.rows <= SIGNATURE_VALUES
    assert chosen.chance(similarity) >= 0.95 or chosen.rows == 1
    longer = Banding(SIGNATURE_VALUES // (chosen.rows + 1), chosen.rows + 1)
    assert longer.bands == 0 or longer.chance(similarity) < 0.95


# -- clusters -----------------------------------------------------------------------------------------------


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (count, SIGNATURE_VALUES), dtype=np.uint32)


def blend(row: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A signature that has exactly this share of its values in common with a row."""
    generator = np.random.default_rng(seed + 1000)
    other = generator.integers(0, 2**32, len(row), dtype=np.uint32)
    same = generator.permutation(len(row)) < round(share * len(row))
    return np.where(same, row, other)


def test_each_that_is_not_kept_is_like_one_that_is_and_no_two_that_are_kept_are_alike() -> None:
    generator = np.random.default_rng(2)
    base = random_rows(60)
    rows = np.stack(
        [blend(base[index % 60], share, index) for index, share in enumerate(generator.uniform(0.7, 1, 400))]
    )
    found = near_duplicates(rows, 0.6)
    same = (rows[:, None] == rows[None]).mean(axis=2)
    kept = np.flatnonzero(found.kept == np.arange(400))
    lost = np.flatnonzero(found.kept != np.arange(400))
    assert np.isin(found.kept, kept).all()
    assert (found.kept[lost] < lost).all()
    assert np.allclose(same[lost, found.kept[lost]], found.similarity[lost])
    assert (found.similarity[lost] >= 0.6).all()
    assert (same[np.ix_(kept, kept)] - np.eye(len(kept))).max() < 0.6
    assert 60 <= len(kept) < 200


def test_a_chain_of_small_steps_does_not_pull_together_what_is_not_alike() -> None:
    rows = [random_rows(1)[0]]
    for step in range(20):
        rows.append(blend(rows[-1], 0.8, step))
    found = near_duplicates(np.stack(rows), 0.75)
    assert found.kept.tolist() == [index - index % 2 for index in range(21)]


def test_the_best_is_kept_and_the_order_of_the_rows_changes_nothing() -> None:
    base = random_rows(300)
    rows = np.concatenate([base, [blend(row, 0.8, index) for index, row in enumerate(base[:100])]])
    reference = near_duplicates(rows, 0.6)
    assert reference.kept[300:].tolist() == list(range(100))
    shuffle = np.random.default_rng(3).permutation(400)
    best_first = np.argsort(shuffle)
    shuffled = near_duplicates(rows[shuffle], 0.6, best_first)
    assert np.array_equal(shuffle[shuffled.kept], reference.kept[shuffle])
    assert np.array_equal(shuffled.similarity, reference.similarity[shuffle])
    worst_first = near_duplicates(rows, 0.6, np.arange(400)[::-1])
    assert worst_first.kept[:100].tolist() == list(range(300, 400))


def test_signatures_on_disk_are_compared_like_those_in_memory() -> None:
    base = random_rows(5000)
    rows = np.concatenate([base, [blend(row, 0.9, index) for index, row in enumerate(base[:500])]])
    with SignatureFile() as file:
        assert len(near_duplicates(file, 0.6)) == 0
        for row in rows[:10]:
            file.append(row)
        file.append(rows[10:])
        assert file.shape == rows.shape
        assert np.array_equal(file[4990:5010], rows[4990:5010])
        assert np.array_equal(file[np.array([5, 5499, 0])], rows[[5, 5499, 0]])
        on_disk, in_memory = near_duplicates(file, 0.6), near_duplicates(rows, 0.6)
    assert np.array_equal(on_disk.kept, in_memory.kept)
    assert (in_memory.kept[5000:] == np.arange(500)).all()


@pytest.mark.parametrize(
    ("share", "kept"), [(1.0, 1), (0.9, 1), (0.6, 4000)], ids=["equal", "one cluster", "boilerplate"]
)
def test_crowds_do_not_cost_the_square_of_their_size(monkeypatch: pytest.MonkeyPatch, share: float, kept: int) -> None:
    """Of 4,000 that agree in many a band, each is compared with a few, be they alike as a whole or not."""
    module = sys.modules["pagemill.text.dedup.lsh"]
    compared = 0
    count_equal = module._count_equal

    def counting(signatures: object, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(first)
        return count_equal(signatures, first, second)

    monkeypatch.setattr(module, "_count_equal", counting)
    row = random_rows(1)[0]
    generator = np.random.default_rng(4)
    others = generator.integers(0, 2**32, (4000, SIGNATURE_VALUES), dtype=np.uint32)
    same = generator.random((4000, SIGNATURE_VALUES)) < share
    found = near_duplicates(np.where(same, row, others), 0.6)
    assert (found.kept == np.arange(4000)).sum() == kept
    assert compared < 200 * 4000  # of 8,000,000 pairs


def test_in_a_crowd_about_as_many_are_kept_as_by_comparing_each_with_each() -> None:
    """Of 1,500 editions whose similarities lie around the threshold, those kept are hardly alike among themselves."""
    generator = np.random.default_rng(5)
    others = generator.integers(0, 2**32, (1500, SIGNATURE_VALUES), dtype=np.uint32)
    same = generator.random((1500, SIGNATURE_VALUES)) < 0.8
    rows = np.where(same, random_rows(1)[0], others)
    exact: list[int] = []
    for index in range(1500):
        if not exact or (rows[exact] == rows[index]).mean(axis=1).max() < 0.6:
            exact.append(index)
    found = near_duplicates(rows, 0.6)
    kept = np.flatnonzero(found.kept == np.arange(1500))
    lost = np.flatnonzero(found.kept != np.arange(1500))
    assert len(exact) <= len(kept) <= len(exact) + 5
    assert np.isin(found.kept[lost], kept).all()
    assert ((rows[lost] == rows[found.kept[lost]]).mean(axis=1) >= 0.6).all()


def test_pairs_are_found_in_a_crowd_of_common_boilerplate() -> None:
    row = random_rows(1)[0]
    crowd = np.stack([blend(row, 0.4, index) for index in range(1000)])
    rows = np.concatenate([crowd, [blend(each, 0.9, index) for index, each in enumerate(crowd[::10])]])
    found = near_duplicates(rows, 0.6)
    assert found.kept[1000:].tolist() == list(range(0, 1000, 10))
    assert (found.kept[:1000] == np.arange(1000)).all()


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1.1, float("nan")])
def test_a_similarity_that_is_none_is_refused(wrong: float) -> None:
    for call in (
        lambda: near_duplicates(random_rows(2), wrong),
        lambda: deduplicate(["a"], wrong),
        lambda: repeated_pages(["a"], wrong),
    ):
        with pytest.raises(UserError, match="min_similarity"):
            call()


# -- texts --------------------------------------------------------------------------------------------------


def test_of_texts_that_say_the_same_the_first_is_kept() -> None:
    book, other = make_text(1, 3000), make_text(2, 3000)
    texts = [book, other, change(book, 0.05, 1), [*other[500:], "and", "an", "index"], [word.upper() for word in book]]
    assert deduplicate(map(" ".join, texts), 0.6) == [0, 1, 0, 1, 0]
    assert deduplicate(map(" ".join, texts), 0.95) == [0, 1, 2, 3, 0]


def test_short_texts_are_repeated_only_by_equal_ones_and_empty_ones_by_none() -> None:
    texts = ["Chapter One", "", "chapter one.", "Chapter Two", "***", "One two three", "ONE, two; three", "a", "b", "A"]
    assert deduplicate(texts) == [0, 1, 0, 3, 4, 5, 5, 7, 8, 7]
    assert deduplicate([]) == []


def test_texts_are_gone_through_once_and_none_is_held() -> None:
    class Text(str):
        """A text whose life can be watched."""

        alive = 0

        def __init__(self, _: str) -> None:
            type(self).alive += 1

        def __del__(self) -> None:
            type(self).alive -= 1

    most = 0

    def stream() -> Iterator[str]:
        nonlocal most
        for seed in range(30):
            yield Text(" ".join(make_text(seed % 10, 200)))
            most = max(most, Text.alive)

    assert deduplicate(stream()) == [index % 10 for index in range(30)]
    assert most <= 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab \u6771.\ud800"), max_size=30), max_size=12))
def test_any_texts_can_be_deduplicated_and_equal_ones_are(texts: list[str]) -> None:
    kept = deduplicate(texts)
    assert len(kept) == len(texts)
    assert all(kept[keeper] == keeper <= index for index, keeper in enumerate(kept))
    for first, second in itertools.combinations(range(len(texts)), 2):
        if normalise(texts[first]) == normalise(texts[second]) != "":
            assert kept[first] == kept[second]


def test_datasketch_finds_the_same_pairs() -> None:
    """An oracle with other hashes and other bands: on pairs that are clearly alike or clearly not, it agrees."""
    from datasketch import MinHash, MinHashLSH

    texts = [make_text(seed, 400) for seed in range(30)]
    texts += [change(text, 0.03, seed) for seed, text in enumerate(texts)]  # similarity about 0.85
    index = MinHashLSH(threshold=0.6, num_perm=SIGNATURE_VALUES)
    theirs, earlier = [], []
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=SIGNATURE_VALUES)
        sketch.update_batch([" ".join(run).encode() for run in zip(text, text[1:], text[2:], strict=False)])
        theirs.append(min((found for found in index.query(sketch)), default=number))
        index.insert(number, sketch)
        earlier.append(sketch)
    assert deduplicate(map(" ".join, texts), 0.6) == theirs == [*range(30), *range(30)]
    for first, second in ((0, 30), (0, 1), (7, 37)):
        ours = estimate(signature(texts[first]), signature(texts[second]))
        assert ours == pytest.approx(earlier[first].jaccard(earlier[second]), abs=0.1)


# -- pages --------------------------------------------------------------------------------------------------


def make_pages(count: int, words: int = 300) -> list[str]:
    return [" ".join(make_text(seed, words)) for seed in range(count)]


def test_pages_that_were_scanned_twice_name_the_earlier_one() -> None:
    pages = make_pages(40)
    again = " ".join(change(pages[7].split(), 0.04, 1))
    book = [*pages[:20], again, *pages[20:], pages[30], again.upper()]
    expected = [-1] * 20 + [7] + [-1] * 20 + [31, 7]
    assert list(repeated_pages(book, 0.6)) == expected


def test_a_page_repeats_the_one_that_is_kept_and_not_another_repetition() -> None:
    page = make_text(1, 400)
    versions = [" ".join(change(page, 0.03, seed)) for seed in range(6)]
    assert repeated_pages(versions, 0.6) == (-1, 0, 0, 0, 0, 0)


def test_short_pages_repeat_nothing() -> None:
    short = " ".join(make_text(1, MIN_PAGE_WORDS - 1))
    enough = " ".join(make_text(1, MIN_PAGE_WORDS))
    assert repeated_pages(["", "", "Part One", "Part One", short, short, " \n "], 0.6) == (-1,) * 7
    assert repeated_pages([short, enough, enough], 0.6) == (-1, -1, 1)
    assert repeated_pages([], 0.6) == ()


def test_tables_with_one_head_and_pages_of_an_index_are_not_repetitions() -> None:
    head = r"\begin{tabular}{l r} Number & Sine & Cosine & Tangent \\ "
    tables = [
        head + " ".join(rf"{row} & {chooser.random():.5f} & {chooser.random():.5f} \\" for row in range(40))
        for chooser in map(random.Random, range(20))
    ]
    index = [
        "Index\n" + "\n".join(f"{word}, {chooser.randint(1, 400)}" for word in sorted(make_text(seed, 60)))
        for seed, chooser in enumerate(map(random.Random, range(20)))
    ]
    assert repeated_pages(tables + index, 0.6) == (-1,) * 40


def test_a_letterhead_on_every_page_leads_nowhere() -> None:
    letterhead = " ".join(make_text(999, 100))
    pages = [f"{letterhead} {page}" for page in make_pages(60)]
    assert repeated_pages([*pages, pages[41] + " end"], 0.6) == (-1,) * 60 + (41,)


@pytest.mark.parametrize("count", [100, 400])
def test_a_book_of_nothing_but_one_form_takes_a_few_comparisons_a_page(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    module = sys.modules["pagemill.text.dedup.pages"]
    compared = 0
    intersect = np.intersect1d

    def counting(*arguments: object, **options: object) -> np.ndarray:
        nonlocal compared
        compared += 1
        return intersect(*arguments, **options)

    monkeypatch.setattr(module.np, "intersect1d", counting)
    form = make_text(1, 200)
    filled = [" ".join(change(form, 0.3, seed)) for seed in range(count)]
    assert set(repeated_pages(filled, 0.6)) == {-1}
    assert compared <= 3 * count


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=80), max_size=6), st.data())
def test_any_pages_can_be_searched_and_copies_of_long_ones_are_found(texts: list[str], data: st.DataObject) -> None:
    long = [text + " " + page for text, page in zip(texts, make_pages(len(texts), 80), strict=True)]
    order = data.draw(st.permutations(range(len(long)))) if long else []
    found = repeated_pages(texts + long + [long[index] for index in order], 1.0)
    assert list(found[len(texts) + len(long) :]) == [len(texts) + index for index in order]
    assert set(found[: len(texts) + len(long)]) <= {-1}


@pytest.mark.parametrize(
    "page",
    ["x" * 300_000, "\u6771\u4eac" * 1000, r"\(" * 100_000, "\x00\ud800 " * 1000, "a b c d e " * 20_000],
    ids=["one word", "no spaces", "unbalanced", "no text", "loop"],
)
def test_hostile_pages_do_no_harm(page: str) -> None:
    assert repeated_pages([page, "", page], 0.6) in {(-1, -1, -1), (-1, -1, 0)}
