"""Text: the block model of Nougat's Markdown, cleaning, judging and chunking."""

from pagemill.text.blocks import parse_blocks
from pagemill.text.chunk_documents import chunk_documents, chunk_file
from pagemill.text.chunking import chunk
from pagemill.text.clean_documents import clean_documents
from pagemill.text.cleaning import clean

__all__ = ["chunk", "chunk_documents", "chunk_file", "clean", "clean_documents", "parse_blocks"]
