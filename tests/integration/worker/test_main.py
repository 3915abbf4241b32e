from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from label_studio_double import TOKEN, Double
from mortal_worker import eventually
from own_redis import OwnRedis
from stand_in import StandIn
from workshop import Workshop, task_of

from backend.jobs import Jobs
from backend.ledger.records import Photo, PhotoState
from backend.redis_server import EmbeddedRedis
from g2face_model import images
from g2face_model.weights import WeightStore
from worker.__main__ import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own_process() -> Iterator[None]:
    """For calling `main` here: leaves this process's signal handlers and its logging as they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = [logging.getLogger(name) for name in ("", "backend", "g2face_model", "worker")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, kept, level in before:
        logger.handlers[:] = kept
        logger.setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m worker` as an operator would call it; no variable of ours leaks in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("G2FACE_") or "MODEL" in name}
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def settings(workshop: Workshop, **more: str) -> dict[str, str]:
    return {
        "G2FACE_DATA_DIR": str(workshop.folder),
        "G2FACE_REDIS_URL": workshop.redis_url,
        "G2FACE_LABELSTUDIO__URL": workshop.labelstudio_url,
        "G2FACE_LABELSTUDIO__API_KEY": TOKEN,
        **more,
    }


def test_init_makes_a_key_that_only_its_owner_can_read_and_keeps_it(tmp_path: Path) -> None:
    private, public = tmp_path / "worker" / "inbox.key", tmp_path / "inbox.pub"
    assert call("init", G2FACE_DATA_DIR=str(tmp_path)).returncode == 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes(), public.read_bytes()
    assert call("init", G2FACE_DATA_DIR=str(tmp_path)).returncode == 0
    assert (private.read_bytes(), public.read_bytes()) == before


def test_reconcile_queues_what_a_flushed_redis_lost(workshop: Workshop, redis: OwnRedis) -> None:
    photo = workshop.hand_in(workshop.project())
    redis.flush()
    with workshop.ledger.engine.begin() as connection:  # a minute later
        connection.exec_driver_sql("UPDATE photos SET updated_at = datetime(updated_at, '-1 minute')")
    done = call("reconcile", **settings(workshop))
    assert done.returncode == 0, done.stderr
    assert workshop.jobs.depth() == {"interactive": 0, "bulk": 1}
    assert photo.photo_id in redis.dump()


def test_reconciling_needs_no_engine() -> None:
    check = "import sys, worker.__main__; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"G2FACE_WORKER__LEASE": "5"}, "G2FACE_WORKER__LEASE is not a setting"),
        ({"G2FACE_LABELSTUDIO__API_KEY": ""}, "G2FACE_LABELSTUDIO__API_KEY is not set"),
        ({"G2FACE_DATA_DIR": "/dev/null/folder"}, "G2FACE_DATA_DIR is not a folder"),
    ],
)
def test_a_wrong_setting_is_one_line_before_any_photo(
    workshop: Workshop, environment: dict[str, str], message: str
) -> None:
    refused = call("run", "--burst", **settings(workshop, **environment))
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("own_process")
def test_a_metrics_port_that_is_taken_is_one_line(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104
        taken.listen()
        port = str(taken.getsockname()[1])
        for name, value in settings(workshop, G2FACE_WORKER__METRICS_PORT=port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("worker.__main__._load", lambda _: StandIn())
        assert main(["run", "--burst"]) == 1
    assert "G2FACE_WORKER__METRICS_PORT is taken" in capsys.readouterr().err


@pytest.mark.usefixtures("own_process")
def test_a_worker_follows_a_redis_of_our_own_that_was_started_anew(
    tmp_path: Path, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the intake, whose Redis it was, is restarted."""
    folder = tmp_path / "workshop"
    first = EmbeddedRedis(folder).start()
    workshop = Workshop(folder, redis_url=first.url, double=double)
    photos = [workshop.hand_in(workshop.project(number)) for number in (1, 2)]
    workshop.enqueue(photos[0])
    for name, value in settings(workshop).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("G2FACE_REDIS_URL")
    monkeypatch.setattr("worker.__main__._load", lambda _: StandIn())
    monkeypatch.setattr("worker.__main__._PATIENCE_S", 0.5)

    def published(photo: Photo) -> bool:
        return workshop.ledger.photo(photo.photo_id).state is PhotoState.PUBLISHED

    def conduct() -> None:
        try:
            eventually(lambda: published(photos[0]))
            first.stop()
            eventually(lambda: (folder / "redis" / "running.json").exists())  # the worker's own
            Jobs(EmbeddedRedis(folder).start().url).enqueue(task_of(photos[1]), queue="bulk")
            eventually(lambda: published(photos[1]))
            time.sleep(0.3)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    conductor = threading.Thread(target=conduct)
    conductor.start()
    try:
        assert main(["run", "--reconcile", "0"]) == 0
    finally:
        conductor.join()
        workshop.close()
    assert [published(photo) for photo in photos] == [True, True]


def test_a_portrait_from_the_inbox_to_label_studio_and_back(
    workshop: Workshop, double: Double, store: WeightStore
) -> None:
    """The whole worker, with the real engine."""
    assert store is not None
    data = pytest.importorskip("skimage.data", reason="needs a portrait from scikit-image")
    original = np.ascontiguousarray(data.astronaut()[:400, 60:400])
    photo = workshop.hand_in(workshop.project(suggest_expressions=True), images.encode(original, "png"))
    workshop.enqueue(photo)
    finished = call("run", "--burst", **settings(workshop))
    assert finished.returncode == 0, finished.stderr
    done = workshop.ledger.photo(photo.photo_id)
    assert (done.state, done.reason) == (PhotoState.PUBLISHED, None)
    assert [note.outcome for note in done.faces] == ["anonymized"]
    (prediction,) = double.predictions
    kinds = [region["type"] for region in prediction["result"]]
    assert (kinds.count("rectanglelabels"), kinds.count("keypointlabels")) == (1, 68)
    assert done.faces[0].expression == "happy"  # she smiles
    assert kinds.count("choices") == 1
    np.testing.assert_array_equal(workshop.restored(done), original)
    assert not np.array_equal(workshop.published(done), original)
    assert photo.photo_id in finished.stderr
    assert str(workshop.folder) not in finished.stderr
