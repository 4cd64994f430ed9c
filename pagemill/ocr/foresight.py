"""What can be told of a page before it is read: how long its text is, and whether the model may loop on it."""

import re

from PIL import Image

from pagemill.pages.document import GOOD_PRINTABLE_SHARE, printable_share

GOOD_CHARACTERS = 20  # of a text layer; fewer are a stamp on a scan

# Byte-pair encodings of 50,000 pieces take 3.5 to 4 characters of English prose; formulas, of which the text layer
# holds less than their LaTeX, make it the lower figure.
CHARACTERS_PER_TOKEN = 3.5
# Prose in type of 10 to 11 points: 490 to 620 on the pages of the sample books that are full of it.
CHARACTERS_PER_SQUARE_INCH_OF_INK = 500.0
# Print inks 2 to 5 % of a page, small bold type 10 %: what is beyond belongs to a picture.
PRINT_INK_SHARE = 0.12
LEADER_DOTS = 8  # what the model writes of dot leaders, however long they are

# Signs of a page on which the model repeats itself. A false alarm changes when a page is read, not what is read.
CONTENTS_LEADER_LINES = 2
CONTENTS_NUMBERED_LINES = 3
CONTENTS_NUMBERED_SHARE = 0.5
COVER_CHARACTERS = 400
MONOTONOUS_WORDS = 60
MONOTONOUS_DISTINCT_SHARE = 0.25  # a page of prose has half of its words only once

_LEADERS = re.compile(r"(?:[.·•…_] ?){5,}+|…{2,}+")
_NUMBER_AT_END = re.compile(r"(?:^|[\s.,])\d{1,4}$")


def is_good_text(text: str) -> bool:
    """Say whether a text layer is one that a reader could use."""
    return len(text) >= GOOD_CHARACTERS and printable_share(text) >= GOOD_PRINTABLE_SHARE


def ink_share(image: Image.Image) -> float:
    """Return the share of a page that stands out from its ground, dark on light or light on dark; at most 0.5."""
    gray = image.convert("L")
    darkest, lightest = gray.getextrema()
    middle = (int(darkest) + int(lightest) + 1) // 2  # type: ignore[arg-type]  # one band has two extremes
    share = sum(gray.histogram()[:middle]) / (image.width * image.height)
    return min(share, 1 - share)


def expected_tokens(text: str, ink: float, square_inches: float) -> int:
    """Foretell how many tokens the model will write on a page.

    Args:
        text: The page's text layer; where it is good, it alone decides.
        ink: The share of the page that is ink.
        square_inches: The area of the page.
    """
    if is_good_text(text):
        characters = float(len(_LEADERS.sub("." * LEADER_DOTS, text)))
    else:
        characters = min(ink, PRINT_INK_SHARE) * square_inches * CHARACTERS_PER_SQUARE_INCH_OF_INK
    return round(characters / CHARACTERS_PER_TOKEN)


def likely_loop(text: str, ink: float) -> bool:
    """Say whether a page is of the kinds on which Nougat repeats itself: contents, covers, columns of the same.

    Args:
        text: The page's text layer, "" for none.
        ink: The share of the page that is ink.
    """
    return is_contents(text) or is_cover(text, ink) or is_monotonous(text)


def is_contents(text: str) -> bool:
    """Say whether a page is a list of contents or an index: lines with dot leaders, or most end in a number."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(_LEADERS.findall(text)) >= CONTENTS_LEADER_LINES:
        return True
    numbered = sum(bool(_NUMBER_AT_END.search(line)) for line in lines)
    return numbered >= CONTENTS_NUMBERED_LINES and numbered >= CONTENTS_NUMBERED_SHARE * len(lines)


def is_cover(text: str, ink: float) -> bool:
    """Say whether a page is a picture with few words: a cover, a plate, a photograph."""
    return ink > PRINT_INK_SHARE and len(text) < COVER_CHARACTERS


def is_monotonous(text: str) -> bool:
    """Say whether a page has many words and few different ones, as a table of zeros does."""
    words = text.split()
    return len(words) >= MONOTONOUS_WORDS and len(set(words)) < MONOTONOUS_DISTINCT_SHARE * len(words)
