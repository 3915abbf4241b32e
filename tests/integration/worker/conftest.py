"""A workshop with a Redis and a Label Studio of its own, both of which can be taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import label_studio_double
import own_redis
import pytest
from label_studio_double import Double
from mortal_worker import Orders
from own_redis import OwnRedis
from workshop import Workshop

from backend.labelstudio.labels import expression_config


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis.running(tmp_path) as running:
        yield running


@pytest.fixture
def double() -> Iterator[Double]:
    with label_studio_double.running(expression_config()) as running:
        yield running


@pytest.fixture
def workshop(tmp_path: Path, redis: OwnRedis, double: Double) -> Iterator[Workshop]:
    made = Workshop(tmp_path / "workshop", redis_url=redis.url, double=double)
    yield made
    made.close()


@pytest.fixture
def orders(workshop: Workshop) -> Orders:
    """For a worker that goes on when there is nothing left to do."""
    return Orders(workshop.folder, workshop.redis_url, workshop.labelstudio_url, stay=True, lease_s=60)
