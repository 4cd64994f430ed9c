"""Deck review on demand: a queue in front of containers with models, all of which speak HTTP with one another."""
