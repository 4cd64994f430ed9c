"""Reads a text, given whole or in pieces of any length, window by window."""

from collections.abc import Iterable, Iterator


class TextWindows:
    """A text of which a limited part is held at a time.

    Args:
        text: A str, or pieces that join to the text, such as the lines of an open file.
    """

    def __init__(self, text: str | Iterable[str]) -> None:
        self._pieces: Iterator[str] = iter((text,) if isinstance(text, str) else text)
        self._held = ""
        self._begin = 0  # of what is not dropped, in what is held
        self.offset = 0  # of the next window in the text, in characters

    def window(self, characters: int) -> tuple[str, bool]:
        """Return so many characters from the offset on, or all that are left, and whether the text ends with them."""
        available = len(self._held) - self._begin
        if available <= characters:
            parts = [self._held[self._begin :]]
            for piece in self._pieces:
                parts.append(piece)
                available += len(piece)
                if available > characters:
                    break
            self._held, self._begin = "".join(parts), 0
        return self._held[self._begin : self._begin + characters], available <= characters

    def drop(self, characters: int) -> None:
        """Go on so many characters later."""
        self._begin += characters
        self.offset += characters
