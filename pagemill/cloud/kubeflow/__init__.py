"""Pipelines on Kubeflow Pipelines: submit, watch, cancel, retry and schedule through its v2beta1 API."""

from pagemill.cloud.kubeflow.service import KfpBackend

__all__ = ["KfpBackend"]
