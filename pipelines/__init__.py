"""Kubeflow pipelines, one a file."""
