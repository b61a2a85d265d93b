"""What Prometheus reads of a server. Names and units are as Prometheus asks: seconds, `_total`, one prefix.

Jobs by state come from the queue itself when they are asked for, so they are true after a restart too; what is counted
begins again with each start, as rates expect.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_JOB_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)


class Metrics:
    """Counts of one server.

    Args:
        jobs: how many are in each state.
        workers: how many can take a job or are at one.
    """

    def __init__(self, jobs: Callable[[], Mapping[str, int]], workers: Callable[[], int]) -> None:
        disable_created_metrics()
        self._registry, self._jobs, self._workers = CollectorRegistry(), jobs, workers
        self._requests = Counter(
            "curate_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._request_s = Histogram(
            "curate_http_request_seconds", "Time to the whole answer.", ("method", "route"), registry=self._registry
        )
        self._job_s = Histogram(
            "curate_job_seconds",
            "Time of a worker for a job.",
            ("outcome",),
            buckets=_JOB_SECONDS,
            registry=self._registry,
        )
        self._video_s = Counter("curate_video_seconds", "Length of the videos of jobs done.", registry=self._registry)
        self._uploaded = Counter("curate_uploaded_bytes", "Bytes of assets received.", registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is looked up and not counted; Prometheus' client calls it."""
        counts = self._jobs()
        jobs = GaugeMetricFamily("curate_jobs", "Jobs that are kept, by state.", labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("curate_queue_depth", "Jobs that wait.", value=counts["queued"])
        yield GaugeMetricFamily("curate_workers_ready", "Workers with their model loaded.", value=self._workers())

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._request_s.labels(method, route).observe(seconds)

    def job(self, outcome: str, seconds: float, video_s: float) -> None:
        self._job_s.labels(outcome).observe(seconds)
        self._video_s.inc(video_s)

    def uploaded(self, size_bytes: int) -> None:
        self._uploaded.inc(size_bytes)

    def text(self) -> bytes:
        return generate_latest(self._registry)
