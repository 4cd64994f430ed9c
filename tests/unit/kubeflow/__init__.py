"""Kubeflow Pipelines as a backend."""
