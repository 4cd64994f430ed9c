"""Sums of what a splitter did to documents: cuts, tokens of chunks, time."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.text.corpus import Document
from benchmarks.text.measures import Cuts, Holding, Span, align, cuts_of_holdings, cuts_of_spans
from benchmarks.text.peers import Cutting, Splitter

Counter = Callable[[Sequence[str]], list[int]]


@dataclasses.dataclass
class Result:
    """What a splitter did."""

    splitter: Splitter
    cuts: Cuts = dataclasses.field(default_factory=Cuts)
    chunks: int = 0
    tokens: int = 0
    over: int = 0  # chunks of more tokens than they may have
    longest: int = 0
    unaligned: int = 0  # chunks whose text is not in the document as it is
    limit: int = 0
    characters_read: int = 0
    characters_given: int = 0
    speeds: list[float] = dataclasses.field(default_factory=list)  # in millions of characters a second, one a round

    def add(self, other: "Result") -> None:
        """Add the result of another round."""
        self.cuts.add(other.cuts)
        for name in ("chunks", "tokens", "over", "unaligned", "characters_read", "characters_given"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest, self.limit = max(self.longest, other.longest), other.limit
        self.speeds += other.speeds

    @property
    def fill(self) -> float:
        """Mean tokens of a chunk over what it may have."""
        return self.tokens / self.chunks / self.limit

    @property
    def speed(self) -> float:
        """Median of the rounds, in millions of characters a second."""
        return statistics.median(self.speeds)

    def cells(self) -> dict[str, str]:
        """Return the result as a line of a table, by the names of its columns."""
        cuts = self.cuts
        longest = f" (longest {self.longest:,})" if self.longest > self.limit else ""
        rewritten = f", {self.unaligned} chunks rewritten" if self.unaligned else ""
        return {
            "splitter": self.splitter.name,
            "structure": str(self.splitter.structure),
            "display equations cut": f"{cuts.display_cut:,} of {cuts.displays:,}",
            "inline equations cut": f"{cuts.inline_cut:,} of {cuts.inlines:,}",
            "tables cut that fit": f"{cuts.tables_cut:,} of {cuts.tables:,}",
            "headings orphaned": f"{cuts.headings_orphaned:,} of {cuts.headings:,}",
            "captions parted": f"{cuts.captions_parted:,} of {cuts.captions:,}",
            "code cut that fits": f"{cuts.code_cut:,} of {cuts.codes:,}",
            "sentences cut": f"{cuts.sentences_cut:,} of {cuts.sentences:,}",
            "chunks over the maximum": f"{self.over:,} of {self.chunks:,}{longest}",
            "fill": f"{self.fill:.3f}",
            "MB/s": f"{self.speed:.2f}",
            "share of the corpus": f"{self.characters_read / self.characters_given:.0%}",
            "characters lost": f"{cuts.lost_characters:,}{rewritten}",
        }


def chunk_counter(tokenizer: Path) -> Counter:
    """Return what counts the tokens of texts, as the splitters were told to."""
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer))
    return lambda texts: [len(encoding) for encoding in loaded.encode_batch(list(texts), add_special_tokens=False)]


def result_of(
    splitter: Splitter, documents: Sequence[Document], cuttings: Sequence[Cutting], counter: Counter, limit: int
) -> Result:
    """Judge what a splitter made of the first of these documents, as many as it cut."""
    result = Result(splitter, limit=limit, characters_given=sum(len(document.text) for document in documents))
    seconds = 0.0
    for document, cutting in zip(documents, cuttings, strict=False):
        seconds += cutting.seconds
        result.characters_read += len(document.text)
        counts = counter([piece.text for piece in cutting.pieces])
        result.chunks += len(counts)
        result.tokens += sum(counts)
        result.over += sum(count > limit for count in counts)
        result.longest = max(result.longest, *counts)
        result.cuts.add(_cuts(document, cutting, counter, limit, result))
    result.speeds.append(result.characters_read / 1e6 / seconds)
    return result


def _cuts(document: Document, cutting: Cutting, counter: Counter, limit: int, result: Result) -> Cuts:
    def fits(start: int, end: int) -> bool:
        return counter([document.text[start:end]])[0] <= limit

    if any(piece.marks is not None for piece in cutting.pieces):
        holdings = [Holding(piece.text, piece.marks or ()) for piece in cutting.pieces]
        return cuts_of_holdings(document, holdings, fits)
    spans = [Span(*piece.span) for piece in cutting.pieces if piece.span is not None]
    if len(spans) < len(cutting.pieces):
        aligned = align(document.text, [piece.text for piece in cutting.pieces])
        spans = [span for span in aligned if span is not None]
        result.unaligned += len(aligned) - len(spans)
    return cuts_of_spans(document, spans, fits)
