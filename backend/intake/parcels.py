"""What a manager hands in: single files and zip archives, taken apart in memory and within limits."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backend.errors import IntakeError
from backend.intake.manifest import Manifest, path_parts, read_manifest

PART_FILES = 20
PART_BYTES = 64 * 2**20
"""What is taken in at a time when there is more than fits in memory."""
LIST_BYTES = 16 * 2**20
"""A list of subjects is no larger."""

_ZIP_MAGIC = b"PK\x03\x04"
_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_ZIP_TROUBLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one hand-in may hold. unpacked_bytes: all archives of it together, however small they arrived."""

    file_bytes: int = 128 * 2**20
    unpacked_bytes: int = 4 * 2**30
    files: int = 20_000


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class HandedIn:
    """One file as it was handed in. name: its path for the manager's eyes and the manifest; it is never kept."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A file that could not be taken out of its archive, and why."""

    name: str
    reason: str


def manifest_of(files: Iterable[HandedIn]) -> Manifest | None:
    """The one CSV among `files` or in their archives. Raises `IntakeError` when there are several or it is unfit."""
    texts = [text for file in files for text in _manifests_in(file)]
    if len(texts) > 1:
        raise IntakeError("there is more than one CSV; hand in one list of subjects at a time")
    return read_manifest(texts[0]) if texts else None


def unpacked(files: Iterable[HandedIn], limits: Limits = LIMITS) -> Iterator[HandedIn | Spoiled]:
    """Every photo among `files`, those in archives one at a time; lists and the litter of file systems are left out.

    Raises `IntakeError` when there is more than `limits` allow. Archives in archives are `Spoiled`.
    """
    budget = _Budget(limits)
    for file in files:
        if is_zip(file.data):
            yield from _entries(file, budget)
        elif not (is_litter(file.name) or is_list(file.name)):
            budget.spend(0)
            yield file


def photo_names(files: Iterable[HandedIn]) -> Iterator[str]:
    """The names of what `unpacked` will yield, without taking it out."""
    for file in files:
        archive = _opened(file) if is_zip(file.data) else None
        names = [file.name] if archive is None else [info.filename for info in archive.infolist() if not info.is_dir()]
        yield from (name for name in names if not (is_litter(name) or is_list(name)))


def is_zip(data: bytes) -> bool:
    """Whether `data` looks like an archive."""
    return data.startswith(_ZIP_MAGIC)


class _Budget:
    """Counts files and unpacked bytes down."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._files_left, self._bytes_left = limits.files, limits.unpacked_bytes

    def spend(self, size: int) -> None:
        self._files_left -= 1
        self._bytes_left -= size
        if self._files_left < 0:
            raise IntakeError(f"that is more than {self.limits.files} files at once")
        if self._bytes_left < 0:
            raise IntakeError(f"the archives unpack to more than {self.limits.unpacked_bytes // 2**20} MB")


def _entries(file: HandedIn, budget: _Budget) -> Iterator[HandedIn | Spoiled]:
    archive = _opened(file)
    if archive is None:
        budget.spend(0)
        yield Spoiled(file.name, "the archive is damaged or cut short")
        return
    with archive:
        for info in archive.infolist():
            if not (info.is_dir() or is_litter(info.filename) or is_list(info.filename)):
                entry = _entry(archive, info, budget.limits)
                budget.spend(len(entry.data) if isinstance(entry, HandedIn) else 0)
                yield entry


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> HandedIn | Spoiled:
    """One entry. Its header may lie about its size, so no more is read than may be there."""
    if info.flag_bits & 1:
        return Spoiled(info.filename, "it is encrypted in its archive")
    try:
        with archive.open(info) as stream:
            data = stream.read(limits.file_bytes + 1)
    except _ZIP_TROUBLE:
        return Spoiled(info.filename, "it is damaged in its archive")
    if len(data) > limits.file_bytes:
        return Spoiled(info.filename, f"it is larger than {limits.file_bytes // 2**20} MB")
    if is_zip(data):
        return Spoiled(info.filename, "an archive within an archive is not opened")
    return HandedIn(info.filename, data)


def _opened(file: HandedIn) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(io.BytesIO(file.data))
    except _ZIP_TROUBLE:
        return None


def _manifests_in(file: HandedIn) -> Iterator[bytes]:
    if is_zip(file.data):
        archive = _opened(file)
        if archive is not None:
            with archive:
                yield from (_small(archive, info) for info in archive.infolist() if is_list(info.filename))
    elif is_list(file.name):
        yield file.data


def _small(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A CSV out of an archive. Raises `IntakeError` when it cannot be read or is too large for a list."""
    entry = _entry(archive, info, Limits(file_bytes=LIST_BYTES))
    if isinstance(entry, Spoiled):
        raise IntakeError(f"the CSV cannot be used: {entry.reason}")
    return entry.data


def is_list(name: str) -> bool:
    """Whether a file of this name says who is who."""
    return name.lower().endswith(".csv") and not is_litter(name)


def is_litter(name: str) -> bool:
    """Whether a file system left this behind: hidden files and folders, thumbnails, resource forks."""
    return any(part.startswith(".") or part.lower() in _SYSTEM_NAMES for part in path_parts(name))
