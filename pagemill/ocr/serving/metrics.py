"""What the server tells Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pagemill.ocr.serving.pool import Instances

LATENCY_BUCKETS_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600)
_OF_THE_MODEL = {
    "tokens": "Tokens that the models wrote.",
    "seconds_reading": "Seconds in which the models read.",
    "seconds_waiting": "Seconds in which loaded models waited for a page.",
}


class Metrics:
    """The figures of one server; what the instances know of themselves is asked for when they are collected."""

    def __init__(self, instances: Instances) -> None:
        self.instances = instances
        self.registry = CollectorRegistry()
        self.requests = Counter("pagemill_requests", "Requests by outcome.", ["outcome"], registry=self.registry)
        self.pages = Counter("pagemill_pages", "Pages answered by status.", ["status"], registry=self.registry)
        self.seconds = Histogram(
            "pagemill_request_seconds",
            "Seconds from a request to its predictions.",
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.registry.register(self)

    def text(self) -> bytes:
        """Return everything in Prometheus' own format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what the instances know; Prometheus' client calls this."""
        pool = self.instances
        yield GaugeMetricFamily("pagemill_pages_queued", "Pages that wait for an instance.", pool.queued)
        yield GaugeMetricFamily("pagemill_pages_in_flight", "Pages that instances have.", pool.in_flight)
        yield GaugeMetricFamily("pagemill_instances_ready", "Instances that have read a page.", pool.ready)
        yield CounterMetricFamily("pagemill_instance_restarts", "Instances started again.", pool.restarts)
        yield CounterMetricFamily("pagemill_pages_read_again", "Pages of instances that ended.", pool.read_again)
        totals = pool.totals()
        for name, meaning in _OF_THE_MODEL.items():
            family = CounterMetricFamily(f"pagemill_model_{name}", meaning, labels=["instance"])
            for number, figures in enumerate(totals):
                family.add_metric([str(number)], figures.get(name, 0.0))
            yield family
