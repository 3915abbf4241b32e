"""The PRIVATE side of custody, for the admin's process alone: the master key opens subject keys, those open records."""

from __future__ import annotations

import hashlib
from pathlib import Path

from backend.custody import key_files, seal
from backend.custody.key_files import Purpose
from backend.custody.opening import PrivateKey, read_private, read_private_key
from backend.custody.providers.provider import KeyProvider
from backend.custody.records import SealedRecord, SubjectKey
from backend.errors import KeyShreddedError, MasterKeyError, SealBrokenError


class MasterKey:
    """The master private key, read from a file that only its owner can touch. Its bytes are never shown.

    `provider` unwraps the file. `retired_dir` holds older master keys while a rotation is not finished: they open what
    is still sealed to them. The files are read anew when something turns up that is sealed to a key not seen before,
    so that a rotation needs no restart.

    Raises `MasterKeyError` when a file cannot be read or unwrapped, holds no master key, or others may read or write
    it.
    """

    __slots__ = ("_keys", "_path", "_provider", "_retired_dir")

    def __init__(self, path: Path, provider: KeyProvider = key_files.PLAIN, *, retired_dir: Path | None = None) -> None:
        self._path, self._provider, self._retired_dir = path, provider, retired_dir
        self._keys = self._read()

    @property
    def public_key(self) -> bytes:
        """The current master key's public half, 1216 bytes."""
        return self._keys[0].public_key

    @property
    def retired(self) -> tuple[bytes, ...]:
        """The public halves of the older keys that are still needed."""
        return tuple(key.public_key for key in self._keys[1:])

    def write_public(self, path: Path) -> None:
        """Write the public file anew, as after a crash between the two files. Raises `MasterKeyError`."""
        try:
            key_files.write_public(path, self.public_key, purpose=Purpose.MASTER)
        except OSError as error:
            raise MasterKeyError(f"the master public key cannot be written: {error.strerror}") from None

    def subject_key(self, key: SubjectKey) -> PrivateKey:
        """The subject's private key. Raises `KeyShreddedError`, `SealBrokenError` when it is not this subject's, and
        `MasterKeyError` when the files had to be read anew and could not."""
        return PrivateKey(self._open(key))

    def reseal(self, key: SubjectKey) -> bytes:
        """The subject's private key, sealed to the current master key. Raises as `subject_key` does."""
        return seal.seal(self.public_key, self._open(key), context=seal.subject_key_context(key.ref))

    def unseal(self, record: SealedRecord, key: SubjectKey) -> bytes:
        """The recovery payload that `seal_record` was given.

        Raises `SealBrokenError` when the record was changed or is not this subject's, `KeyShreddedError` when the
        subject's key is gone, `MasterKeyError` as `subject_key` does.
        """
        context = seal.record_context(key.ref, record.photo_id, record.face_index)
        payload = self.subject_key(key).open(record.sealed, context=context)
        if hashlib.sha256(payload).hexdigest() != record.payload_sha256:
            raise SealBrokenError(f"record {record.record_id} does not hold the payload it names")
        return payload

    def _open(self, key: SubjectKey) -> bytes:
        if key.shredded_at is not None:
            raise KeyShreddedError("the subject's key has been shredded")
        opener = self._opener(key.sealed_private_key)
        opened = opener.open(key.sealed_private_key, context=seal.subject_key_context(key.ref))
        if PrivateKey(opened).public_key != key.public_key:
            raise SealBrokenError("the subject's two keys do not belong together")
        return opened

    def _opener(self, sealed: bytes) -> PrivateKey:
        """The key that the value's header names; the current one, which then says what is wrong, if there is none."""
        if (known := self._named_in(sealed)) is not None:
            return known
        if sealed[: seal.ID_AT] == seal.header(self.public_key)[: seal.ID_AT]:
            self._keys = self._read()
        return self._named_in(sealed) or self._keys[0]

    def _named_in(self, sealed: bytes) -> PrivateKey | None:
        named = (key for key in self._keys if sealed[: seal.HEADER_BYTES] == seal.header(key.public_key))
        return next(named, None)

    def _read(self) -> tuple[PrivateKey, ...]:
        current = read_private_key(self._path, Purpose.MASTER, provider=self._provider)
        paths = sorted(self._retired_dir.glob("*.key")) if self._retired_dir else []
        older = (read_private_key(path, Purpose.MASTER, provider=self._provider) for path in paths)
        return (current, *(key for key in older if key.public_key != current.public_key))


def rewrap(path: Path, *, old: KeyProvider, new: KeyProvider) -> None:
    """Let `new` keep the master private key in `path` instead of `old`. Nothing is replaced until `new` gave the key
    back once.

    Raises `MasterKeyError` when the file cannot be read, unwrapped, wrapped or written, or somebody else is changing
    it.
    """
    with key_files.alone(path):
        key_files.clear_leftovers(path.parent, purpose=Purpose.MASTER)
        _rewrap(path, old, new)


def _rewrap(path: Path, old: KeyProvider, new: KeyProvider) -> None:
    private_key = read_private(path, Purpose.MASTER, provider=old)
    content = key_files.private_text(private_key, Purpose.MASTER, provider=new)
    if key_files.parse_private(content, Purpose.MASTER, provider=new) != private_key:
        raise MasterKeyError("the master key did not come back as it was wrapped; nothing was changed")
    try:
        key_files.replace_private(path, content)
    except OSError as error:
        raise MasterKeyError(f"the master private key cannot be written: {error.strerror}") from None
