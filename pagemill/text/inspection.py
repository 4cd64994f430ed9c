"""Shows a text as one self-contained page: its blocks, its quality, and why its chunks end where they end."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from pagemill import __version__
from pagemill.errors import UserError
from pagemill.templates import html_templates
from pagemill.text.chunking.chunker import Passage, check_lengths, cuttings
from pagemill.text.chunking.cuts import Cut, explain
from pagemill.text.chunking.cutting import Lengths
from pagemill.text.chunking.tokens import AnyTokenizer, load_tokenizer
from pagemill.text.cleaning.book import Cleaned, clean
from pagemill.text.judging.garbage import garbage_score
from pagemill.text.judging.language import detect
from pagemill.text.judging.quality import latex_errors, shares
from pagemill.text.mmd.blocks import Block, BlockKind, parse_blocks
from pagemill.text.text_files import read_text_file

SHOWN_CHARACTERS = 1_000_000  # of a text; what comes after them is counted, not shown
SHOWN_PIECES = 5_000
PIECE_CHARACTERS = 20_000  # of one block; of a longer one, the beginning and the end are shown
LISTED_CHUNKS = 12  # for each kind of cut

_PREVIEW_CHARACTERS = 160

# One character for one: controls as the pictures that Unicode has of them; what turns the direction
# of the text around, or is no character at all, as what is not known.
_UNKNOWN = (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_VISIBLE = (
    dict.fromkeys(_UNKNOWN, "\ufffd")
    | {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    | {0x7F: "\u2421"}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A block, or the part of one that a chunk holds, as the page shows it."""

    kind: BlockKind
    start: int
    end: int
    line: int  # in which it starts, from 1
    begins_block: bool
    ends_block: bool
    head: str
    left_out: int = 0  # characters between head and tail
    tail: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ShownChunk:
    """A chunk as the page shows it."""

    number: int
    passage: Passage
    repeated: str  # the beginning of what the chunk repeats from before, "" without
    pieces: list[Piece]
    cut: Cut


def inspect_file(
    path: str | Path,
    tokenizer: AnyTokenizer,
    *,
    out: str | Path | None = None,
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
) -> Path:
    """Write one HTML page about a file of Nougat's Markdown; no other file is needed to read it.

    Args:
        path: A UTF-8 text.
        tokenizer: See `pagemill.text.chunk`.
        out: The page; without it `<path>.html`.
        target_tokens: See `pagemill.text.chunk`.
        max_tokens: See `pagemill.text.chunk`.
        overlap_tokens: See `pagemill.text.chunk`.

    Returns:
        Where the page lies.

    Raises:
        UserError: The file or the tokenizer cannot be read, the lengths contradict one another, or
            the page would overwrite the text.
    """
    path = Path(path)
    page = Path(out) if out else path.with_name(f"{path.name}.html")
    text = read_text_file(path)
    if page.is_dir() or page.resolve() == path.resolve():
        raise UserError(str(page), "cannot be the page's place", "give another file name with --out")
    lengths = {"target_tokens": target_tokens, "max_tokens": max_tokens, "overlap_tokens": overlap_tokens}
    content = inspection_page(text, tokenizer, name=path.name, **lengths)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(content, encoding="utf-8", errors="replace")  # a file's name need not be Unicode
    return page


def inspection_page(
    text: str,
    tokenizer: AnyTokenizer,
    *,
    name: str = "text",
    target_tokens: int = 512,
    max_tokens: int = 1024,
    overlap_tokens: int = 0,
) -> str:
    """Return one HTML page that shows a text as it is cut, not cleaned before.

    The text's characters appear on the page once each and in order, those of long texts up to a limit;
    control characters appear as `visible` has them.

    Args:
        text: Nougat's Markdown, or anything else.
        tokenizer: See `pagemill.text.chunk`.
        name: What the page calls the text.
        target_tokens: See `pagemill.text.chunk`.
        max_tokens: See `pagemill.text.chunk`.
        overlap_tokens: See `pagemill.text.chunk`.

    Raises:
        UserError: The lengths contradict one another, or there is no such tokenizer.
    """
    counter = load_tokenizer(tokenizer)
    lengths = {"target_tokens": target_tokens, "max_tokens": max_tokens, "overlap_tokens": overlap_tokens}
    check_lengths(**lengths)
    passages: list[Passage] = []
    cuts: list[Cut] = []
    for cutting in cuttings(text, counter, Lengths(target_tokens, max_tokens, overlap_tokens)):
        passages += cutting.passages
        cuts += explain(cutting, counter, Lengths(target_tokens, max_tokens, overlap_tokens))
    blocks = parse_blocks(text)
    cleaned = clean(text)
    shown = list(_shown_chunks(text, blocks, passages, cuts))
    templates = html_templates("pagemill.text")
    templates.filters["visible"] = visible
    return templates.get_template("inspection.html").render(
        name=name,
        version=__version__,
        tokenizer=counter.name,
        lengths=lengths,
        characters=len(text),
        shown_characters=shown[-1].pieces[-1].end if shown else 0,
        figures=_figures(text, cleaned.page_tags[0], passages, target_tokens),
        mended=_mended(cleaned),
        kinds=_kinds(blocks),
        chunks=len(passages),
        shown=shown,
        cuts=_cuts_by_place(cuts),
        listed=LISTED_CHUNKS,
    )


def visible(text: str) -> str:
    r"""Return a text of the same length in which control characters, except ``\t`` and ``\n``, can be seen."""
    return text.translate(_VISIBLE)


def _shown_chunks(
    text: str, blocks: Sequence[Block], passages: Sequence[Passage], cuts: Sequence[Cut]
) -> Iterator[ShownChunk]:
    """Yield the chunks with their pieces, as many as the page has room for."""
    pieces = _pieces(text, blocks, passages)
    for number, (passage, cut) in enumerate(zip(passages, cuts, strict=True), 1):
        own: list[Piece] = []
        while not own or own[-1].end < passage.end:
            piece = next(pieces, None)
            if piece is None:
                break
            own.append(piece)
        if own:
            before = passage.repeated_head + text[passage.overlap_start : passage.start]
            yield ShownChunk(number, passage, _shortened(before, _PREVIEW_CHARACTERS), own, cut)


def _pieces(text: str, blocks: Sequence[Block], passages: Sequence[Passage]) -> Iterator[Piece]:
    """Yield the parts that blocks are cut into, in order, until the page is full."""
    edges = sorted({passage.end for passage in passages} | {block.end for block in blocks})
    start, line, characters, index = 0, 1, 0, 0
    for end in edges[:SHOWN_PIECES]:
        block = blocks[index]
        half = PIECE_CHARACTERS // 2
        left_out = max(0, end - start - PIECE_CHARACTERS)
        yield Piece(
            kind=block.kind,
            start=start,
            end=end,
            line=line,
            begins_block=start == block.start,
            ends_block=end == block.end,
            head=text[start : start + half] if left_out else text[start:end],
            left_out=left_out,
            tail=text[end - half : end] if left_out else "",
        )
        line += text.count("\n", start, end)
        characters += end - start - left_out
        index += end == block.end
        start = end
        if characters >= SHOWN_CHARACTERS:
            return


def _figures(text: str, tag: str, passages: Sequence[Passage], target_tokens: int) -> list[tuple[str, str, str]]:
    """Return (what, value, remark) of what can be said of a text alone."""
    alphabetic, mathematics = shares(text)
    language, score = detect(visible(text))
    tokens = [passage.token_count for passage in passages]
    mean = sum(tokens) / len(tokens) if tokens else 0.0
    too_long = sum(passage.over_maximum for passage in passages)
    return [
        ("language", language, f"score {score:.2f}" if score else ""),
        ("taken as one page", tag.replace("_", " "), "its tag"),
        ("letters", f"{alphabetic:.0%}", "outside mathematics"),
        ("mathematics", f"{mathematics:.0%}", "of the characters"),
        ("garbage", f"{garbage_score(text):.0%}", "of the words, by their shape"),
        ("LaTeX errors", f"{latex_errors(text):,}", "opened or closed alone"),
        ("chunks", f"{len(tokens):,}", f"{too_long:,} over the maximum"),
        (
            "tokens a chunk",
            f"{mean:,.0f}",
            f"{mean / target_tokens:.0%} of the target; {max(tokens, default=0):,} at most",
        ),
    ]


def _mended(cleaned: Cleaned) -> dict[str, int]:
    """Return whatever cleaning counts of what it did, by kind."""
    counts = [part for part in dataclasses.asdict(cleaned).values() if isinstance(part, dict)]
    return {kind.replace("_", " "): count for part in counts for kind, count in part.items() if count}


def _kinds(blocks: Sequence[Block]) -> list[tuple[str, int, int]]:
    """Return (kind, number, characters) of the kinds of block that there are."""
    numbers, characters = Counter(block.kind for block in blocks), Counter[BlockKind]()
    for block in blocks:
        characters[block.kind] += block.end - block.start
    return [(kind.replace("_", " "), numbers[kind], characters[kind]) for kind in BlockKind if numbers[kind]]


def _cuts_by_place(cuts: Sequence[Cut]) -> list[tuple[str, list[int]]]:
    """Return (where, numbers of the chunks that end there), the most frequent first."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, cut in enumerate(cuts, 1):
        numbers[cut.where].append(number)
    return sorted(numbers.items(), key=lambda item: (-len(item[1]), item[0]))


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}\u2026"
