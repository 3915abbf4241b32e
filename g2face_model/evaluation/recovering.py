"""The way back, walked from the files: save what is published, read it again, restore; and try when one must not.

Nothing of it stays on the disk.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from g2face_model import images, recovery
from g2face_model.anonymizer import Seeds
from g2face_model.errors import RecoveryError
from g2face_model.evaluation.measurements import Recovered
from g2face_model.evaluation.methods import Treatment
from g2face_model.payload_file import SUFFIX, Key
from g2face_model.types import Image

FORMATS: tuple[images.Format, ...] = ("png", "jpeg")


def key_of(name: str) -> Key:
    """The same key for the same name in every run: it protects nothing but a folder that is gone a moment later."""
    return Key(hashlib.sha256(f"g2face evaluation {name}".encode()).digest())


def seeds(image: Image, name: str) -> Seeds:
    """The seeds that the command line takes from such a key for this photograph."""
    key, digest = key_of(name), recovery.image_sha256(image)
    return lambda index: key.seed(digest, index)


def recover(original: Image, treatment: Treatment, key: Key) -> tuple[Recovered, ...]:
    """Once for every format."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(_recover(original, treatment, key, Path(folder) / f"photo.{name}", name) for name in FORMATS)


def _recover(original: Image, treatment: Treatment, key: Key, path: Path, name: images.Format) -> Recovered:
    path.write_bytes(images.encode(treatment.image, name))
    started = time.perf_counter()
    published = images.decode(path.read_bytes())
    lossy = name not in images.LOSSLESS_FORMATS
    payload = path.with_name(path.name + SUFFIX)
    payload.write_bytes(key.seal(recovery.protect(original, published, treatment.replaced, lossy=lossy)))
    protected = time.perf_counter()
    published, sealed = images.decode(path.read_bytes()), payload.read_bytes()
    restored = _restored(published, sealed, key)
    done = time.perf_counter()
    other = published.copy()
    other[0, 0] ^= 1
    return Recovered(
        format=name,
        bit_exact=restored is not None and np.array_equal(restored, original),
        wrong_key_refused=_refused(lambda: _restore(published, sealed, key_of("another"))),
        wrong_image_refused=_refused(lambda: _restore(other, sealed, key)),
        tampering_refused=_refused(lambda: _restore(published, _tampered(sealed), key)),
        protect_seconds=protected - started,
        restore_seconds=done - protected,
        payload_bytes=len(sealed),
        file_bytes=path.stat().st_size,
    )


def _restore(published: Image, sealed: bytes, key: Key) -> Image:
    return recovery.restore(published, key.unseal(sealed, published))


def _restored(published: Image, sealed: bytes, key: Key) -> Image | None:
    try:
        return _restore(published, sealed, key)
    except RecoveryError:
        return None


def _refused(attempt: Callable[[], Image]) -> bool:
    try:
        attempt()
    except RecoveryError:
        return True
    return False


def _tampered(sealed: bytes) -> bytes:
    """One bit of the ciphertext turned."""
    middle = len(sealed) * 3 // 4
    return sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]
