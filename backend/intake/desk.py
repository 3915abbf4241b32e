"""What a project manager can do, whichever way they come: pages, HTTP API and command line call these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend import logs
from backend.custody.inbox import read_public
from backend.errors import ConfigError, IntakeError, LedgerError, MasterKeyError, QueueError, StorageError
from backend.intake import prefixes, uploads
from backend.intake.parcels import LIMITS, HandedIn, Limits, manifest_of
from backend.intake.pilots import Pilots
from backend.jobs import AnonymizeTask, Jobs, QueueName
from backend.labelstudio import labels
from backend.labelstudio.client import LabelStudio
from backend.labelstudio.leaks import Leaks, leak_check
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState, Policy, Progress, Project
from backend.storage import BlobStore, Source

CONFIGS: dict[str, Callable[[], str]] = {"expression": labels.expression_config, "plain": labels.plain_config}
TITLE_CHARACTERS = (3, 50)  # what Label Studio takes

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Label Studio project that could be connected. problem: why it does not fit, None when it does."""

    labelstudio_id: int
    title: str
    tasks: int
    connected: bool
    problem: str | None
    asks_expression: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of some photos of many. total: how many there are altogether."""

    total: int
    results: list[uploads.UploadResult]


@dataclass(frozen=True, slots=True)
class Desk:
    """The rooms behind the counter. labelstudio: None when no key for it is set.

    inbox_public_key: reads the worker's public key, which may not be there yet. image_host: host and port of the
    addresses that anonymized images have. backend_host: under which Label Studio reaches the plugin; None when that is
    image_host, too. s3_prefixes: what managers may collect photos from.
    """

    ledger: Ledger
    blobs: BlobStore
    jobs: Jobs
    inbox_public_key: Callable[[], bytes]
    labelstudio: LabelStudio | None
    image_host: str
    backend_host: str | None = None
    limits: Limits = LIMITS
    s3_prefixes: tuple[str, ...] = ()

    @property
    def pilots(self) -> Pilots:
        """Pilot reports."""
        return Pilots(self.ledger, self.blobs, self.jobs)

    # Projects

    def projects(self, *, now: datetime) -> list[tuple[Project, Progress]]:
        """All projects with their progress, the newest first."""
        projects = reversed(self.ledger.projects())
        return [(project, self.ledger.progress(project.project_id, now=now)) for project in projects]

    def candidates(self) -> list[Candidate]:
        """Label Studio's projects, the newest first. Raises `ConfigError` or `LabelStudioError`."""
        connected = {project.labelstudio_id for project in self.ledger.projects()}
        found = [_candidate(project, connected) for project in self._label_studio().projects()]
        return sorted(found, key=lambda candidate: -candidate.labelstudio_id)

    def connect(self, labelstudio_id: int, *, policy: Mapping[str, Any], now: datetime) -> Project:
        """Connect a project that is there. Raises `IntakeError` when it is connected already or does not fit."""
        if self.ledger.project_of_labelstudio(labelstudio_id) is not None:
            raise IntakeError(f"Label Studio project {labelstudio_id} is connected already")
        found = self._label_studio().project(labelstudio_id)
        try:
            labels.fit(found["label_config"])
        except ConfigError as error:
            raise IntakeError(str(error)) from None
        return self.ledger.add_project(found.get("title") or "Untitled", labelstudio_id, now=now, **policy)

    def create(self, title: str, *, config: str, policy: Mapping[str, Any], now: datetime) -> Project:
        """Make a project in Label Studio with one of our configurations and connect it. Raises `IntakeError`."""
        title = title.strip()
        shortest, longest = TITLE_CHARACTERS
        if not shortest <= len(title) <= longest:
            raise IntakeError(f"a title has {shortest} to {longest} characters")
        if config not in CONFIGS:
            raise IntakeError(f"config is one of: {', '.join(CONFIGS)}")
        made = self._label_studio().create_project(title, CONFIGS[config]())
        return self.ledger.add_project(title, int(made["id"]), now=now, **policy)

    def switch(self, project_id: str, *, on: bool | None = None, adopts: bool | None = None) -> Project:
        """Turn a project, or the taking over of its tasks, on or off; None leaves as it is."""
        current = self.ledger.project(project_id)
        return self.ledger.switch(project_id, on=current.on if on is None else on, adopts=adopts)

    def revise(self, project_id: str, *, changes: Mapping[str, Any], now: datetime) -> Policy:
        """The next revision of a project's policy, or the current one when nothing changes."""
        return self.ledger.revise_policy(project_id, now=now, **changes)

    def leak_check(self, project_id: str) -> Leaks:
        """What of the originals Label Studio shows or may show. Raises `ConfigError` or `LabelStudioError`."""
        project = self.ledger.project(project_id)
        client, hosts = self._label_studio(), {self.backend_host or self.image_host}
        return leak_check(client, project.labelstudio_id, own_host=self.image_host, backend_hosts=hosts)

    # Photos

    def hand_in(
        self, project_id: str, *, files: Sequence[HandedIn], now: datetime, total: int | None = None
    ) -> list[uploads.UploadResult]:
        """Take photos in, see `uploads.take`. total: how many there are when these are but a part of them."""
        project = self.ledger.project(project_id)
        manifest = manifest_of(files)
        results = uploads.take(
            self._tray(), project, files=files, manifest=manifest, now=now, total=total, limits=self.limits
        )
        if not results:
            raise IntakeError("there was no photo among these files")
        return results

    def collect(self, project_id: str, *, address: str, clock: Callable[[], datetime]) -> Iterator[Batch]:
        """Take in all photos under an S3 prefix: at first a batch of none, once it is known how many there are; then a
        batch with every step.

        Raises `IntakeError` when the prefix may not be read, holds no photo or an unfit CSV, or the project is off;
        `StorageError` when S3 cannot be read.
        """
        address, project = prefixes.permitted(address, self.s3_prefixes), self.ledger.project(project_id)
        uploads.check_on(project)
        prefix, first = prefixes.Prefix(Source(address), self.limits), 0
        survey = prefix.survey()
        if not survey.total:
            raise IntakeError("there is no photo under this address")
        yield Batch(survey.total, [])
        for part in prefix.parts():
            project = self.ledger.project(project_id)  # it may have been turned off meanwhile
            results = uploads.take_photos(
                self._tray(),
                project,
                photos=part,
                manifest=survey.manifest,
                ambiguous=survey.ambiguous,
                now=clock(),
                total=survey.total,
                first=first,
            )
            first += len(results)
            yield Batch(survey.total, results)

    def retry(self, project_id: str, *, photo_id: str, now: datetime) -> Photo:
        """Try a failed photo again, under the current policy. Raises `LedgerError` if it is not one of this project."""
        if self.ledger.photo(photo_id).project_id != project_id:
            raise LedgerError(f"project {project_id} has no photo {photo_id}")
        photo = self.ledger.retry(photo_id, now=now)
        self._enqueue([photo], queue="interactive")
        return photo

    def retry_all(self, project_id: str, *, now: datetime) -> int:
        """Try every failed photo again; how many those are."""
        failed = self.ledger.failures(project_id, limit=100_000)
        self._enqueue((self.ledger.retry(photo.photo_id, now=now) for photo in failed), queue="bulk")
        return len(failed)

    def cancel(self, project_id: str, *, now: datetime) -> int:
        """Cancel what waits or has failed and delete its sealed originals; how many photos those were."""
        count = self.ledger.cancel(project_id, now=now)
        try:
            names = self.ledger.discarded_blobs()
            for name in names:
                self.blobs.delete(name)
            self.ledger.forget_blobs(names)
        except StorageError:
            _log.warning("sealed originals wait for deletion", extra={"project_id": project_id})
        return count

    def _enqueue(self, photos: Iterable[Photo], *, queue: QueueName) -> None:
        away = False
        for photo in photos:
            if away or photo.state is not PhotoState.WAITING:
                continue  # the ledger has it; reconciling queues it later
            try:
                self.jobs.enqueue(AnonymizeTask(photo.photo_id, photo.policy_revision), queue=queue)
            except QueueError:
                away = True
                _log.warning("queue is away, photos wait for reconciling", extra={"project_id": photo.project_id})

    def _tray(self) -> uploads.Tray:
        try:
            return uploads.Tray(self.ledger, self.blobs, self.jobs, self.inbox_public_key())
        except MasterKeyError:
            raise ConfigError(
                "originals cannot be sealed yet: the worker has not made its key (python -m worker init)"
            ) from None

    def _label_studio(self) -> LabelStudio:
        if self.labelstudio is None:
            raise ConfigError("no API key of Label Studio is set (G2FACE_LABELSTUDIO__API_KEY)")
        return self.labelstudio


def key_reader(path: Any) -> Callable[[], bytes]:
    """Reads the inbox public key at `path` whenever it is asked to."""
    return lambda: read_public(path)


def _candidate(project: Mapping[str, Any], connected: set[int]) -> Candidate:
    labelstudio_id, problem, asks = int(project["id"]), None, False
    try:
        asks = labels.fit(project.get("label_config") or "").expression is not None
    except ConfigError as error:
        problem = str(error)
    return Candidate(
        labelstudio_id=labelstudio_id,
        title=project.get("title") or "",
        tasks=int(project.get("task_number") or 0),
        connected=labelstudio_id in connected,
        problem=problem,
        asks_expression=asks,
    )
