"""Reading pages with a server elsewhere: through an endpoint, or by batch prediction; the ledgers are the same."""

from pagemill.ocr.remote.batch import collect_predictions, write_instances
from pagemill.ocr.remote.endpoint import check_endpoint
from pagemill.ocr.remote.predict import predict_pages
from pagemill.ocr.remote.resources import endpoint_resource, model_resource

__all__ = [
    "check_endpoint",
    "collect_predictions",
    "endpoint_resource",
    "model_resource",
    "predict_pages",
    "write_instances",
]
