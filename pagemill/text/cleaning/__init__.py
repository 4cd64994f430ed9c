"""Cleaning: what OCR spoilt is mended, and the pages of a book become one text."""
