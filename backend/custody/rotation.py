"""Changing the master key: every subject's private key is sealed anew to a new one, and no photo or record is touched.

A rotation that dies anywhere is finished by the next. Its order is the guarantee: at every moment everything that is
sealed can be opened with the files that are there, and the old key is gone only when nothing is sealed to it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backend.custody import key_files, seal
from backend.custody.audit import AuditLog
from backend.custody.key_files import Purpose
from backend.custody.keyring import Keyring
from backend.custody.providers.provider import KeyProvider
from backend.custody.records import Detail, NewEvent
from backend.custody.unseal import MasterKey
from backend.errors import MasterKeyError, SealBrokenError

STARTED, FINISHED = "master_key.rotation_started", "master_key.rotation_finished"


@dataclass(frozen=True, slots=True)
class MasterKeyFiles:
    """Where the master key lies, and who keeps its private files. retired: the folder of older private files."""

    private: Path
    public: Path
    retired: Path
    provider: KeyProvider


@dataclass(frozen=True, slots=True)
class RotationReport:
    """What a rotation did. Key ids have 16 hexadecimal digits.

    old_key_ids: usually one. resumed: it was begun before. resealed: subjects whose keys were sealed anew, this time.
    shredded: subjects without a key. left: subjects whose keys are damaged and still sealed to an old master key, which
    had to be kept. foreign: subjects whose keys are sealed to another one altogether, as from an old backup.
    """

    old_key_ids: tuple[str, ...]
    new_key_id: str
    resumed: bool
    resealed: int
    shredded: int
    left: int
    foreign: int


class Rotation:
    """Changes the master key in `files`. `keyring` holds what is sealed to it; `log` hears of it before it begins.

    `checkpoint` is called with the name of each step that has just been done; tests kill the process there.
    """

    def __init__(
        self,
        files: MasterKeyFiles,
        keyring: Keyring,
        *,
        log: AuditLog,
        actor: str,
        clock: Callable[[], datetime],
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._files, self._keyring = files, keyring
        self._log, self._actor, self._clock, self._checkpoint = log, actor, clock, checkpoint

    def run(self, *, anew: bool = False) -> RotationReport:
        """Finish the rotation that was begun, or else begin one. `anew`: begin one although another left something.

        Raises `AuditError` when it cannot be logged, `MasterKeyError` when a file cannot be read, wrapped or written or
        another rotation is running, `CustodyUnavailableError` when a database is away. The next run goes on from there.
        """
        with key_files.alone(self._files.private):
            for folder in (self._files.private.parent, self._files.retired):
                key_files.clear_leftovers(folder, purpose=Purpose.MASTER)
            master = self._read()
            resumed = bool(master.retired) and not anew
            if not resumed:
                master = self._begin(master)
            return self._finish(master, resumed=resumed)

    def _read(self) -> MasterKey:
        return MasterKey(self._files.private, self._files.provider, retired_dir=self._files.retired)

    def _begin(self, master: MasterKey) -> MasterKey:
        """Make the new key. Until its private file stands, nothing has changed."""
        pair, old_key_id = seal.generate_key_pair(), _name(master.public_key)
        content = key_files.private_text(pair.private_key, Purpose.MASTER, provider=self._files.provider)
        self._note(STARTED, pair.public_key, {"old_key": old_key_id})
        self._checkpoint("noted")
        kept = key_files.read_owned(self._files.private, "the master private key")
        try:
            key_files.replace_private(self._files.retired / f"{old_key_id}.key", kept)
            self._checkpoint("old key kept")
            key_files.replace_private(self._files.private, content)
        except OSError as error:
            raise MasterKeyError(f"the master key cannot be changed: {error.strerror}") from None
        self._checkpoint("private file replaced")
        return self._read()

    def _finish(self, master: MasterKey, *, resumed: bool) -> RotationReport:
        master.write_public(self._files.public)
        self._checkpoint("public file written")
        for old in master.retired:
            self._keyring.retire(old, now=self._clock())  # so that what is sealed to it can only become less
            self._checkpoint("old key retired")
        resealed = sum(self._reseal(master, old) for old in master.retired)
        report = self._report(master, resealed, resumed=resumed)
        self._note(FINISHED, master.public_key, _counts(report))
        self._checkpoint("counts noted")
        self._remove_old(master)
        self._keyring.forget_deleted()
        return report

    def _reseal(self, master: MasterKey, old: bytes) -> int:
        """Seal to the current key what is sealed to an old one; what is damaged is left."""
        done, after = 0, None
        while batch := self._keyring.subjects(sealed_to=seal.key_id(old), after=after):
            for key in batch:
                with suppress(SealBrokenError):
                    done += self._keyring.reseal(key.ref, old=key.sealed_private_key, new=master.reseal(key))
                self._checkpoint("resealed")
            after = batch[-1].ref
        return done

    def _report(self, master: MasterKey, resealed: int, *, resumed: bool) -> RotationReport:
        census = dict(self._keyring.census())
        shredded, _ = census.pop(None, 0), census.pop(seal.key_id(master.public_key), 0)
        left = sum(census.pop(seal.key_id(old), 0) for old in master.retired)
        old_key_ids = tuple(map(_name, master.retired))
        return RotationReport(
            old_key_ids, _name(master.public_key), resumed, resealed, shredded, left, sum(census.values())
        )

    def _remove_old(self, master: MasterKey) -> None:
        """Destroy the old private files that nothing is sealed to."""
        census = self._keyring.census()
        for old in master.retired:
            if not census.get(seal.key_id(old)):
                try:
                    key_files.destroy(self._files.retired / f"{_name(old)}.key")
                except OSError as error:
                    raise MasterKeyError(f"the old master key cannot be removed: {error.strerror}") from None
                self._checkpoint("old key removed")

    def _note(self, action: str, public_key: bytes, detail: Detail) -> None:
        self._log.append([NewEvent(self._actor, action, _name(public_key), detail)], now=self._clock())


def _name(public_key: bytes) -> str:
    return seal.key_id(public_key).hex()


def _counts(report: RotationReport) -> Detail:
    return {
        "resumed": report.resumed,
        "resealed": report.resealed,
        "shredded": report.shredded,
        "left": report.left,
        "foreign": report.foreign,
    }
