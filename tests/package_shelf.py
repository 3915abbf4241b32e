"""A shelf of real package archives made on the spot, for tests that fetch with the real clients but no network."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from g2face_model.sources import Source


def build_wheel(shelf: Path, package: str, contents: Mapping[str, bytes]) -> Source:
    """A minimal wheel PACKAGE-1.0 with `contents`, and the Source that pins it."""
    path = shelf / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in contents.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return _source("wheel", package, path)


def build_sdist(shelf: Path, package: str, contents: Mapping[str, bytes]) -> Source:
    """A minimal source distribution PACKAGE-1.0 that needs nothing to build its metadata, and its Source."""
    backend = (
        "import pathlib\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        f"    info = pathlib.Path(folder, '{package}-1.0.dist-info')\n"
        "    info.mkdir()\n"
        f"    (info / 'METADATA').write_text('Metadata-Version: 2.1\\nName: {package}\\nVersion: 1.0\\n')\n"
        "    return info.name\n"
    )
    files = {
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": backend.encode(),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        **contents,
    }
    path = _tar(shelf / f"{package}-1.0.tar.gz", {f"{package}-1.0/{name}": data for name, data in files.items()})
    return _source("sdist", package, path)


def build_tarball(shelf: Path, package: str, contents: Mapping[str, bytes]) -> Source:
    """A minimal npm package PACKAGE 1.0.0 and its Source."""
    manifest = f'{{"name": "{package}", "version": "1.0.0"}}'.encode()
    files = {"package/package.json": manifest, **contents}
    return _source("tarball", package, _tar(shelf / f"{package}-1.0.0.tgz", files), version="1.0.0")


def _tar(path: Path, contents: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def _source(archive: str, package: str, path: Path, *, version: str = "1.0") -> Source:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(archive, package, version, sha256=sha256, megabytes=1, licence="MIT")  # type: ignore[arg-type]
