"""Signed heads of the audit log, added line by line to a file: whoever holds one can tell when the log's tail is gone.

A line is a signed document (see `signing`) that says how far the log went, when, and who was shredded since the line
before, by keyed hash: a backup from before does not know. `deliver` brings each line to some other place, too: a head
that lies beside the log is no proof against whoever can change both.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from backend.custody import signing
from backend.custody.audit import Head
from backend.custody.signing import SigningKey
from backend.errors import AuditError, SignatureError

KIND = "audit-head"
_CHUNK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SignedHead:
    """How far the log went at a moment, and the pseudonyms of those who were shredded since the head before."""

    head: Head
    at: datetime
    shredded: frozenset[str] = frozenset()


class AuditHeads:
    """The file of signed heads in `path`. `deliver` gets each new line; it raises `AuditError` when it cannot."""

    def __init__(self, path: Path, key: SigningKey, *, deliver: Callable[[bytes], None] = lambda _: None) -> None:
        self._path, self._key, self._deliver = path, key, deliver

    def last(self) -> Head | None:
        """The head that was exported last, None when none was. Raises `AuditError` when the file cannot be read or its
        last line was not signed by our key: then nobody knows how far the log has to go."""
        try:
            with self._path.open("rb") as file:
                line = _last_line(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AuditError(f"the exported heads of the audit log cannot be read: {error.strerror}") from None
        return None if line is None else self._read(line)

    def shredded(self) -> frozenset[str]:
        """The pseudonyms of all who were shredded by the last head. Raises `AuditError` when a line was not signed by
        our key or the file cannot be read."""
        try:
            with self._path.open("rb") as file:
                return frozenset().union(*(signed.shredded for signed in read(file, self._key.public)))
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise AuditError(f"the exported heads of the audit log cannot be read: {error.strerror}") from None
        except SignatureError as error:
            raise AuditError(f"the exported heads of the audit log cannot be relied on: {error}") from None

    def export(self, head: Head, *, now: datetime, shredded: Collection[str] = ()) -> None:
        """Add a head to the file, on the disk when this returns, and deliver it. `shredded`: pseudonyms of those who
        were since the head before. Raises `AuditError`."""
        line = encode(head, self._key, now=now, shredded=shredded)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _append(self._path, line)
        except OSError as error:
            raise AuditError(f"the audit log's head cannot be exported: {error.strerror}") from None
        self._deliver(line)

    def _read(self, line: bytes) -> Head:
        try:
            return decode(line, self._key.public).head
        except SignatureError as error:
            raise AuditError(f"the last exported head of the audit log cannot be relied on: {error}") from None


def encode(head: Head, key: SigningKey, *, now: datetime, shredded: Collection[str] = ()) -> bytes:
    """The line, with its end, that says how far the log goes at `now`."""
    document = {
        "kind": KIND,
        "version": 1,
        "seq": head.seq,
        "hash": head.hash,
        "at": now.astimezone(UTC).isoformat(),
        "shredded": sorted(shredded),
    }
    return signing.canonical(key.sign(document)) + b"\n"


def decode(line: bytes, public: bytes) -> SignedHead:
    """What `encode` wrote. Raises `SignatureError` for anything else."""
    try:
        document = signing.verify(json.loads(line), public)
    except (ValueError, RecursionError):
        raise SignatureError("this is no signed document") from None
    if document.get("kind") != KIND or document.get("version") != 1:
        raise SignatureError("this is no head of an audit log")
    return _signed_head(document)


def read(lines: Iterable[bytes], public: bytes) -> Iterator[SignedHead]:
    """The heads in the lines of a file, for `audit_check`. A last line without its end was never exported and is left
    out. Raises `SignatureError` that names the line which is none."""
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return
        try:
            yield decode(line, public)
        except SignatureError as error:
            raise SignatureError(f"line {number} of the heads: {error}") from None


def _signed_head(document: dict[str, Any]) -> SignedHead:
    try:
        head, at = Head(int(document["seq"]), str(document["hash"])), datetime.fromisoformat(document["at"])
        return SignedHead(head, at, frozenset(str(one) for one in document["shredded"]))
    except (KeyError, TypeError, ValueError):
        raise SignatureError("this is no head of an audit log") from None


def _append(path: Path, line: bytes) -> None:
    """One at a time. What a process left that died in the middle of a line was never exported, and goes."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(_whole_bytes(file))
        file.truncate()
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _last_line(file: IO[bytes]) -> bytes | None:
    end = _whole_bytes(file)
    start = _behind_newline(file, before=end - 1)
    file.seek(start)
    return file.read(end - start) or None


def _whole_bytes(file: IO[bytes]) -> int:
    """How far the file's whole lines go."""
    return _behind_newline(file, before=file.seek(0, os.SEEK_END))


def _behind_newline(file: IO[bytes], *, before: int) -> int:
    """Where the line begins that reaches to `before`; the rest of the file is not read, however long it is."""
    end = before
    while end > 0:
        start = max(0, end - _CHUNK_BYTES)
        file.seek(start)
        if (at := file.read(end - start).rfind(b"\n")) >= 0:
            return start + at + 1
        end = start
    return 0
