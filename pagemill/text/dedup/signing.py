"""What is kept of a document so that others that say the same can be found: its signature, and how good it is."""

import hashlib

from pagemill.records import Document, Quality, Signature
from pagemill.text.dedup.minhash import encode, minhash
from pagemill.text.dedup.wording import shingles_of, words_of


def sign(document: Document) -> Signature:
    """Return the signature of a document: what its words are, apart from how they are set, and how much they are worth.

    `text_sha256` is that of the words without the spaces between them, so that a lost space makes no difference;
    `characters` counts these. `minhash` is "" for fewer than three words. About 20 MB of text take a second.
    """
    words = words_of(document.text)
    content = b"".join(words)
    characters = len(content.decode())
    return Signature(
        id=document.id,
        pdf_sha256=document.metadata.pdf_sha256,
        text_sha256=hashlib.sha256(content).hexdigest(),
        characters=characters,
        preference=preference(characters, document.quality),
        minhash=encode(minhash(shingles_of(words))),
    )


def preference(characters: int, quality: Quality) -> float:
    """Return how much of a document is there and well read, in characters; of two that say the same the more is kept.

    Its characters, less the share of pages without text, less the share of pages that break off, less the share of
    words that no language has: `characters * (1 - missing_share) * (1 - truncated_share) * (1 - garbage_score)`.
    """
    shares = quality.missing_share, quality.truncated_share, quality.garbage_score
    good = float(characters)
    for share in shares:
        good *= 1.0 - min(1.0, max(0.0, share))
    return round(good, 3)
