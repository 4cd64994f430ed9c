"""Reads texts from files as they are: UTF-8, whole or in pieces."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from pagemill.errors import UserError

FACTS_SUFFIX = ".json"  # of what `clean_files` leaves beside a text
READ_BYTES = 1 << 18


def read_text_file(path: Path) -> str:
    """Return a file's text, its line ends as they are; raises UserError when it cannot be read."""
    return "".join(stream_text_file(path))


def stream_text_file(path: Path) -> Iterator[str]:
    """Yield a file's text in pieces, its line ends as they are; raises UserError when it cannot be read."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = 0
    try:
        with path.open("rb") as stream:
            while piece := stream.read(READ_BYTES):
                yield decoder.decode(piece)
                position += len(piece)
        yield decoder.decode(b"", final=True)
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})", "give the path of a text file") from error
    except UnicodeDecodeError as error:
        reason = f"is no UTF-8 text (about byte {position + error.start})"
        raise UserError(str(path), reason, "convert it to UTF-8") from error
