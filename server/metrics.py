"""What the server tells Prometheus: requests, stages, batches, queues, generations, cache hits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Stage(StrEnum):
    """What a request is made of."""

    FETCH = "fetch"
    DECODE = "decode"
    ENCODE = "encode"
    SEARCH = "search"
    GENERATE = "generate"


class Metrics:
    """Counters of one server, in a registry of their own. Safe from many threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "anybind_requests",
            "Requests by route and status",
            ["route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "anybind_request_seconds",
            "From the first byte of a request to the last of its response",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "anybind_stage_seconds",
            "Parts of a request, the time they waited for each other included",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "anybind_batch_size",
            "Items done together",
            ["work"],
            buckets=SIZES,
            registry=self.registry,
        )
        self._refused = Counter(
            "anybind_refused", "Requests that were not begun", ["reason"], registry=self.registry
        )
        self._remembered = Counter(
            "anybind_embedding_cache",
            "Inputs whose vector was remembered, and those whose was not",
            ["result"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "anybind_generated_tokens", "Tokens of answers", registry=self.registry
        )
        for stage in Stage:
            self._stages.labels(stage)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refusing(self, route: str, status: int, reason: str) -> Callable[[float], None]:
        """What to call with the seconds of each request that is not begun; the quick way."""
        requests, refused = self._requests.labels(route, str(status)), self._refused.labels(reason)
        seconds = self._seconds.labels(route)

        def count(took: float) -> None:
            requests.inc()
            refused.inc()
            seconds.observe(took)

        return count

    def refused(self, reason: str) -> None:
        """Count a request that was not begun."""
        self._refused.labels(reason).inc()

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Time a part of a request."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(stage).observe(time.perf_counter() - started)

    def batch(self, work: str) -> Callable[[int], None]:
        """What to call with the size of each batch of some work."""
        return self._batches.labels(work).observe

    def remembered(self, hit: bool) -> None:
        """Count an input whose vector was looked up."""
        self._remembered.labels("hit" if hit else "miss").inc()

    def tokens(self, n: int) -> None:
        """Count tokens of answers."""
        self._tokens.inc(n)

    def gauges(
        self, name: str, text: str, label: str, read: Callable[[], dict[str, float]]
    ) -> None:
        """Show figures that are read when they are asked for.

        Args:
            name: Of the metric.
            text: What it is.
            label: What the keys of ``read`` are.
            read: The figures.
        """
        self.registry.register(_Read(name, text, label, read))

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show one figure that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class _Read(Collector):
    def __init__(
        self, name: str, text: str, label: str, read: Callable[[], dict[str, float]]
    ) -> None:
        self._about = name, text, label
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        name, text, label = self._about
        family = GaugeMetricFamily(name, text, labels=[label])
        for key, value in self._read().items():
            family.add_metric([key], value)
        yield family
