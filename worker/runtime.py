"""What a worker works with, assembled once; below this, nothing knows the settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

from backend.custody import database, master
from backend.custody.inbox_opening import InboxKey
from backend.custody.keyring import Keyring
from backend.custody.vault import Vault
from backend.errors import ConfigError
from backend.jobs import Jobs
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.metrics import Metrics
from backend.plugin.links import Links
from backend.settings import Settings
from backend.storage import BlobStore
from g2face_model.types import AnonymizedImage, Image
from worker.originals import Originals

if TYPE_CHECKING:
    from g2face_model.evaluation.pilot import Specimen


class Anonymizer(Protocol):
    """What the worker asks of the engine. `g2face_model.anonymizer.Anonymizer` is one."""

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        """Give every face of `image` (H, W, 3) the virtual person that `seeds(index)` (32 bytes) draws, faces numbered
        from the largest; a face that cannot be shown to be anonymous comes back covered."""
        ...


class Examiner(Protocol):
    """Measures a pilot's photos. `g2face_model.evaluation.pilot.Examination` is one."""

    def look(self, specimen: Specimen) -> None:
        """Measure a photo as it was and as it was published; its pixels are not kept."""
        ...

    def pages(self, *, asked: int) -> dict[str, str]:
        """The report on what was looked at, of so many photos `asked` for, by language; no original is in it."""
        ...


def _nobody() -> Examiner:
    raise ConfigError("this worker measures no pilots")


@dataclass(frozen=True, slots=True)
class Limits:
    """lease_s: how long a claim on a photo holds; it is renewed for every face. publish_lease_s: how long a project is
    closed to others after the worker that publishes for it was killed; renewed while that worker lives. settle_s: how
    long it stays closed after an import that was begun and not answered, which may be under way still. max_attempts:
    how often a photo is taken up before a person has to look at it. batch: photos per call to Label Studio. poll_s: how
    often a pilot's approvals are looked for; patience_s: how long a pilot waits for something that is away."""

    lease_s: float = 300.0
    publish_lease_s: float = 45.0
    settle_s: float = 120.0
    max_attempts: int = 5
    batch: int = 50
    poll_s: float = 15.0
    patience_s: float = 3 * 86400.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """The tools of one worker process.

    `checkpoint` is called with the name of each step that has just been done; tests kill the process there.
    originals: where the originals of pilots are asked for; None without a token for it. examiner: makes an `Examiner`.
    """

    anonymizer: Anonymizer
    ledger: Ledger
    blobs: BlobStore
    inbox: InboxKey
    keyring: Keyring
    vault: Vault
    labelstudio: LabelStudio
    links: Links
    jobs: Jobs
    examiner: Callable[[], Examiner] = _nobody
    originals: Originals | None = None
    limits: Limits = Limits()
    metrics: Metrics = field(default_factory=Metrics)
    checkpoint: Callable[[str], None] = lambda _: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_image_key: Callable[[], str] = lambda: secrets.token_urlsafe(32)


def assemble(
    settings: Settings, load: Callable[[], Anonymizer], *, redis_url: str, examiner: Callable[[], Examiner] = _nobody
) -> Runtime:
    """A worker's tools as the settings say. Databases are made or brought up to date. The engine is loaded last, since
    that takes longest.

    Raises ConfigError, MasterKeyError and CustodyError for what is missing, and what `load` raises: before any photo,
    not in the middle of one.
    """
    worker = settings.worker
    return Runtime(
        ledger=Ledger.open(settings.database()),
        blobs=BlobStore(settings.storage()),
        inbox=InboxKey(settings.inbox_private_key()),
        keyring=Keyring(database.open_keys(settings.keys()), _master_public_key(settings)),
        vault=Vault(database.open_vault(settings.vault())),
        labelstudio=connect_labelstudio(settings),
        links=Links(settings.plugin.public_url, settings.link_key(), lifetime_s=settings.plugin.link_lifetime_s),
        jobs=Jobs(redis_url),
        examiner=examiner,
        originals=_originals(settings),
        limits=Limits(lease_s=worker.lease_s, max_attempts=worker.max_attempts),
        anonymizer=load(),
    )


def _originals(settings: Settings) -> Originals | None:
    token = settings.worker.admin_token
    return None if token is None else Originals(settings.worker.admin_url, token.get_secret_value())


def _master_public_key(settings: Settings) -> Callable[[], bytes]:
    """The file is read anew for every key, since the master key may be changed under a running worker; and once now,
    so that a missing one is told before any photo is taken up."""
    path = settings.master_public_key()
    master.read_public(path)
    return partial(master.read_public, path)


def connect_labelstudio(settings: Settings) -> LabelStudio:
    """The client that publishes, and fetches what is taken over. Raises ConfigError when there is no key to speak to
    Label Studio with."""
    there = settings.labelstudio
    if there.api_key is None:
        raise ConfigError("G2FACE_LABELSTUDIO__API_KEY is not set: photos could not be published")
    return LabelStudio(
        there.url,
        there.api_key.get_secret_value(),
        verify_tls=there.verify_tls,
        allowed_hosts=there.allowed_image_hosts,
    )
