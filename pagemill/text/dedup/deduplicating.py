"""Near-duplicates among any texts, for those who have the texts at hand."""

from array import array
from collections.abc import Iterable

import numpy as np

from pagemill.text.dedup.lsh import MIN_SIMILARITY, check_similarity, near_duplicates
from pagemill.text.dedup.minhash import minhash
from pagemill.text.dedup.signature_file import SignatureFile
from pagemill.text.dedup.wording import shingles_of, words_of


def deduplicate(texts: Iterable[str], min_similarity: float = MIN_SIMILARITY) -> list[int]:
    """Return for each text the index of the one to keep for it: its own, or that of an earlier text that says the same.

    >>> deduplicate(["The ends of a line are points.", "A point has no part.", "the ends of a LINE are points"])
    [0, 1, 0]

    To keep the best of each cluster rather than the first, give the best first. The texts are gone through once, so
    they may come from a generator, and none is held: of each a signature of 1 KB lies in a temporary file, and less
    than 200 bytes are in memory. What counts as the same wording is told at `words_of`, what as alike at
    `near_duplicates`. Texts of fewer than three words are repeated only by equal ones, texts without words by none.

    Args:
        texts: The best first.
        min_similarity: Estimated Jaccard similarity of the runs of three words, from which on a text repeats another.

    Raises:
        UserError: `min_similarity` is not above 0, or above 1.
    """
    check_similarity(min_similarity)
    kept: list[int] = []
    first_short: dict[bytes, int] = {}
    signed = array("q")  # the texts that have a signature
    with SignatureFile() as signatures:
        for index, text in enumerate(texts):
            words = words_of(text)
            signature = minhash(shingles_of(words))
            if signature is not None:
                signatures.append(signature)
                signed.append(index)
            kept.append(first_short.setdefault(b"".join(words), index) if words and signature is None else index)
        found = near_duplicates(signatures, min_similarity)
    indexes = np.frombuffer(signed, np.int64)
    for index, keeper in zip(signed, indexes[found.kept].tolist(), strict=True):
        kept[index] = keeper
    return kept
