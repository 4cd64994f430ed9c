"""Languages are told by the words of a text, not by its mathematics."""

# ruff: noqa: RUF001  the letters of other scripts are meant

import pytest

from pagemill.errors import UserError
from pagemill.language import SAMPLE_CHARACTERS, check_languages, detect_plain, known_languages, weigh
from pagemill.text.language import detect, words_alone

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
    book = title + "\n\n" + (SENTENCES["de"] + "\n") * (50 * SAMPLE_CHARACTERS // len(SENTENCES["de"]))
    assert detect(book)[0] == "de"


def test_capitals_are_read_as_words():
    assert detect(SENTENCES["en"].upper())[0] == "en"


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
