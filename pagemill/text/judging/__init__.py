"""Judging: figures of pages and books, and what a profile says of them."""
