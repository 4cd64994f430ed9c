"""Languages are told by the words of a text, not by its mathematics."""

# ruff: noqa: RUF001  the letters of other scripts are meant

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.language import (
    MAX_SAMPLES,
    SAMPLE_CHARACTERS,
    WHOLE_CHARACTERS,
    check_languages,
    detect_plain,
    known_languages,
    weigh,
)
from pagemill.text.judging.language import detect, words_alone
from pagemill.text.mmd.blocks import parse_layout

SENTENCES = {
    "en": "The boiling point of water depends on the pressure of the air above it, and falls as one climbs.",
    "de": "Der Siedepunkt des Wassers hängt vom Druck der Luft ab und sinkt, wenn man auf einen Berg steigt.",
    "fr": "Le point d'ébullition de l'eau dépend de la pression de l'air et baisse à mesure que l'on monte.",
    "es": "El punto de ebullición del agua depende de la presión del aire y baja a medida que se asciende.",
    "it": "Il punto di ebollizione dell'acqua dipende dalla pressione dell'aria e scende quando si sale.",
    "pt": "O ponto de ebulição da água depende da pressão do ar e diminui à medida que se sobe a montanha.",
    "nl": "Het kookpunt van water hangt af van de luchtdruk en daalt naarmate men hoger op de berg komt.",
    "pl": "Temperatura wrzenia wody zależy od ciśnienia powietrza i spada wraz z wysokością nad poziomem morza.",
    "ru": "Температура кипения воды зависит от давления воздуха и понижается при подъёме в гору.",
    "zh": "水的沸点取决于空气的压力，随着海拔的升高而降低。",
    "ar": "تعتمد درجة غليان الماء على ضغط الهواء وتنخفض كلما ارتفعنا عن سطح البحر.",
}
PIECES = [
    r"\(x^2\)",
    r"\[",
    r"\]",
    r"\begin{table}",
    r"\end{table}",
    "```",
    "[MISSING_PAGE_FAIL:3]",
    "Table 1: of words.",
]
EQUATION = r"\[\frac{\partial u}{\partial t}=\nabla\cdot(\kappa\nabla u)+\mathrm{const}\,\sin\theta \tag{2.3}\]"


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_told_by_its_words(language):
    found, score = detect(SENTENCES[language])
    assert found == language
    assert 0.5 < score <= 1.0


@pytest.mark.parametrize("language", SENTENCES)
def test_mathematics_tables_and_code_do_not_change_what_is_found(language):
    sentence = SENTENCES[language]
    table = "\\begin{table}\n\\begin{tabular}{ll}the & and \\\\ of & with\\end{tabular}\n\\end{table}"
    code = "```\nfor the in range(of): print(with)\n```"
    page = f"## {sentence}\n\n{EQUATION * 20}\n\n{table}\n\n{code}\n\n\\(x\\) {sentence}"
    assert detect(page)[0] == language


def test_words_alone_leaves_the_words_on_one_line():
    text = f"# On *heat*\n\nLet \\(u\\) flow.\n\n{EQUATION}\n\nThen 50\\% is \\textbf{{lost}}. [MISSING_PAGE_FAIL:3]"
    assert words_alone(text) == "On heat Let flow. Then 50 % is lost ."


@pytest.mark.parametrize("text", ["", " \n ", "1234 5678", EQUATION, "\\(x\\)", "...", "```\nreturn the\n```"])
def test_a_text_without_words_has_no_language(text):
    assert detect(text) == ("und", 0.0)


def test_a_long_text_is_judged_from_samples_all_over_it():
    title = SENTENCES["fr"]
    book = title + "\n\n" + (SENTENCES["de"] + "\n") * (20 * WHOLE_CHARACTERS // len(SENTENCES["de"]))
    assert detect(book)[0] == "de"


def test_capitals_are_read_as_words():
    assert detect(SENTENCES["en"].upper())[0] == "en"


@pytest.mark.parametrize("language", SENTENCES)
def test_capitals_among_small_letters_are_read_as_words(language):
    every_other = " ".join(
        word.upper() if index % 2 else word for index, word in enumerate(SENTENCES[language].split())
    )
    assert detect(every_other) == detect(SENTENCES[language])


@pytest.mark.parametrize(
    "length", [0, 1, WHOLE_CHARACTERS // 2, WHOLE_CHARACTERS, WHOLE_CHARACTERS + 1, 3000, 10_000, 1_000_000]
)
def test_however_long_a_text_is_a_bounded_part_of_it_is_judged(length, monkeypatch):
    seen = []
    monkeypatch.setattr("pagemill.language._detect_line", lambda line: seen.append(line) or ("en", 0.5))
    detect_plain("a" * length)
    assert sum(map(len, seen)) <= min(length, max(WHOLE_CHARACTERS, MAX_SAMPLES * SAMPLE_CHARACTERS))
    assert bool(seen) is bool(length)


def test_the_beginning_and_the_end_of_a_text_are_among_its_samples(monkeypatch):
    seen = []
    monkeypatch.setattr("pagemill.language._detect_line", lambda line: seen.append(line) or ("en", 0.5))
    detect_plain("begins" + "x" * 5000 + "ends")
    assert seen[0].startswith("begins")
    assert seen[-1].endswith("ends")


@pytest.mark.parametrize("sentences", [3, 6, 30, 300])
def test_a_text_in_two_languages_is_less_surely_one_of_them(sentences):
    german, french = (SENTENCES[language] + " " for language in ("de", "fr"))
    mixed = german * sentences + french * sentences
    assert detect(mixed)[0] in {"de", "fr"}
    assert detect(mixed)[1] < 0.7 < detect(german * 2 * sentences)[1]


NORWEGIAN = "Et varsel kan ikke sendes, men kan slettes av administratoren etter at det ble opprettet."
DANISH = "En advarsel kan ikke sendes, men kan slettes af administratoren, efter at den blev oprettet."


@pytest.mark.parametrize(
    ("text", "model_says", "expected"),
    [
        (NORWEGIAN, "da", "no"),
        (NORWEGIAN, "no", "no"),
        (DANISH, "no", "da"),
        (DANISH, "da", "da"),
        ("Kan ikke sendes", "da", "da"),
        ("Kan ikke sendes", "no", "no"),
        (NORWEGIAN, "sv", "sv"),
    ],
)
def test_danish_and_norwegian_are_parted_by_words_that_only_one_of_them_has(text, model_says, expected, monkeypatch):
    monkeypatch.setattr("pagemill.language._detect_line", lambda line: (model_says, 0.6))
    assert detect(text) == (expected, 0.6)


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("broken", ["\ud800", "\udc80\udfff", "\x00", "</s>", "\u2028", "\ufeff"])
def test_characters_that_no_text_has_do_not_hide_the_language(language, broken):
    assert detect(broken + SENTENCES[language] + broken)[0] == language
    assert detect_plain((broken + SENTENCES[language]) * 20)[0] == language


@given(st.text(st.characters(exclude_categories=()), max_size=2000))
@settings(max_examples=60)
def test_any_text_has_a_language_or_none(text):
    language, score = detect(text)
    assert language in known_languages() | {"und"}
    assert 0.0 <= score <= 1.0


@given(st.lists(st.sampled_from([*PIECES, "\ud800", "words ", "\n", "\n\n", "$", "# "]), max_size=12).map("".join))
@settings(max_examples=60)
def test_a_layout_that_is_there_already_changes_nothing(text):
    assert words_alone(text, parse_layout(text)) == words_alone(text)
    assert detect(text, parse_layout(text)) == detect(text)


def test_a_text_without_mathematics_tables_and_code_is_not_parsed(monkeypatch):
    monkeypatch.setattr("pagemill.text.mmd.prose.parse_layout", None)
    assert detect("# " + SENTENCES["en"])[0] == "en"


@pytest.mark.parametrize("language", SENTENCES)
def test_a_plain_text_is_told_as_it_stands(language):
    assert detect_plain(f"{SENTENCES[language][:40]}\n{SENTENCES[language][40:]}")[0] == language


@pytest.mark.parametrize("text", ["", "\n", "12.5 % (3)"])
def test_a_plain_text_without_letters_has_no_language(text):
    assert detect_plain(text) == ("und", 0.0)


def test_the_languages_that_are_known_are_those_of_the_model():
    assert len(known_languages()) == 176
    assert known_languages() > set(SENTENCES)
    check_languages(SENTENCES)
    check_languages([])


@pytest.mark.parametrize("code", ["english", "EN", "eng", "und", ""])
def test_a_language_that_is_not_known_is_the_users_mistake(code):
    with pytest.raises(UserError, match=f"language {code}: is not known; give codes"):
        check_languages(["en", code])


def test_a_book_is_weighed_by_the_characters_of_its_pages():
    assert weigh([("en", 0.9, 100), ("de", 0.8, 300), ("und", 0.0, 5000)]) == ("de", 0.6)


def test_a_book_of_pages_without_language_has_none():
    assert weigh([("und", 0.0, 3), ("und", 0.0, 0)]) == ("und", 0.0)
    assert weigh([]) == ("und", 0.0)
