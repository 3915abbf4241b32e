"""What is counted can be read by Prometheus."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.metrics import CONTENT_TYPE, Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_everything_that_is_told_is_exposed() -> None:
    metrics = Metrics()
    metrics.queue_depth({"interactive": 3, "bulk": 0})
    metrics.photo("ready")
    metrics.photo("ready")
    metrics.gate_failure("privacy")
    metrics.retry()
    metrics.published(50)
    with metrics.stage("seal"), metrics.predict():
        pass
    told = samples(metrics)
    assert told["g2face_queue_depth/interactive"] == 3
    assert told["g2face_photos_total/ready"] == 2
    assert told["g2face_gate_failures_total/privacy"] == 1
    assert told["g2face_retries_total"] == 1
    assert told["g2face_published_total"] == 50
    assert told["g2face_stage_seconds_count/seal"] == 1
    assert told["g2face_predict_seconds_count"] == 1


def test_a_stage_that_fails_is_timed_too() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError), metrics.stage("fetch"):
        raise KeyError
    assert samples(metrics)["g2face_stage_seconds_count/fetch"] == 1


def test_two_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.retry()
    assert samples(other)["g2face_retries_total"] == 0


def test_it_answers_scrapers() -> None:
    metrics = Metrics()
    metrics.published(7)
    with metrics.serve(0, host="127.0.0.1") as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert answer.headers["Content-Type"].startswith(CONTENT_TYPE.split(";")[0])
        assert b"g2face_published_total 7.0" in answer.read()
