"""Chunking: a text cut where a reader would, in tokens of any tokenizer."""
