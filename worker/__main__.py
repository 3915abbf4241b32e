"""python -m worker run | reconcile | init | bench | demo"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from backend import logs
from backend.custody.inbox_opening import create_inbox_key
from backend.errors import BackendError, ConfigError
from backend.jobs import Jobs
from backend.ledger.ledger import Ledger
from backend.metrics import Metrics
from backend.redis_server import EmbeddedRedis
from backend.settings import Settings
from backend.storage import BlobStore
from g2face_model.errors import ModelError
from worker import jobs
from worker.benchmark import measure, table
from worker.listening import listen
from worker.reconcile import Overseer, reconcile
from worker.runtime import Anonymizer, Examiner, Runtime, assemble, connect_labelstudio

_PATIENCE_S = 5.0
_ADOPTING_ROUNDS = 10  # every how many: Label Studio tells us of new tasks, so that looking for them rarely finds any

_log = logs.get(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 with one line that says what has to be mended."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "bench":
            _bench(photos=options.photos, side_px=options.side, faces=options.faces)
            return 0
        if options.command == "demo":
            return _demo(once=options.once, folder=options.photos, data_dir=options.out)
        settings = Settings.load()
        logs.configure(settings.logs.level, json_lines=settings.logs.json_lines)
        if options.command == "init":
            create_inbox_key(settings.inbox_private_key(), settings.inbox_public_key())
        elif options.command == "reconcile":
            _reconcile(settings, every_s=options.every)
        else:
            _run(settings, burst=options.burst, reconcile_s=options.reconcile)
    except (BackendError, ModelError) as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Anonymizes and publishes queued photos.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="work on photos until stopped")
    run.add_argument("--burst", action="store_true", help="stop when the queues are empty")
    run.add_argument("--reconcile", type=float, default=30.0, metavar="S", help="also reconcile every S s (0: never)")
    again = commands.add_parser("reconcile", help="queue again what was lost on the way")
    again.add_argument("--every", type=float, metavar="S", help="go on, every S seconds (default: once)")
    bench = commands.add_parser("bench", help="time what a photo costs beyond the engine")
    bench.add_argument("--photos", type=_positive, default=50, help="medians are taken of so many (default: 50)")
    bench.add_argument("--side", type=_positive, default=1000, metavar="PX", help="their width and height")
    bench.add_argument("--faces", type=_positive, default=1, help="faces in each")
    demo = commands.add_parser("demo", help="Label Studio and all of this on one machine, with sample photos")
    demo.add_argument("--once", action="store_true", help="end when everything is published")
    demo.add_argument("--photos", type=Path, metavar="DIR", help="hand in these pictures instead of the samples")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="where runs keep their data")
    commands.add_parser("init", help="make the worker's own key, which opens originals that wait for it")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be at least 1")
    return number


def _bench(*, photos: int, side_px: int, faces: int) -> None:
    print(f"worker, per photo of {side_px}x{side_px} px with {faces} face(s), median of {photos}:")
    print(*table(measure(photos, side_px=side_px, faces=faces)), sep="\n")


def _demo(*, once: bool, folder: Path | None, data_dir: Path) -> int:
    # Imported here: a worker that serves has neither use for it nor the packages that it needs.
    from worker.demo.show import Options, show

    return show(Options(once=once, folder=folder, data_dir=data_dir))


def _run(settings: Settings, *, burst: bool, reconcile_s: float) -> None:
    runtime, done = None, False
    while not done:  # a Redis of our own may end with the process that started it, and then starts anew elsewhere
        with _redis(settings) as redis_url:
            if runtime is None:
                load, examiner = partial(_load, settings), partial(_examiner, settings)
                runtime = assemble(settings, load, examiner=examiner, redis_url=redis_url)
            runtime = replace(runtime, jobs=Jobs(redis_url))
            done = work(runtime, settings, redis_url=redis_url, burst=burst, reconcile_s=reconcile_s)


def work(runtime: Runtime, settings: Settings, *, redis_url: str, burst: bool, reconcile_s: float) -> bool:
    """Listen to the queues in this thread, and reconcile every `reconcile_s` in another one (0: never). False when a
    Redis of our own has gone away, and another one has to be found."""
    jobs.bind(runtime)
    patience_s = _PATIENCE_S if settings.redis() is None else None
    stopping = threading.Event()
    overseer = _overseer(settings, redis_url, runtime.metrics)
    rounds = threading.Thread(target=_rounds, args=(overseer, reconcile_s, stopping), name="reconcile", daemon=True)
    with _scraped(runtime.metrics, settings.worker.metrics_port):
        if reconcile_s > 0 and not burst:
            rounds.start()
        try:
            return listen(redis_url, settings.worker.queues, burst=burst, patience_s=patience_s)
        finally:
            stopping.set()
            if rounds.is_alive():
                rounds.join(timeout=5.0)
            overseer.ledger.close()


@contextmanager
def _scraped(metrics: Metrics, port: int | None) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if port is not None:
            try:
                stack.enter_context(metrics.serve(port))
            except OSError:
                raise ConfigError("G2FACE_WORKER__METRICS_PORT is taken, or may not be listened on") from None
        yield


def _reconcile(settings: Settings, *, every_s: float | None) -> None:
    with _redis(settings) as redis_url:
        overseer = _overseer(settings, redis_url, Metrics())
        if every_s is None:
            _report(overseer, adopting=True)
        else:
            _rounds(overseer, every_s, threading.Event())


def _rounds(overseer: Overseer, every_s: float, stopping: threading.Event) -> None:
    for number in itertools.count():
        if stopping.wait(every_s):
            return
        try:
            _report(overseer, adopting=number % _ADOPTING_ROUNDS == 0)
        except Exception as error:  # the thread's edge: one bad round must not be the last one
            _log.error("reconciling failed", extra={"event": "reconcile", "reason": type(error).__name__})


def _report(overseer: Overseer, *, adopting: bool) -> None:
    done = reconcile(overseer, now=datetime.now(UTC), adopting=adopting)
    if any((done.photos, done.publications, done.pilots, done.adopted, done.deleted)):
        queued = f"{done.photos} photos, {done.publications} publications, {done.pilots} pilots"
        counts = f"{queued}, {done.adopted} adopted, {done.deleted} gone"
        _log.info("reconciled", extra={"event": "reconciled", "reason": counts})


def _overseer(settings: Settings, redis_url: str, metrics: Metrics) -> Overseer:
    return Overseer(
        ledger=Ledger.open(settings.database()),
        jobs=Jobs(redis_url),
        blobs=BlobStore(settings.storage()),
        labelstudio=connect_labelstudio(settings),
        own_host=urlsplit(settings.plugin.public_url).netloc,
        metrics=metrics,
    )


@contextmanager
def _redis(settings: Settings) -> Iterator[str]:
    """Redis's address: the one that is set, else that of a server of our own."""
    url = settings.redis()
    if url is not None:
        yield url
        return
    with EmbeddedRedis(settings.data_dir) as server:
        yield server.url


def _load(settings: Settings) -> Anonymizer:
    # Imported here: the other commands have no use for torch, which takes seconds to load.
    from g2face_model.build import build_anonymizer
    from g2face_model.config import ModelConfig

    worker = settings.worker
    return build_anonymizer(ModelConfig(device=worker.device, threads=worker.threads, weights_dir=_weights_dir()))


def _examiner(settings: Settings) -> Examiner:
    # Imported here, for the same reason; and built for each pilot, so that its networks are gone afterwards.
    from g2face_model.evaluation.methods import Setup
    from g2face_model.evaluation.pilot import Examination

    return Examination(Setup(_weights_dir(), settings.worker.device, settings.worker.threads))


def _weights_dir() -> Path | None:
    directory = os.environ.get("G2FACE_MODEL__WEIGHTS_DIR")  # the engine's own variable
    return Path(directory) if directory else None


if __name__ == "__main__":
    sys.exit(main())
