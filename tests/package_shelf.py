"""A shelf of real package archives made on the spot, for tests that fetch with the real clients but no network."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from g2face_model.sources import Member, Part, Source
from g2face_model.weights import WeightStore

NET = np.arange(6, dtype="<f4").tobytes()
IMPORTER = """
import os, time, numpy
def convert(members):
    with open(os.environ["CONVERSIONS"], "a") as log:
        log.write("converted\\n")
    time.sleep(float(os.environ.get("PAUSE", "0")))
    if "DIE" in os.environ:
        os.kill(os.getpid(), 9)
    return {"weight": numpy.frombuffer(members["net.bin"], "<f4").reshape(2, 3)}, {"graph": "{}"}
"""


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
    return pin("wheel", package, path)


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
    return pin("sdist", package, path)


def build_tarball(shelf: Path, package: str, contents: Mapping[str, bytes]) -> Source:
    """A minimal npm package PACKAGE 1.0.0 and its Source."""
    manifest = f'{{"name": "{package}", "version": "1.0.0"}}'.encode()
    files = {"package/package.json": manifest, **contents}
    return pin("tarball", package, _tar(shelf / f"{package}-1.0.0.tgz", files), version="1.0.0")


def _tar(path: Path, contents: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def pin(archive: str, package: str, path: Path, *, version: str = "1.0") -> Source:
    """The Source that pins an archive lying at `path`."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(archive, package, version, sha256=sha256, megabytes=1, licence="MIT")  # type: ignore[arg-type]


def member(path: str, data: bytes) -> Member:
    return Member(path, hashlib.sha256(data).hexdigest())


class Shelf:
    """One wheel in `folder` with two parts: "plain.bin", kept as it is, and "net", converted by the module beside it.

    The same in every process that is given the folder; `stock` puts the wheel and the module there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.log = folder / "conversions"
        self.module = folder / "shelf_importer.py"

    @property
    def parts(self) -> dict[str, Part]:
        source = pin("wheel", "parcel", self.folder / "parcel-1.0-py3-none-any.whl")
        plain = Part("plain.bin", "a file", source, (member("d/plain.bin", b"plain"),))
        net = Part("net", "tensors", source, (member("d/net.bin", NET),), importer="shelf_importer:convert")
        return {"plain.bin": plain, "net": net}

    def stock(self) -> Shelf:
        self.module.write_text(IMPORTER)
        build_wheel(self.folder, "parcel", {"d/plain.bin": b"plain", "d/net.bin": NET})
        return self

    def store(self, **changed: Part) -> WeightStore:
        return WeightStore(self.cache, parts={**self.parts, **changed}, trained=self.folder / "trained")

    def pulled(self) -> WeightStore:
        store = self.store()
        store.pull()
        return store

    def plain_path(self) -> Path:
        return next(self.cache.rglob("plain.bin"))

    def conversions(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def start_pull(self, **environment: str) -> subprocess.Popen[bytes]:
        """The same pull in a process of its own."""
        code = "import package_shelf, pathlib, sys; package_shelf.Shelf(pathlib.Path(sys.argv[1])).store().pull()"
        tests = Path(__file__).parent
        path = os.pathsep.join(map(str, [self.folder, tests, tests.parent]))
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        return subprocess.Popen([sys.executable, "-c", code, str(self.folder)], env=environment)
