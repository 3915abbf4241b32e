"""How a whole site bears a thousand photos: PYTHONPATH=tests:. python tests/benchmarks/load.py

Real processes of intake, plugin and two workers around one SQLite ledger and one Redis; the engine only paints noise,
and Label Studio is a small double, so that what is timed is ours. While the workers are busy, the plugin is asked what
Label Studio asks. Label Studio gives /health 1 s and an annotator's page about as much patience for /predict.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import label_studio_double
import requests
import whole_site
from label_studio_double import TOKEN, Double
from label_studio_server import LabelStudioServer
from whole_site import Site
from workshop import painting

from backend.labelstudio.labels import expression_config
from g2face_model import images
from worker.demo.photos import Original
from worker.demo.processes import Children, free_port

WORKERS = 2
LIMIT_S = 1.0  # what Label Studio allows /health, and an annotator's patience with /predict
_PAUSE_S = 0.03
_BATCH = 50
_SUM = re.compile(r'^g2face_stage_seconds_sum\{stage="(\w+)"\} (\S+)$', re.M)


class Asker(threading.Thread):
    """Asks the same again and again until told to stop; how long each answer took, in seconds."""

    def __init__(self, ask: Callable[[], requests.Response]) -> None:
        super().__init__(daemon=True)
        self._ask, self._enough = ask, threading.Event()
        self.answers_s: list[float] = []
        self.wrong = 0

    def run(self) -> None:
        while not self._enough.wait(_PAUSE_S):
            begun = time.perf_counter()
            try:
                self.wrong += not self._ask().ok
            except requests.RequestException:
                self.wrong += 1
            self.answers_s.append(time.perf_counter() - begun)

    def stop(self) -> None:
        self._enough.set()
        self.join()


def measure(photos: int) -> bool:
    """Print all figures; whether every question was answered and every photo arrived."""
    with tempfile.TemporaryDirectory() as name, label_studio_double.running(expression_config()) as double:
        folder = Path(name)
        server = LabelStudioServer(double.url, TOKEN, "", "", folder / "none", folder / "none", folder / "none")
        with whole_site.running(server, folder) as site:
            return _measure(site, double, photos)


def _measure(site: Site, double: Double, photos: int) -> bool:
    ledger = site.ledger()
    project_id = ledger.add_project("Load", 1, now=datetime.now(UTC)).project_id
    begun = time.perf_counter()
    site.intake.hand_in(project_id, [_picture(number) for number in range(photos)])
    print(f"{photos} photos: taken in at {photos / (time.perf_counter() - begun):.0f}/s, ", end="", flush=True)
    quiet = _ask_for(site, double, until=_after(3.0))

    def published() -> int:
        return ledger.progress(project_id, now=datetime.now(UTC)).published

    with Children(site.logs) as workers:
        begun = time.perf_counter()
        ports = _start_workers(site, workers)
        busy = _ask_for(site, double, until=lambda: published() >= photos)
        seconds = time.perf_counter() - begun
        stages = _stages(ports)
    arrived = published()
    ledger.close()
    print(f"published at {photos / seconds:.0f}/s by {WORKERS} workers, their start included")
    _print_stages(stages, seconds, photos)
    answered = _print_answers(quiet, busy)
    print("all published" if arrived == photos else f"NOT all published: {arrived}")
    return answered and arrived == photos


def _print_stages(stages: Mapping[str, float], seconds: float, photos: int) -> None:
    """What a photo occupies a worker with; what is no stage is waiting for tasks, the queue and the ledger."""
    whole_ms = seconds * WORKERS / photos * 1000
    other_ms = whole_ms - sum(stages.values()) / photos * 1000
    print(f"a photo occupies a worker for {whole_ms:.0f} ms:")
    for stage, total_s in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"  {stage:<27}{total_s / photos * 1000:7.1f} ms")
    print(f"  {'queue, ledger, waiting':<27}{other_ms:7.1f} ms")


def _print_answers(quiet: Mapping[str, Asker], busy: Mapping[str, Asker]) -> bool:
    """Whether every question was answered, be it late: that depends on what else the machine does."""
    print(f"{'asked meanwhile':<27}{'median':>10}{'p99':>10}{'longest':>10}{'quiet p99':>12}{'ratio':>7}")
    late = 0
    for name, asker in busy.items():
        p99_s, calm_s = _percentile(asker.answers_s, 99), _percentile(quiet[name].answers_s, 99)
        shown = (statistics.median(asker.answers_s), p99_s, max(asker.answers_s))
        cells = "".join(f"{seconds * 1000:>7.0f} ms" for seconds in shown)
        ratio = f"{calm_s * 1000:>9.0f} ms{p99_s / calm_s:>6.1f}x"
        print(f"  {name:<25}{cells}{ratio}   {len(asker.answers_s)} calls, {asker.wrong} failed")
        late += sum(seconds > LIMIT_S for seconds in asker.answers_s)
    print(f"{late} answers of {sum(len(asker.answers_s) for asker in busy.values())} took more than {LIMIT_S:.0f} s")
    return not any(asker.wrong for asker in busy.values())


def _start_workers(site: Site, workers: Children) -> list[int]:
    ports = [free_port(0) for _ in range(WORKERS)]
    for port in ports:
        environment = site.environment | {"G2FACE_WORKER__METRICS_PORT": str(port)}
        workers.start(f"worker-{port}", whole_site.stand_in_worker(), environment)
    workers.wait_for(lambda: all(map(_listens, ports)), within_s=120, what="a worker")
    return ports


def _listens(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=2).ok
    except requests.RequestException:
        return False


def _stages(ports: Sequence[int]) -> dict[str, float]:
    """Seconds per stage, all workers together."""
    total: dict[str, float] = {}
    for port in ports:
        for stage, seconds in _SUM.findall(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text):
            total[stage] = total.get(stage, 0.0) + float(seconds)
    return total


def _ask_for(site: Site, double: Double, *, until: Callable[[], bool]) -> dict[str, Asker]:
    """Ask the plugin what Label Studio asks, in three threads, until told that it is enough."""
    backend = f"{site.plugin_url}/{site.path_secret}"

    def predict(count: int) -> Callable[[], requests.Response]:
        session = requests.Session()
        return lambda: session.post(f"{backend}/predict", json=_question(double, count), timeout=30)

    session = requests.Session()
    askers = {
        "/health": Asker(lambda: session.get(f"{backend}/health", timeout=30)),
        "/predict, 1 task": Asker(predict(1)),
        f"/predict, {_BATCH} tasks": Asker(predict(_BATCH)),
    }
    for asker in askers.values():
        asker.start()
    deadline = time.monotonic() + 900
    while not until() and time.monotonic() < deadline:
        time.sleep(0.2)
    for asker in askers.values():
        asker.stop()
    return askers


def _question(double: Double, count: int) -> dict[str, Any]:
    """Tasks that are there already, or ones that nobody has heard of."""
    known = list(double.tasks.values())[-count:]
    tasks = known + [{"id": 10**6 + number, "data": {"image": "http://x/"}} for number in range(count - len(known))]
    return {"tasks": tasks, "label_config": double.label_config, "project": "1.1"}


def _picture(number: int) -> Original:
    return Original(f"{number}.png", images.encode(painting(number % 256, height=48 + number // 256), "png"))


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1000)
    raise SystemExit(0 if measure(parser.parse_args().photos) else 1)
