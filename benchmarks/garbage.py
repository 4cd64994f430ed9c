"""How much of clean and of spoilt text passes for garbage: pagemill beside published rules, on the same pages.

The text is real: what the catalogues of three Django packages say in thirty languages, as in `languages.py`, cut into
pages of 1,800 characters. It is spoilt in the ways in which OCR and text layers spoil it, by a seeded generator. The
published rules, of Taghva et al. 2001, stand here as their paper has them, but for letters of any script.
"""

import argparse
import random
import re
import statistics
import string
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from environments import ENVIRONMENTS
from languages import download, sentences

from pagemill.text.judging.garbage import score_words

PAGE_CHARACTERS = 1800
MIN_PAGES = 3
SPOILT = ("en", "de", "fr", "es", "it", "pl", "cs", "fi", "tr")
SIGNS = string.ascii_letters + string.digits + string.punctuation
LOOKALIKES = {
    **{"a": "o@", "b": "h6", "c": "e(", "e": "co", "f": "t/", "g": "9q", "i": "1l!;", "l": "1I|!", "o": "0c", "q": "g"},
    **{"r": "if", "s": "5$", "t": "f+", "u": "n", "v": "y", "y": "v"},
}
WIDE_LOOKALIKES = {"d": "cl", "h": "li", "m": "rn", "n": "ri", "w": "vv"}
# Bytes of one encoding that were read in another.
MISREAD = (
    *(
        ("ru", "cp1251", "latin-1"),
        ("ru", "koi8-r", "latin-1"),
        ("uk", "cp1251", "latin-1"),
        ("el", "cp1253", "latin-1"),
    ),
    *(
        ("el", "utf-8", "latin-1"),
        ("ja", "utf-8", "latin-1"),
        ("ja", "shift-jis", "latin-1"),
        ("ko", "euc-kr", "latin-1"),
    ),
    *(("zh", "gbk", "latin-1"), ("he", "cp1255", "latin-1"), ("ar", "cp1256", "latin-1"), ("fa", "utf-8", "latin-1")),
    *(("ru", "koi8-r", "cp1251"), ("ru", "cp1251", "koi8-r"), ("fr", "cp1252", "cp1251"), ("pl", "cp1250", "cp1252")),
)


def published_score(text: str) -> float:
    """Return the share of characters in words that Taghva, Nartker, Condit and Borsack (2001) take for garbage."""
    words = text.split()
    return sum(len(word) for word in words if _is_published_garbage(word)) / sum(map(len, words))


def _is_published_garbage(word: str) -> bool:
    alphanumeric = sum(map(str.isalnum, word))
    vowels = sum(letter in "aeiou" for letter in word.lower())
    consonants = len(word) - vowels
    inner = {sign for sign in word[1:-1] if not sign.isalnum()}
    return (
        len(word) > 40
        or (len(word) > 2 and 2 * alphanumeric < len(word))
        or bool(re.search(r"(.)\1{3}", word))
        or (word.isalpha() and (10 * vowels < consonants or 10 * consonants < vowels))
        or len(inner) > 1
        or (word[0].islower() and word[-1].islower() and any(map(str.isupper, word[1:-1])))
    )


SCORES: Mapping[str, Callable[[str], float]] = {"pagemill": score_words, "Taghva et al.": published_score}


def pages(said: Sequence[str], source: random.Random) -> list[str]:
    """Cut the sentences of a language, in any order, into pages; the last one may be shorter."""
    found, page = [], ""
    for sentence in source.sample(said, len(said)):
        page = f"{page} {sentence}"
        if len(page) >= PAGE_CHARACTERS:
            found.append(page)
            page = ""
    return found


def lookalikes(text: str, share: float, source: random.Random) -> str:
    """Put others that look like them in the place of a share of the letters."""

    def misread(letter: str) -> str:
        if source.random() >= share:
            return letter
        return WIDE_LOOKALIKES.get(letter) or source.choice(LOOKALIKES.get(letter, letter))

    return "".join(map(misread, text))


def replaced(text: str, signs: str, source: random.Random) -> str:
    """Put any of some signs in the place of every character but spaces."""
    return " ".join("".join(source.choices(signs, k=len(word))) for word in text.split())


def shuffled(text: str, source: random.Random) -> str:
    """Put the letters of every word into another order."""
    return " ".join("".join(source.sample(word, len(word))) for word in text.split())


def spoilt(books: Mapping[str, Sequence[str]], source: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Yield (what is wrong with them, pages)."""
    latin = [page for code in SPOILT for page in books.get(code, ())[:40]]
    yield "letters set apart", [" ".join(page.replace(" ", "")) for page in latin]
    for share in (0.05, 0.2, 0.5):
        yield f"look-alikes for {share:.0%} of the letters", [lookalikes(page, share, source) for page in latin]
    yield "random letters", [replaced(page, string.ascii_lowercase, source) for page in latin]
    yield "random printable characters", [replaced(page, SIGNS, source) for page in latin]
    yield "letters of words in another order", [shuffled(page, source) for page in latin]
    for code, written, read in MISREAD:
        garbled = [page.encode(written, "ignore").decode(read, "replace") for page in books.get(code, ())]
        if garbled:
            yield f"{code}, {written} read as {read}", garbled


def main() -> None:
    """Print two tables and the speed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    source = random.Random(parser.parse_args().seed)
    said = sentences(download(ENVIRONMENTS / "catalogues"))
    books = {code: pages(each, source) for code, each in said.items()}
    books = {code: each for code, each in books.items() if len(each) >= MIN_PAGES}
    print(
        f"{sum(map(len, books.values())):,} clean pages of {PAGE_CHARACTERS:,} characters in {len(books)} languages\n"
    )
    print("| clean pages | mean | highest page | its language | pages above 0.2 |\n| --- | --- | --- | --- | --- |")
    for what, codes in {"all languages": tuple(books), "Latin letters": SPOILT, "English": ("en",)}.items():
        for name, score in SCORES.items():
            scores = [(score(page), code) for code in codes for page in books.get(code, ())]
            highest, language = max(scores)
            above = sum(value > 0.2 for value, _ in scores) / len(scores)
            mean = _mean(value for value, _ in scores)
            print(f"| {name}, {what} | {mean:.4f} | {highest:.3f} | {language} | {above:.1%} |")
    print(f"\n| spoilt pages, mean score | {' | '.join(SCORES)} |\n| --- | {'--- | ' * len(SCORES)}")
    for what, each in spoilt(books, source):
        print(f"| {what} | {' | '.join(f'{_mean(map(score, each)):.3f}' for score in SCORES.values())} |")
    everything = [page for each in books.values() for page in each]
    megabytes = sum(len(page.encode()) for page in everything) / 1e6
    print()
    for name, score in SCORES.items():
        speeds = [megabytes / _seconds(score, everything) for _ in range(2)]
        print(f"{name}: {speeds[0]:.1f} MB/s, and {speeds[1]:.1f} MB/s where all words were met before")


def _seconds(score: Callable[[str], float], texts: Sequence[str]) -> float:
    started = time.process_time()
    for text in texts:
        score(text)
    return time.process_time() - started


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


if __name__ == "__main__":
    main()
