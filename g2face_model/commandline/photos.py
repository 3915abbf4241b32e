"""Which pictures a command was pointed at, and where its results go: nothing lost, no input overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from g2face_model import atomic_file
from g2face_model.errors import UnreadableImageError

_JPEG_SUFFIXES = (".jfif", ".jpe", ".jpeg", ".jpg", ".mpo")
SUFFIXES = frozenset(
    (*_JPEG_SUFFIXES, ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".png", ".tif", ".tiff", ".webp")
)
MAX_FILE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Photo:
    """A file and the name it goes by: its path relative to the folder that was asked for, with forward slashes."""

    name: str
    path: Path

    def read(self) -> bytes:
        """The file's bytes. Raises `OSError`, or `UnreadableImageError` for devices, pipes and absurdly large files."""
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError("not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableImageError("the file is too large for a picture")
        return self.path.read_bytes()


@dataclass(slots=True)
class Findings:
    """What lies under the given paths. `troubles` are (name, reason) of folders that cannot be listed; `passed_over`
    counts the files of a folder whose names are not those of pictures."""

    photos: list[Photo] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)
    passed_over: int = 0


def find(paths: Sequence[Path], *, excluded: Path, suffixes: frozenset[str] = SUFFIXES) -> Findings:
    """The pictures among `paths`: files as they are, folders with all their subfolders, hidden names and the folder
    `excluded` left out, in the order of their names."""
    found = Findings()
    for path in paths:
        if not os.path.isdir(path):
            found.photos.append(Photo(path.name, path))
            continue
        for file in _walk(path, excluded, found):
            if file.suffix.lower() in suffixes:
                found.photos.append(Photo(file.relative_to(path).as_posix(), file))
            else:
                found.passed_over += 1
    return found


def _walk(folder: Path, excluded: Path, found: Findings) -> Iterator[Path]:
    def unlistable(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        found.troubles.append((folder.name if name == "." else name, f"the folder cannot be read: {error.strerror}"))

    for root, folders, files in os.walk(folder, onerror=unlistable):
        visible = (name for name in sorted(folders) if not name.startswith("."))
        folders[:] = [name for name in visible if not _same(Path(root, name), excluded)]
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


def _same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


class Outbox:
    """Writes into one folder, and never over a picture of the batch, by whatever name or link it is reached."""

    def __init__(self, folder: Path, inputs: Sequence[Path]) -> None:
        self.folder = folder
        self._inputs = {identity for path in inputs for identity in _identities(path)}
        self._written: set[Path] = set()

    def claim(self, name: str) -> None:
        """Reserve a name. Raises `FileExistsError` when it is an input or was claimed before."""
        path = self.folder / name
        if _identities(path) & self._inputs:
            raise FileExistsError(None, "the result would overwrite a picture that is read")
        if path in self._written:
            raise FileExistsError(None, "another picture of this batch has the same name")
        self._written.add(path)

    def write(self, name: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a claimed name whole, its folders made on the way. Raises `OSError`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, data, mode=mode)

    def holds(self, name: str) -> bool:
        return (self.folder / name).exists()

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


def _identities(path: Path) -> set[tuple[int, int]]:
    """Device and inode of the file, and of the link that leads to it."""
    try:
        return {(status.st_dev, status.st_ino) for status in (path.lstat(), path.stat())}
    except OSError:
        return set()
