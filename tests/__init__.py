"""Tests, one folder a level."""
