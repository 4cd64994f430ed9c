"""Whole runs of the compiled pipelines."""
