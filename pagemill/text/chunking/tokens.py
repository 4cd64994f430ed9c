"""Counting tokens with any tokenizer.json."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

import fsspec

from pagemill.errors import UserError
from pagemill.text.chunking.pieces import WordCounter, encodable, piece_counter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


class TokenCounter:
    """Counts what a tokenizer makes of texts, special tokens left out.

    What the tokenizer makes of a piece of text is remembered, in bounded memory, where its tokenizer.json
    shows that the tokens of pieces add up (see `pagemill.text.chunking.pieces`). Every count is that of
    `len(tokenizer.encode(text, add_special_tokens=False))`.

    Args:
        tokenizer: Its padding and truncation are switched off in place; it must not be changed afterwards.
        name: What chunk rows call it.
        sha256: Digest of the tokenizer.json, in hex; taken from the tokenizer when not given.
    """

    def __init__(self, tokenizer: "Tokenizer", name: str = "tokenizer", sha256: str = "") -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.name = name
        self.sha256 = sha256 or hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
        self._count_pieces = piece_counter(tokenizer)

    def to_json(self) -> str:
        """Return the tokenizer as a tokenizer.json."""
        return str(self._tokenizer.to_str())

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        if self._count_pieces:
            return list(map(self._count_pieces, texts))
        encodings = self._tokenizer.encode_batch(list(map(encodable, texts)), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def within(self, text: str) -> Callable[[Sequence[str]], list[int]] | None:
        """Return what counts the tokens of parts of a text faster; None if nothing does.

        No token then reaches from what is no white space over white space after it, nor over a line's end: the
        count of two adjacent parts, the first of which ends with white space and the second of which begins with
        none, is the sum of their counts and a number that depends on nothing but the white space and, unless this
        ends with a line's end, the word after it.
        """
        return self._count_pieces.within(text) if isinstance(self._count_pieces, WordCounter) else None

    def token_starts(self, text: str) -> list[int]:
        """Return the offset, in characters, where each token of a text begins."""
        encoding = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        return [start for start, _ in encoding.offsets]


AnyTokenizer = Union[TokenCounter, "Tokenizer", str, Path]


def load_tokenizer(source: AnyTokenizer) -> TokenCounter:
    """Return a counter for a tokenizer, however it is given.

    Args:
        source: A counter or a `tokenizers.Tokenizer` as it is, or the path or URI (anything that
            fsspec reads) of a tokenizer.json or of a folder that holds one.

    Raises:
        UserError: There is no such file, or it is no tokenizer.
    """
    if isinstance(source, TokenCounter):
        return source
    if not isinstance(source, str | Path):
        return TokenCounter(source)
    location, content = _read(str(source))
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises plain Exception for any malformed file
        raise UserError(location, f"is no tokenizer ({error})", f"give the path of a {TOKENIZER_FILE}") from error
    return TokenCounter(tokenizer, _name(location), hashlib.sha256(content).hexdigest())


def _read(source: str) -> tuple[str, bytes]:
    """Return where the tokenizer.json lies and what is in it."""
    try:
        filesystem, path = fsspec.core.url_to_fs(source)
        if filesystem.isdir(path):
            path = f"{path.rstrip('/')}/{TOKENIZER_FILE}"
        return path, filesystem.cat_file(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        reason, mend = "holds no tokenizer", f"give the path of a {TOKENIZER_FILE} or of a folder that holds one"
        raise UserError(source, reason, mend) from error
    except ValueError as error:
        raise UserError(source, f"cannot be read ({error})", "give a path or a URI that fsspec knows") from error


def _name(location: str) -> str:
    """Name a tokenizer after its folder, which is what tells one tokenizer.json from another."""
    path = Path(location)
    return path.parent.name or path.stem if path.name == TOKENIZER_FILE else path.stem
