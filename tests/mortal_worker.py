"""A worker process like the real one, but for the engine, that can be told where to die: without a word, as by kill -9.

python mortal_worker.py FOLDER REDIS_URL LABELSTUDIO_URL [--die-at STEP] [--pause-at STEP] [--storage URL]
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stand_in import StandIn
from workshop import Workshop

from backend.labelstudio.client import LabelStudio
from label_studio_double import TOKEN
from worker import jobs
from worker.listening import listen
from worker.runtime import Limits


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("redis_url")
    parser.add_argument("labelstudio_url")
    parser.add_argument("--die-at")
    parser.add_argument("--pause-at")
    parser.add_argument("--storage")
    parser.add_argument("--largest-file", type=int, help="bytes; writing more fails as on a full disk")
    parser.add_argument("--stay", action="store_true")
    options = parser.parse_args()
    workshop = Workshop(options.folder, redis_url=options.redis_url, storage=options.storage)
    if options.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.largest_file, options.largest_file))
    runtime = workshop.runtime(
        StandIn(),
        labelstudio=LabelStudio(options.labelstudio_url, TOKEN),
        limits=Limits(lease_s=0.5, publish_lease_s=0.5),
        checkpoint=_checkpoint(options.folder, options.die_at, options.pause_at),
    )
    jobs.bind(runtime)
    (options.folder / f"listening-{os.getpid()}").touch()
    listen(options.redis_url, ("interactive", "bulk"), burst=not options.stay)


def _checkpoint(folder: Path, die_at: str | None, pause_at: str | None) -> Callable[[str], None]:
    def reached(name: str) -> None:
        with (folder / "steps").open("a") as steps:
            steps.write(name + "\n")
        if name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == pause_at:
            while not (folder / "go").exists():
                time.sleep(0.01)

    return reached


if __name__ == "__main__":
    main()
