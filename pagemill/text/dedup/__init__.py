"""Duplicates: editions of one book, pages that a book has twice, near-duplicates of any texts."""

from pagemill.text.dedup.deduplicating import deduplicate
from pagemill.text.dedup.find_duplicates import find_duplicates
from pagemill.text.dedup.lsh import near_duplicates
from pagemill.text.dedup.pages import repeated_pages
from pagemill.text.dedup.signing import sign
from pagemill.text.dedup.wording import normalise

__all__ = ["deduplicate", "find_duplicates", "near_duplicates", "normalise", "repeated_pages", "sign"]
