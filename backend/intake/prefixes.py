"""Photos that lie under a prefix of an S3 bucket: which prefixes may be read, and what is there, a part at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.errors import IntakeError
from backend.intake.manifest import Manifest, read_manifest
from backend.intake.parcels import (
    LIST_BYTES,
    PART_BYTES,
    PART_FILES,
    HandedIn,
    Limits,
    Spoiled,
    is_list,
    is_litter,
    is_zip,
)
from backend.storage import Source, SourceObject

_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^/]+)*")
_AN_ARCHIVE = "an archive in S3 is not opened; unpack it there, or hand it in as a file"


def permitted(address: str, prefixes: Sequence[str]) -> str:
    """`address` without a slash at its end, if it is one of `prefixes` or lies under one. Raises `IntakeError`.

    prefixes: s3://bucket or s3://bucket/folder, as whoever runs this allows them.
    """
    if not prefixes:
        raise IntakeError("photos are not collected from S3 here: no prefix is allowed (G2FACE_INTAKE__S3_PREFIXES)")
    address = address.strip().rstrip("/")
    if _ADDRESS.fullmatch(address) is None or not address.isprintable() or {".", ".."} & set(address.split("/")):
        raise IntakeError("give an address as s3://bucket/folder")
    if not any(address == prefix or address.startswith(f"{prefix}/") for prefix in prefixes):
        raise IntakeError(f"that is not under a prefix that may be read here: {', '.join(prefixes)}")
    return address


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look through a whole prefix says. ambiguous: rows of the manifest that fit more than one photo."""

    total: int
    manifest: Manifest | None
    ambiguous: frozenset[int]


@dataclass(frozen=True, slots=True)
class Prefix:
    """The photos under one prefix. However many there are, no more than a part of them is in memory."""

    source: Source
    limits: Limits

    def survey(self) -> Survey:
        """Look through all names. Raises `StorageError`, or `IntakeError` when the CSV is unfit or not the only one."""
        total, lists = 0, []
        for entry in self.source.objects():
            if is_list(entry.name):
                lists.append(entry)
            total += _is_photo(entry)
        if len(lists) > 1:
            raise IntakeError("there is more than one CSV under this address; keep one list of subjects there")
        manifest = read_manifest(self._list(lists[0])) if lists else None
        ambiguous = manifest.ambiguous(entry.name for entry in self._photos()) if manifest else frozenset()
        return Survey(total, manifest, ambiguous)

    def parts(self) -> Iterator[list[HandedIn | Spoiled]]:
        """Every photo, in parts that fit in memory. Raises `StorageError`."""
        part: list[SourceObject] = []
        for entry in self._photos():
            size = sum(self._share(other) for other in part) + self._share(entry)
            if part and (len(part) == PART_FILES or size > PART_BYTES):
                yield self._fetched(part)
                part = []
            part.append(entry)
        if part:
            yield self._fetched(part)

    def _photos(self) -> Iterator[SourceObject]:
        return filter(_is_photo, self.source.objects())

    def _list(self, entry: SourceObject) -> bytes:
        (data,) = self.source.read([entry], at_most=LIST_BYTES + 1)
        if data is None:
            raise IntakeError("the CSV cannot be read")
        if len(data) > LIST_BYTES:
            raise IntakeError(f"the CSV is larger than {LIST_BYTES // 2**20} MB")
        return data

    def _share(self, entry: SourceObject) -> int:
        """How much memory it takes; what is too large is not even fetched."""
        return entry.size if entry.size <= self.limits.file_bytes else 0

    def _fetched(self, part: Sequence[SourceObject]) -> list[HandedIn | Spoiled]:
        fit = [entry for entry in part if entry.size <= self.limits.file_bytes and not _is_archive(entry)]
        contents = dict(zip(fit, self.source.read(fit, at_most=self.limits.file_bytes + 1), strict=True))
        return [self._photo(entry, contents.get(entry)) for entry in part]

    def _photo(self, entry: SourceObject, data: bytes | None) -> HandedIn | Spoiled:
        if _is_archive(entry) or (data is not None and is_zip(data)):
            return Spoiled(entry.name, _AN_ARCHIVE)
        # What is there by now may be larger than what was listed.
        if entry.size > self.limits.file_bytes or (data is not None and len(data) > self.limits.file_bytes):
            return Spoiled(entry.name, f"it is larger than {self.limits.file_bytes // 2**20} MB")
        if data is None:
            return Spoiled(entry.name, "it could not be read from S3; hand it in once more")
        return HandedIn(entry.name, data)


def _is_photo(entry: SourceObject) -> bool:
    return not (is_litter(entry.name) or is_list(entry.name))


def _is_archive(entry: SourceObject) -> bool:
    return entry.name.lower().endswith(".zip")
