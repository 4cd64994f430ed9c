"""Garbage is what no language has; names, compounds, abbreviations, formulas and other scripts are none."""

# ruff: noqa: RUF001  letters of other scripts and letters that look alike are meant

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.text.judging import garbage
from pagemill.text.judging.garbage import garbage_score, is_garbage, score_words

SENTENCES = {
    "en": "The boiling point of water depends on the pressure of the air above it, and falls as one climbs.",
    "de": "Der Siedepunkt des Wassers hängt vom Druck der Luft ab und sinkt, wenn man auf einen Berg steigt.",
    "fr": "Le point d'ébullition de l'eau dépend de la pression de l'air et baisse à mesure que l'on monte.",
    "es": "El punto de ebullición del agua depende de la presión del aire: ¿baja a medida que se asciende?",
    "it": "Il punto di ebollizione dell'acqua dipende dalla pressione dell'aria e scende quando si sale.",
    "pt": "O ponto de ebulição da água depende da pressão do ar e diminui à medida que se sobe a montanha.",
    "nl": "Het kookpunt van water hangt af van de luchtdruk en daalt naarmate men hoger op de berg komt.",
    "pl": "Temperatura wrzenia wody bezwzględnie zależy od ciśnienia powietrza i spada w górach.",
    "cs": "Bod varu vody závisí na tlaku vzduchu, čtvrtina vrstvy zmrzliny a smršť klesá s nadmořskou výškou.",
    "fi": "Veden kiehumispiste riippuu ilmanpaineesta ja laskee, kun noustaan ylös vuorelle hääyönä.",
    "et": "Vee keemispunkt sõltub õhurõhust; jäääärel töötaja näeb, kuidas see mäkke tõustes langeb.",
    "hu": "A víz forráspontja a felette lévő levegő nyomásától függ, és a hegyre felfelé haladva csökken.",
    "vi": "Điểm sôi của nước phụ thuộc vào áp suất không khí phía trên và giảm xuống khi người ta leo lên núi.",
    "tr": "Suyun kaynama noktası üzerindeki havanın basıncına bağlıdır ve dağa çıkıldıkça düşer.",
    "is": "Suðumark vatns ræðst af loftþrýstingi yfir því og lækkar eftir því sem ofar dregur í fjöllunum.",
    "ru": "Температура кипения воды зависит от давления воздуха и понижается при подъёме в гору.",
    "uk": "Температура кипіння води залежить від тиску повітря і знижується з підйомом на гору.",
    "bg": "Точката на кипене на водата зависи от налягането на въздуха и пада, ъгълът се изкачва.",
    "el": "Το σημείο βρασμού του νερού εξαρτάται από την πίεση του αέρα και πέφτει όσο ανεβαίνει κανείς.",
    "zh": "水的沸点取决于空气的压力，随着海拔的升高而降低。",
    "ja": "水の沸点は空気の圧力によって決まり、山を登るにつれて下がっていく。",
    "th": "จุดเดือดของน้ำขึ้นอยู่กับความดันของอากาศและลดลงเมื่อปีนขึ้นไป",
    "ar": "تعتمد درجة غليان الماء على ضغط الهواء وتنخفض كلما ارتفعنا عن سطح البحر.",
    "he": "נקודת הרתיחה של המים תלויה בלחץ האוויר שמעליהם ויורדת ככל שמטפסים.",
    "hi": "पानी का क्वथनांक उसके ऊपर की हवा के दबाव पर निर्भर करता है और चढ़ने पर गिरता है।",
    "ta": "நீரின் கொதிநிலை அதன் மேலுள்ள காற்றின் அழுத்தத்தைப் பொறுத்தது.",
}
LOOKALIKES = {"l": "1", "o": "0", "m": "rn", "e": "c", "s": "5", "i": "!", "a": "@", "t": "+", "h": "|i"}


def shuffled_symbols(text: str) -> str:
    chooser = random.Random(4)
    signs = string.ascii_letters + string.digits + string.punctuation.replace("\\", "")  # which begins LaTeX
    return " ".join("".join(chooser.choice(signs) for _ in word) for word in text.split())


@pytest.mark.parametrize("language", SENTENCES)
def test_no_language_is_garbage(language):
    assert garbage_score(SENTENCES[language]) == 0.0


@pytest.mark.parametrize("language", ["en", "de", "fr", "pl", "cs", "fi", "ru", "el"])
def test_capitals_are_no_garbage(language):
    assert garbage_score(SENTENCES[language].upper()) < 0.1


@pytest.mark.parametrize(
    ("language", "written", "read"),
    [
        ("ru", "cp1251", "latin-1"),
        ("ru", "koi8-r", "latin-1"),
        ("uk", "cp1251", "cp1252"),
        ("el", "cp1253", "latin-1"),
        ("el", "utf-8", "latin-1"),
        ("ja", "utf-8", "latin-1"),
        ("hi", "utf-8", "latin-1"),
    ],
)
def test_text_in_a_wrong_encoding_is_garbage(language, written, read):
    garbled = SENTENCES[language].encode(written, "ignore").decode(read, "replace")
    assert garbage_score(garbled) > 0.6


@pytest.mark.parametrize("language", ["en", "de", "pl"])
def test_random_characters_are_garbage(language):
    text = SENTENCES[language] * 20
    assert garbage_score(shuffled_symbols(text)) > 0.15  # a clean page has 0.03 at most


def test_letters_set_apart_are_garbage():
    assert garbage_score(" ".join(SENTENCES["en"].replace(" ", ""))) > 0.9
    assert garbage_score("a b c and x y z, A 1 B 2") == 0.0


def test_the_more_letters_are_mistaken_the_higher_the_score():
    chooser = random.Random(2)
    text = SENTENCES["en"] * 20

    def misread(share: float) -> str:
        return "".join(LOOKALIKES.get(sign, sign) if chooser.random() < share else sign for sign in text)

    scores = [garbage_score(misread(share)) for share in (0.0, 0.05, 0.2, 0.5)]
    assert scores[0] == 0.0
    assert scores == sorted(scores)
    assert scores[1] > 0.01
    assert scores[3] > 0.2


@pytest.mark.parametrize(
    "word",
    [
        "Ïðèâåò",  # another script's bytes
        "wоrld",  # a Cyrillic letter between Latin ones
        "he1lo",
        "1ittle",
        "wor|d",
        "wh?t",
        "tHeWoRd",
        "hOUSE",
        "aaaarn",
        "xqzjkvbt",
        "\ufffd",
        "\ufffd\ufffdod",
        "\ue012\ue013",  # characters of a font's own
        "k^~x@z",
        "a" * 41,
        "#^~",
    ],
)
def test_what_no_language_has_is_garbage(word):
    assert is_garbage(word)


@pytest.mark.parametrize(
    "words",
    [
        "Donaudampfschifffahrtsgesellschaft Rechtschreibung Angstschweiß Herbstpflaume Deutschschweiz",
        "Szczebrzeszyn źdźbło bezwzględny wstrząs čtvrthrst scvrnkl zmrzl vlk Krk smrt prst",
        "Knightsbridge catchphrase rhythms Mstislav Hjalmar Tchaikovsky Llanfairpwllgwyngyll crwth Nkrumah",
        "McDonald O'Brien d'Alembert MacArthur PhD LaTeX BibTeX JavaScript getElementById GmbH StGB",
        "mRNA pH kHz NaCl CaCO3 C6H12O6 H2O IL-2R CD4+ B12 x86 IPv6 1990s 2nd 3D",
        "1,2-dichloro-4-(trifluoromethyl)benzene N,N-dimethyltryptamine methylenedioxymethamphetamine",
        "XXXVIII MCMLXXXIV xxviii. IIII e.g. i.e., z.B. U.S.A. Hdschr. vgl. bzw. BGBl.",
        "http://www.example.org/a?b=c&d=e ann.lee@example.org doi:10.1000/x_1 AT&T TCP/IP C++ 50% $5,000.00",
        "(“quoted,” »deutsch« «français» ‘single’) [t]he word(s) Schüler*innen rock'n'roll word1 word² ¿qué?",
        "e4 e5 Nf3 Nc6 O-O Nxe4 dxe5 12°C 3:16 pp.12–15 5' 6\" 1/2 3×4 #1 — – & § •",
        "‖x‖2=∑ni=1|xi|2 ∂u/∂t=κ∇2u x∈Rn E[X∩Y] f:X→Y",
        "Śrī Kṛṣṇa dharmakṣetre əˈbaʊt μm kΩ Δx α-helix",
        "Chapter.......5 ----------- * * * _____ ^^^^^^ ┌───┬───┐",
        '<a href="#x">HTTP_ERROR</a> https ${NAME}/x.c http2.createServer(options); x += foo<bar>',
    ],
)
def test_what_looks_odd_and_is_none(words):
    assert [word for word in words.split() if is_garbage(word)] == []


def test_mathematics_tables_and_code_do_not_count():
    odd = "x1x~^~zqxz"
    sentence = SENTENCES["en"]
    text = (
        f"{sentence} \\({odd}\\) and \\textbf{{so}} on.\n\n\\[{odd}\\]\n\n```\n{odd}\n```\n\n"
        f"\\begin{{table}}\n\\begin{{tabular}}{{l}}{odd}\\end{{tabular}}\n\\end{{table}}\nTable 1: Odd.\n\n{sentence}"
    )
    assert garbage_score(text) == 0.0
    assert garbage_score(f"{sentence} {odd}") > 0.1


def test_the_score_is_the_share_of_characters():
    assert score_words("four he1lo") == round(5 / 9, 4)
    assert score_words("四个汉字 he1lo") == round(5 / 9, 4)


@pytest.mark.parametrize("text", ["", " \n\t", "\\[x\\]", "123 456", "..."])
def test_a_text_without_words_has_none(text):
    assert garbage_score(text) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "\x00\ud800\udfff" * 1000,
        "\\begin{table}" * 1000 + "{" * 1000,
        "(" * 100_000 + "x" + ")" * 100_000,
        "́" * 10_000,
        "<{" * 50_000,
        "a@" * 50_000,
    ],
)
def test_hostile_texts_have_a_score(text):
    assert 0.0 <= garbage_score(text) <= 1.0


def test_a_megabyte_without_a_space_is_one_word_that_is_not_remembered():
    garbage._is_garbage.cache_clear()
    assert garbage_score("ab1c" * 250_000) in (0.0, 1.0)
    assert garbage._is_garbage.cache_info().currsize == 0


def test_a_word_is_judged_once():
    garbage._is_garbage.cache_clear()
    score_words("once upon a time " * 1000)
    assert garbage._is_garbage.cache_info().misses == 4


@settings(max_examples=100)
@given(st.text())
def test_any_text_has_a_share(text):
    assert 0.0 <= garbage_score(text) <= 1.0


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*SENTENCES.values(), "Ïðèâåò ìèð", "xqzjkvbt wor|d"]), max_size=6), st.randoms())
def test_the_order_of_sentences_does_not_matter(sentences, chooser):
    mixed = list(sentences)
    chooser.shuffle(mixed)
    assert score_words(" ".join(mixed)) == score_words(" ".join(sentences))
