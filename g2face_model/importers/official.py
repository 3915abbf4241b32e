"""The files of G2Face's authors (.pth) -> named tensors, each name and shape compared with the networks'.

Nothing in a file is run: one that wants more than tensors and plain values to be loaded is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from g2face_model.errors import WeightsError
from g2face_model.networks.official.anonymizer import AnonymousNet
from g2face_model.networks.official.arcface import ArcFace
from g2face_model.networks.official.coefficients import Coefficients
from g2face_model.networks.official.extractor import HidingExtractor
from g2face_model.networks.official.identity import Map2Id, StyleMlp

G2FACE: Mapping[str, type[nn.Module]] = {
    "anonymous_net": AnonymousNet,
    "style_mlp": StyleMlp,
    "map_2_id": Map2Id,
    "hiding_extractor": HidingExtractor,
}
"""The modules of the checkpoint that anonymizing and recovering need."""
_RECON = "net_recon"
_NAMED = 3  # names in a message
_COUNTER = ".num_batches_tracked"  # means nothing outside of training, and old files lack it


@dataclass(frozen=True, slots=True)
class Imported:
    """Tensors by name, on the CPU, and what else the file held."""

    tensors: Mapping[str, Tensor]
    passed_over: tuple[str, ...] = ()


def import_g2face(data: bytes) -> Imported:
    """`G2Face.pth` -> its four modules, names prefixed with the module's. Raises WeightsError when one does not fit."""
    return _modules(_opened(data), G2FACE, prefix=lambda module: f"{module}.")


def import_arcface(data: bytes) -> Imported:
    """`ms1mv3_arcface_r50.pth` -> the network's tensors. Raises WeightsError when they do not fit."""
    return _modules({"arcface": _opened(data)}, {"arcface": ArcFace}, prefix=lambda _: "")


def import_coefficients(data: bytes) -> Imported:
    """`epoch_20.pth` of Deep3DFaceRecon_pytorch -> its `net_recon`. Raises WeightsError when it does not fit."""
    return _modules(_opened(data), {_RECON: Coefficients}, prefix=lambda _: "")


def _opened(data: bytes) -> Mapping[str, Any]:
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError):
        raise WeightsError("it is no checkpoint, or wants more than tensors to be loaded") from None
    if not isinstance(content, Mapping):
        raise WeightsError("it is no checkpoint of named tensors")
    return content


def _modules(
    content: Mapping[str, Any], networks: Mapping[str, type[nn.Module]], *, prefix: Callable[[str], str]
) -> Imported:
    faults = [fault for name, network in networks.items() for fault in _faults(name, content.get(name), network)]
    if faults:
        raise WeightsError("; ".join(faults))
    tensors = {prefix(module) + name: _plain(tensor) for module in networks for name, tensor in content[module].items()}
    return Imported(tensors, tuple(name for name in content if name not in networks))


def _faults(module: str, found: object, network: type[nn.Module]) -> Iterator[str]:
    """One line for every way in which a module's tensors are not the network's."""
    if not isinstance(found, Mapping):
        yield f"{module} is missing"
        return
    with torch.device("meta"):
        wanted = network().state_dict()
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    unexpected = [str(name) for name in found if name not in wanted]
    if missing:
        yield f"{module} lacks {_listed(missing)}"
    if unexpected:
        yield f"{module} holds {_listed(unexpected)}, which the network has not"
    unfit = [f"{name} ({fault})" for name in wanted if name in found and (fault := _unfit(found[name], wanted[name]))]
    if unfit:
        yield f"{module} has the wrong {_listed(unfit)}"


def _unfit(found: object, wanted: Tensor) -> str | None:
    """Why a value cannot take a tensor's place, or None."""
    if not isinstance(found, Tensor):
        return "no tensor"
    if found.shape != wanted.shape:
        return f"{tuple(found.shape)} instead of {tuple(wanted.shape)}"
    if found.is_floating_point() != wanted.is_floating_point():
        return f"{found.dtype} instead of {wanted.dtype}"
    return None if bool(torch.isfinite(found).all()) else "not all of it numbers"


def _listed(names: Iterable[str]) -> str:
    first, *others = names
    shown = [first, *others[: _NAMED - 1]]
    rest = len(others) + 1 - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _plain(tensor: Tensor) -> Tensor:
    """Single precision, and memory of its own."""
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().clone().contiguous()
