"""python stand_in_worker.py: `python -m worker run` but for the engine, which paints noise and needs no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stand_in import StandIn

from backend import logs
from backend.labelstudio.labels import MODEL_VERSION
from backend.redis_server import EmbeddedRedis
from backend.settings import Settings
from g2face_model.types import AnonymizedImage, Image
from worker.__main__ import work
from worker.runtime import assemble


class Engine(StandIn):
    """Says that it is the real one, so that its photos go into the same project."""

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        return replace(super().anonymize(image, seeds), model_version=MODEL_VERSION)


def main() -> None:
    settings = Settings.load()
    logs.configure(settings.logs.level, json_lines=settings.logs.json_lines)
    with EmbeddedRedis(settings.data_dir) as server:
        runtime = assemble(settings, lambda: Engine(1), redis_url=server.url)
        work(runtime, settings, redis_url=server.url, burst=False, reconcile_s=1.0)


if __name__ == "__main__":
    main()
