"""python stand_in_worker.py: `python -m worker run` but for the engine, which paints noise and needs no time, and for a
pilot's judges, who look at pixels alone and stop in the middle for as long as the data folder has a file "hold"."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from looking import Looker
from stand_in import StandIn

from backend import logs
from backend.labelstudio.labels import MODEL_VERSION
from backend.redis_server import EmbeddedRedis
from backend.settings import Settings
from g2face_model.types import AnonymizedImage, Image
from worker.__main__ import work
from worker.runtime import assemble

if TYPE_CHECKING:
    from g2face_model.evaluation.pilot import Specimen


class Engine(StandIn):
    """Says that it is the real one, so that its photos go into the same project."""

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        return replace(super().anonymize(image, seeds), model_version=MODEL_VERSION)


class HeldLooker(Looker):
    """Looks at one photo, and then waits until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def look(self, specimen: Specimen) -> None:
        super().look(specimen)
        while (self._folder / "hold").exists():
            time.sleep(0.05)


def main() -> None:
    settings = Settings.load()
    logs.configure(settings.logs.level, json_lines=settings.logs.json_lines)
    with EmbeddedRedis(settings.data_dir) as server:
        looker = partial(HeldLooker, settings.data_dir)
        runtime = assemble(settings, lambda: Engine(1), examiner=looker, redis_url=server.url)
        runtime = replace(runtime, limits=replace(runtime.limits, poll_s=0.5))
        work(runtime, settings, redis_url=server.url, burst=False, reconcile_s=1.0)


if __name__ == "__main__":
    main()
