"""Vertex AI Pipelines as a backend."""

from pagemill.cloud.vertex.backend import VertexBackend

__all__ = ["VertexBackend"]
