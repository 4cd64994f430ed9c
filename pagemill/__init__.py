"""Pagemill turns archives of PDF books into datasets, stage by stage."""

__version__ = "0.1.0"
