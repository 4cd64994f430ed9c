"""The dataset: its files, its card, the gate before it is published, and its publication."""

from pagemill.dataset.build import build_dataset
from pagemill.dataset.gate import check_failures, failed_fraction
from pagemill.dataset.publish import publish_dataset

__all__ = ["build_dataset", "check_failures", "failed_fraction", "publish_dataset"]
