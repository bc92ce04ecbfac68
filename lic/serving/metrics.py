"""What Prometheus may ask: requests and their outcomes, seconds, the queue, the versions that serve, the process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Callable

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """The figures of one server.

    Args:
      served: gives the number of the version that serves, of each model.
      waiting, running: give how many requests wait and are under way.
    """

    def __init__(self, served: Callable[[], dict[str, int]], waiting: Callable[[], int], running: Callable[[], int]):
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        self._registry.register(_Versions(served))
        self._requests = prometheus.Counter("lic_requests", "Requests by model, door and outcome.",
                                            ("model", "door", "code"), registry=self._registry)
        self._seconds = prometheus.Histogram("lic_work_seconds", "Seconds of work, without the wait for it.",
                                             ("model", "signature"), buckets=_SECONDS, registry=self._registry)
        for name, text, value in (("lic_waiting", "Requests that wait.", waiting),
                                  ("lic_running", "Requests under way.", running)):
            prometheus.Gauge(name, text, registry=self._registry).set_function(value)

    def count(self, model: str, door: str, code: str) -> None:
        """A request that ended with this code of gRPC; the model is one of the server's, or ""."""
        self._requests.labels(model, door, code).inc()

    @contextlib.contextmanager
    def timed(self, model: str, signature: str) -> Iterator[None]:
        """Measures work that succeeds."""
        start = time.perf_counter()
        yield
        self._seconds.labels(model, signature).observe(time.perf_counter() - start)

    def page(self) -> bytes:
        """What Prometheus reads."""
        return prometheus.generate_latest(self._registry)


class _Versions:
    """A collector: models and versions come and go."""

    def __init__(self, served: Callable[[], dict[str, int]]):
        self._served = served

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("lic_version", "The version that serves.", labels=("model",))
        for model, number in self._served().items():
            family.add_metric((model,), number)
        yield family
