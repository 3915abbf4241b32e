"""The plugin put together from the settings, and served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial

import waitress
from flask import Flask

from backend.adoption import adopt
from backend.errors import ConfigError
from backend.jobs import Jobs
from backend.labelstudio.labels import MODEL_VERSION
from backend.ledger.ledger import Ledger
from backend.ledger.records import Project
from backend.metrics import Metrics
from backend.plugin.app import Guard, Images, create_app
from backend.plugin.links import Links
from backend.plugin.predictor import Predictor, Task
from backend.redis_server import EmbeddedRedis
from backend.settings import PluginSettings, Settings
from backend.storage import BlobStore

_THREADS = 16  # an annotator's browser opens several connections, and Label Studio's own calls must not wait for them
_MAX_BODY_BYTES = 64 * 1024 * 1024


@contextmanager
def composed(settings: Settings) -> Iterator[Flask]:
    """The application, for as long as the context lasts: what it opened is closed afterwards.

    Raises ConfigError when a setting cannot be used.
    """
    with ExitStack() as stack:
        predictor, images = _parts(settings, stack)
        yield create_app(predictor, images, guard=_guard(settings.plugin), metrics=Metrics())


@contextmanager
def composed_for_label_studio_ml(settings: Settings) -> Iterator[Flask]:
    """The same behind label_studio_ml 1.0.9's server, which serves no images: those still need `composed`."""
    from backend.plugin.model import hosted_app  # label_studio_ml need not be installed otherwise

    with ExitStack() as stack:
        predictor, _ = _parts(settings, stack)
        yield hosted_app(predictor, guard=_guard(settings.plugin))


def serve(settings: Settings) -> None:
    """Serve until the process is ended."""
    with composed(settings) as app:
        waitress.serve(
            app,
            host=settings.plugin.host,
            port=settings.plugin.port,
            threads=_THREADS,
            ident=None,
            max_request_body_size=_MAX_BODY_BYTES,
            inbuf_overflow=_MAX_BODY_BYTES + 1,  # tasks never overflow into a temporary file
        )


def _parts(settings: Settings, stack: ExitStack) -> tuple[Predictor, Images]:
    plugin = settings.plugin
    redis_url = settings.redis() or stack.enter_context(EmbeddedRedis(settings.data_dir)).url
    ledger = Ledger.open(settings.database())
    stack.callback(ledger.close)
    links = Links(plugin.public_url, settings.link_key(), lifetime_s=plugin.link_lifetime_s)
    adoption = partial(_adopt, ledger, Jobs(redis_url), links.host)
    predictor = Predictor(ledger, links, model_version=MODEL_VERSION, adopt=adoption)
    return predictor, Images(ledger, BlobStore(settings.storage()), links, settings.allowed_origins())


def _adopt(ledger: Ledger, jobs: Jobs, own_host: str, project: Project, tasks: Sequence[Task], data_key: str) -> None:
    adopt(ledger, jobs, project=project, tasks=tasks, own_host=own_host, now=datetime.now(UTC), data_key=data_key)


def _guard(plugin: PluginSettings) -> Guard:
    if (plugin.user is None) != (plugin.password is None):
        raise ConfigError("G2FACE_PLUGIN__USER and G2FACE_PLUGIN__PASSWORD go together")
    secret, password = (
        None if value is None else value.get_secret_value() for value in (plugin.path_secret, plugin.password)
    )
    if secret is not None and not secret.replace("-", "").replace("_", "").isalnum():
        raise ConfigError("G2FACE_PLUGIN__PATH_SECRET is made of letters, digits, - and _: it stands in an address")
    return Guard(path_secret=secret, user=plugin.user, password=password)
