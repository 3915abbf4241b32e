"""Signed heads of the audit log, added line by line to a file: whoever holds one can tell when the log's tail is gone.

A line is a signed document (see `signing`) that says how far the log went, when, and what must not be undone: who was
shredded since the line before, by keyed hash, or which request ended. A backup from before does not know. Each
sweep brings the lines to some other place, too: a head that lies beside the log is no proof against whoever can change
both.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
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
    """How far the log went at a moment, the pseudonyms of those who were shredded since the head before, and the ids of
    requests that had ended; a head that names none of these is a sweep's."""

    head: Head
    at: datetime
    shredded: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


class AuditHeads:
    """The file of signed heads in `path`. `carry` brings lines to some other place; it raises `AuditError` when it
    cannot."""

    def __init__(self, path: Path, key: SigningKey, *, carry: Callable[[bytes], None] = lambda _: None) -> None:
        self._path, self._key, self._carry = path, key, carry

    def last(self) -> Head | None:
        """The head that was exported last, None when none was. Raises `AuditError` when the file cannot be read or its
        last line was not signed by our key: then nobody knows how far the log has to go."""
        with self._opened() as file:
            line = _last_line(file)
        return None if line is None else self._read(line).head

    def swept(self) -> Head | None:
        """The head that a sweep exported last, None when none did. Raises `AuditError` as `last` does."""
        with self._opened() as file:
            line = _last_sweeps(file)
        return None if line is None else self._read(line).head

    def shredded(self) -> frozenset[str]:
        """The pseudonyms of all who were shredded by the last head. Raises `AuditError` when a line was not signed by
        our key or the file cannot be read."""
        try:
            with self._opened() as file:
                return frozenset().union(*(signed.shredded for signed in read(file, self._key.public)))
        except SignatureError as error:
            raise AuditError(f"the exported heads of the audit log cannot be relied on: {error}") from None

    def ended(self, request_id: str) -> bool:
        """Whether a head names this request as one that had ended. Raises `AuditError` as `last` does."""
        with self._opened() as file:
            named = [line for line in file if request_id.encode() in line and line.endswith(b"\n")]
        return any(request_id in self._read(line).ended for line in named)

    def export(
        self,
        head: Callable[[], Head],
        *,
        now: datetime,
        shredded: Collection[str] = (),
        ended: Collection[str] = (),
    ) -> Head:
        """Add a head to the file, on the disk when this returns. `head` is asked for it once no other process can add
        one, so that none stands behind a later one. `shredded`: pseudonyms of those who were since the head before;
        `ended`: ids of requests. Raises `AuditError`, and what `head` does."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                reached = head()
                _append(file, encode(reached, self._key, now=now, shredded=shredded, ended=ended))
        except OSError as error:
            raise AuditError(f"the audit log's head cannot be exported: {error.strerror}") from None
        return reached

    def deliver(self) -> None:
        """Bring the last sweep's line elsewhere, and those before it back to the sweep before. Raises `AuditError`."""
        with self._opened() as file:
            lines = _of_last_sweep(file)
        self._carry(lines)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The file, or nothing where there is none."""
        try:
            with self._path.open("rb") as file:
                yield file
        except FileNotFoundError:
            yield io.BytesIO()
        except OSError as error:
            raise AuditError(f"the exported heads of the audit log cannot be read: {error.strerror}") from None

    def _read(self, line: bytes) -> SignedHead:
        try:
            return decode(line, self._key.public)
        except SignatureError as error:
            raise AuditError(f"an exported head of the audit log cannot be relied on: {error}") from None


def encode(
    head: Head, key: SigningKey, *, now: datetime, shredded: Collection[str] = (), ended: Collection[str] = ()
) -> bytes:
    """The line, with its end, that says how far the log goes at `now`."""
    document = {
        "kind": KIND,
        "version": 1,
        "seq": head.seq,
        "hash": head.hash,
        "at": now.astimezone(UTC).isoformat(),
        "shredded": sorted(shredded),
        "ended": sorted(ended),
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
        shredded, ended = (frozenset(str(one) for one in document.get(name, ())) for name in ("shredded", "ended"))
        return SignedHead(head, at, shredded, ended)
    except (KeyError, TypeError, ValueError):
        raise SignatureError("this is no head of an audit log") from None


def _append(file: IO[bytes], line: bytes) -> None:
    """What a process left that died in the middle of a line was never exported, and goes."""
    file.seek(_whole_bytes(file))
    file.truncate()
    file.write(line)
    file.flush()
    os.fsync(file.fileno())


def _last_sweeps(file: IO[bytes]) -> bytes | None:
    found = [line for line in file if line.endswith(b"\n") and not _is_of_requests(line)]
    return found[-1] if found else None


def _of_last_sweep(file: IO[bytes]) -> bytes:
    """The lines behind the last sweep's but one, as far as the last one's."""
    lines: list[bytes] = []
    for line in file:
        ended = lines and not _is_of_requests(lines[-1])
        lines = [line] if ended else [*lines, line]
    return b"".join(lines)


def _is_of_requests(line: bytes) -> bool:
    """Whether a line was written when a request ended, and not by a sweep."""
    return b'"ended":["' in line


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
