"""Nougat's Markdown: its blocks, sections and sentences."""
