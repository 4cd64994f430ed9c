"""Chunking: a text cut where a reader would, into passages that a language model can take in."""

from collections.abc import Iterable, Iterator

from pagemill.errors import UserError
from pagemill.text.chunking.cutting import Cutting, Lengths, Passage, Place, Window, cut_window
from pagemill.text.chunking.tokens import AnyTokenizer, TokenCounter, load_tokenizer
from pagemill.text.chunking.windows import TextWindows

__all__ = ["Passage", "check_lengths", "chunk", "cuttings"]

WINDOW_CHARACTERS = 1 << 18  # of the text that are looked at together, at least
WINDOW_CHARACTERS_PER_TOKEN = 32  # of the maximum
LARGEST_WINDOW = 16  # times as long, for what is opened and not yet closed


def chunk(
    text: str | Iterable[str],
    tokenizer: AnyTokenizer,
    *,
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
) -> Iterator[Passage]:
    r"""Cut Nougat's Markdown into passages, in linear time and in memory that does not grow with the text.

    A heading starts a passage, or stands in one together with what it heads; it never ends one, unless the text
    ends with it or what follows fills a passage alone. Formulas are never cut, nor are tables and lines of code
    that fit; a longer table is cut between rows, with its head repeated. An equation stays with the sentence
    before it, a caption with its table. Blocks that fit are not cut; longer paragraphs are cut between sentences,
    then between words, then between characters.

    A passage takes in what comes next while that brings it nearer to the target, other sections too as long as one
    heading holds for all of it. From three quarters of the target on it ends where a section ends, if one does
    before it is full, the highest of several. What is left of a section is taken in if it is less than a quarter
    of the target and the maximum allows it.

    The text is held window by window: 262,144 characters or 32 for each of `max_tokens`, whichever is more, and up
    to 16 times as many while something is opened that nothing has closed. What is longer than half of the largest
    window, two million characters by default, may be taken for plain text and be cut like that.

    Args:
        text: Any text; headings, tables and formulas as Nougat writes them. A str, or pieces of any length that
            join to the text, such as an open file; how it is pieced together makes no difference.
        tokenizer: A `TokenCounter`, a `tokenizers.Tokenizer`, or the path or URI of a tokenizer.json.
        target_tokens: What passages come as close to as good cuts allow.
        max_tokens: What no passage exceeds, except one that is a single formula.
        overlap_tokens: At most so many tokens of whole sentences from the passage before are repeated
            at the start of the next one in the same section.

    Returns:
        Passages in order; none for the empty text.

    Raises:
        UserError: The numbers contradict one another, or there is no such tokenizer.
    """
    check_lengths(target_tokens, max_tokens, overlap_tokens)
    lengths = Lengths(target_tokens, max_tokens, overlap_tokens)
    counter = load_tokenizer(tokenizer)
    return (passage for cutting in cuttings(text, counter, lengths) for passage in cutting.passages)


def check_lengths(target_tokens: int, max_tokens: int, overlap_tokens: int) -> None:
    """Raise UserError when the lengths that a text is to be cut to contradict one another."""
    if not 0 < target_tokens <= max_tokens:
        reason = f"is not between 1 and max_tokens ({max_tokens})"
        raise UserError(f"target_tokens {target_tokens}", reason, "lower it or raise max_tokens")
    if not 0 <= overlap_tokens < target_tokens:
        reason = f"is not between 0 and target_tokens ({target_tokens})"
        raise UserError(f"overlap_tokens {overlap_tokens}", reason, "lower it, a tenth of the target is usual")


def cuttings(text: str | Iterable[str], counter: TokenCounter, lengths: Lengths) -> Iterator[Cutting]:
    """Yield the windows that a text is cut in, each from where the last passage of the one before ended."""
    windows = TextWindows(text)
    smallest = max(WINDOW_CHARACTERS, WINDOW_CHARACTERS_PER_TOKEN * lengths.maximum)
    characters = smallest
    place = Place()
    while True:
        content, ends = windows.window(characters)
        if not content:
            return
        window = Window(content, windows.offset, ends, largest=characters >= LARGEST_WINDOW * smallest)
        cutting = cut_window(window, place, counter, lengths)
        if cutting is None:
            characters *= 2
            continue
        yield cutting
        place = cutting.next_place
        windows.drop(cutting.passages[-1].end - windows.offset)
        characters = smallest
