"""Text: the block model of Nougat's Markdown, cleaning, judging, finding duplicates and chunking."""

from pagemill.text.chunk_documents import chunk_documents, chunk_file
from pagemill.text.chunking.chunker import chunk
from pagemill.text.clean_documents import clean_documents
from pagemill.text.clean_files import clean_files
from pagemill.text.cleaning.book import clean
from pagemill.text.dedup import deduplicate, find_duplicates
from pagemill.text.judging.book import judge
from pagemill.text.judging.masking import mask
from pagemill.text.judging.profile import load_profile
from pagemill.text.mmd.blocks import parse_blocks

__all__ = [
    "chunk",
    "chunk_documents",
    "chunk_file",
    "clean",
    "clean_documents",
    "clean_files",
    "deduplicate",
    "find_duplicates",
    "judge",
    "load_profile",
    "mask",
    "parse_blocks",
]
