"""What is counted, for Prometheus: numbers and words from short fixed lists, never an id. One door to its client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import start_http_server

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_JOB_BUCKETS_S: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_ANSWER_BUCKETS_S: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class Metrics:
    """One process's measurements."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._queue_depth = Gauge(
            "g2face_queue_depth", "Tasks that wait, per queue", ["queue"], registry=self._registry
        )
        self._stage_seconds = Histogram(
            "g2face_stage_seconds",
            "How long a stage of a photo's way takes",
            ["stage"],
            buckets=_JOB_BUCKETS_S,
            registry=self._registry,
        )
        self._predict_seconds = Histogram(
            "g2face_predict_seconds",
            "How long an answer to Label Studio takes",
            buckets=_ANSWER_BUCKETS_S,
            registry=self._registry,
        )
        self._photos = Counter("g2face_photos", "Photos that reached a state", ["state"], registry=self._registry)
        self._gate_failures = Counter(
            "g2face_gate_failures", "Faces not shown to be anonymous or useful", ["reason"], registry=self._registry
        )
        self._retries = Counter("g2face_retries", "Tasks put back to be tried again", registry=self._registry)
        self._published = Counter("g2face_published", "Photos handed to Label Studio", registry=self._registry)
        self._sign_ins = Counter("g2face_sign_ins", "Sign-ins at the admin", ["outcome"], registry=self._registry)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage: fetch, decode, anonymize, seal, prove, store, publish."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._stage_seconds.labels(name).observe(time.perf_counter() - begun)

    @contextmanager
    def predict(self) -> Iterator[None]:
        """Time an answer to Label Studio."""
        with self._predict_seconds.time():
            yield

    def queue_depth(self, depth: Mapping[str, int]) -> None:
        """How many tasks wait now, per queue."""
        for queue, waiting in depth.items():
            self._queue_depth.labels(queue).set(waiting)

    def photo(self, state: str) -> None:
        """A photo is in `state` now."""
        self._photos.labels(state).inc()

    def gate_failure(self, reason: str) -> None:
        """A face did not pass; `reason` in the anonymizer's words."""
        self._gate_failures.labels(reason).inc()

    def retry(self) -> None:
        """A task was put back."""
        self._retries.inc()

    def published(self, photos: int) -> None:
        """So many photos went to Label Studio."""
        self._published.inc(photos)

    def sign_in(self, outcome: str) -> None:
        """Somebody asked to be let in: accepted, or refused for a password, code, provider, scope or token."""
        self._sign_ins.labels(outcome).inc()

    def exposition(self) -> bytes:
        """Everything, in Prometheus's text format; its media type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    @contextmanager
    def serve(self, port: int, *, host: str = "0.0.0.0") -> Iterator[int]:  # noqa: S104 - a scraper is another machine
        """Answer scrapers from a thread, for as long as the context lasts; gives the port (0 asks for any)."""
        server, thread = start_http_server(port, addr=host, registry=self._registry)
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
