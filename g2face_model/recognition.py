"""Photograph and mesh -> an embedding that tells people apart, by several recognisers of different families.

All recognisers are compared by cosine similarity. Their thresholds were measured on photographs of several hundred
people by `python -m g2face_model.evaluation.calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from g2face_model.alignment import Matrix, square_matrix, transform, warp
from g2face_model.errors import WeightsError
from g2face_model.landmarks import sixty_eight
from g2face_model.networks.dlib_resnet import DlibResNet
from g2face_model.networks.graph import GraphNetwork
from g2face_model.types import FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

Align = Callable[[FaceMesh, int], Matrix]  # mesh, size of the crop in px -> photograph px to crop px
Template = NDArray[np.float64]  # (K, 2), positions in a crop of side 1


class Recogniser(Protocol):
    """Tells whether two faces show one person.

    `family` names where its weights come from: recognisers of one family tend to fail together. `threshold` is the
    similarity that 0.1 % of pairs of different people exceed, `threshold_far_1` the one that 1 % exceed.
    """

    name: str
    family: str
    size: int
    threshold: float
    threshold_far_1: float

    def crop(self, image: Image, mesh: FaceMesh) -> Image:
        """The aligned face (size, size, 3) uint8 RGB as this recogniser wants it."""
        ...

    def embed(self, image: Image, mesh: FaceMesh) -> Floats:
        """(D,) float32 unit vector."""
        ...


def similarity(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine similarity in [-1, 1] of two embeddings of one recogniser; higher is more alike."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(first @ second / max(math.sqrt((first @ first) * (second @ second)), 1e-12))


# The 51 inner points of dlib's mean face (dlib/image_transforms/interpolation.h), less brows and lower lip: the points
# that dlib aligns its 150 px chips by. Index in the 68-point layout, then x and y in an unpadded crop of side 1.
_DLIB_FACE: tuple[tuple[int, float, float], ...] = (
    (27, 0.490127, 0.203352), (28, 0.490127, 0.307009), (29, 0.490127, 0.409805), (30, 0.490127, 0.515625),
    (31, 0.36688, 0.587326), (32, 0.426036, 0.609345), (33, 0.490127, 0.628106), (34, 0.554217, 0.609345),
    (35, 0.613373, 0.587326), (36, 0.121737, 0.216423), (37, 0.187122, 0.178758), (38, 0.265825, 0.179852),
    (39, 0.334606, 0.231733), (40, 0.260918, 0.245099), (41, 0.182743, 0.244077), (42, 0.645647, 0.231733),
    (43, 0.714428, 0.179852), (44, 0.793132, 0.178758), (45, 0.858516, 0.216423), (46, 0.79751, 0.244077),
    (47, 0.719335, 0.245099), (48, 0.254149, 0.780233), (49, 0.340985, 0.745405), (50, 0.428858, 0.727388),
    (51, 0.490127, 0.742578), (52, 0.551395, 0.727388), (53, 0.639268, 0.745405), (54, 0.726104, 0.780233),
    (60, 0.290379, 0.784792), (61, 0.428096, 0.778746), (62, 0.490127, 0.785343), (63, 0.552157, 0.778746),
    (64, 0.689874, 0.784792),
)  # fmt: skip
_DLIB_PADDING = 0.25
# Eyes, nose tip and corners of the mouth in the 112 px crop that ArcFace (Deng et al., 2019) made customary.
ARCFACE_TEMPLATE: Template = (
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112
)


def align_dlib(mesh: FaceMesh, size: int) -> Matrix:
    """dlib's chip: the inner points onto its mean face, a quarter of padding on each side."""
    index, template = np.array([point[0] for point in _DLIB_FACE]), np.array([point[1:] for point in _DLIB_FACE])
    template = (template + _DLIB_PADDING) / (1 + 2 * _DLIB_PADDING)
    return fit_similarity(sixty_eight(mesh).points[index], template * size - 0.5)


def align_arcface(mesh: FaceMesh, size: int, *, template: Template = ARCFACE_TEMPLATE) -> Matrix:
    """Five points (eye centres, nose tip, mouth corners) onto a template given for a crop of side 1."""
    points = sixty_eight(mesh).points
    nose = mesh.points[[1, 4], :2].mean(axis=0)
    five = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), nose, points[48], points[54]]
    return fit_similarity(five, template * size)


def align_square(mesh: FaceMesh, size: int, *, margin: float = 1.2, raised: float = 0.1) -> Matrix:
    """The level square around the mesh, enlarged by `margin` and moved up by `raised` of the face's size."""
    points = mesh.points[:468, :2].astype(np.float64)
    across = points[263] - points[33]
    angle = math.atan2(across[1], across[0])
    level = transform(points, square_matrix((0, 0), 1, angle, size=1))
    low, high = level.min(axis=0), level.max(axis=0)
    side_px = max(float((high - low).max()), 1.0)
    middle = (low + high) / 2 - [0, raised * side_px]
    centre = transform([middle], square_matrix((0, 0), 1, -angle, size=1))[0]
    return square_matrix(centre, side_px * margin, angle, size=size)


def fit_similarity(source: ArrayLike, target: ArrayLike) -> Matrix:
    """The (2, 3) similarity that takes points (N, 2) closest to `target` (Umeyama, 1991; no reflection)."""
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    centred_a, centred_b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = max(float((centred_a**2).sum()), 1e-12)
    cos = (centred_a * centred_b).sum() / spread
    sin = (centred_a[:, 0] * centred_b[:, 1] - centred_a[:, 1] * centred_b[:, 0]).sum() / spread
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, b.mean(axis=0) - linear @ a.mean(axis=0)])


@dataclass(frozen=True, slots=True)
class _Pretrained:
    """How one pretrained network is fed, and what was measured of it."""

    family: str
    size: int
    align: Align
    prepare: Callable[[Tensor], Tensor]  # RGB in 0..1 -> what the network was trained on
    threshold: float
    threshold_far_1: float


def caffe_levels(faces: Tensor) -> Tensor:
    """BGR in 0..255 less the channel means of ImageNet, as Caffe's models are fed."""
    mean = torch.tensor([103.939, 116.779, 123.68], dtype=faces.dtype, device=faces.device)
    return faces.flip(1) * 255.0 - mean.reshape(1, 3, 1, 1)


def _levels(faces: Tensor) -> Tensor:
    """RGB in 0..255; the network normalises."""
    return faces * 255.0


# Measured by `python -m g2face_model.evaluation.calibration` on 50 genuine pairs (neutral, smiling, one session) and
# all pairs of 716 people: TAR at FAR 0.1 % is 100 % for dlib and faceres and 98 % for mobileface, rank-1 the same. On
# ten pairs from different sessions, found with dlib's help, faceres accepts all at that rate and mobileface five.
# Tried and left out: "mobilefacenet" of the same package, which gives everyone almost the same vector (cosine 0.999)
# and accepts none of the ten even when whitened, and "faceres-deep", which is of faceres' family and weaker.
_PRETRAINED: dict[str, _Pretrained] = {
    "dlib": _Pretrained("dlib", 150, align_dlib, _levels, threshold=0.928, threshold_far_1=0.909),
    "faceres": _Pretrained("hse", 224, align_square, caffe_levels, threshold=0.637, threshold_far_1=0.572),
    "mobileface": _Pretrained("mobileface", 112, align_arcface, _levels, threshold=0.487, threshold_far_1=0.381),
}
RECOGNISERS = tuple(_PRETRAINED)


class TorchRecogniser:
    """A pretrained recogniser in torch, so that its embedding can also be a training loss."""

    def __init__(self, name: str, network: nn.Module, *, spec: _Pretrained) -> None:
        self.name = name
        self.family = spec.family
        self.size = spec.size
        self.threshold = spec.threshold
        self.threshold_far_1 = spec.threshold_far_1
        self.network = network.eval().requires_grad_(False)
        self._spec = spec

    def matrix(self, mesh: FaceMesh) -> Matrix:
        """Similarity (2, 3) photograph px -> crop px."""
        return self._spec.align(mesh, self.size)

    def crop(self, image: Image, mesh: FaceMesh) -> Image:
        return warp(image, self.matrix(mesh), (self.size, self.size))

    def embed(self, image: Image, mesh: FaceMesh) -> Floats:
        vector: Floats = self.embed_many([self.crop(image, mesh)])[0]
        return vector

    def embed_many(self, crops: Sequence[Image]) -> Floats:
        """Crops as `crop` makes them -> (N, D) float32 unit vectors."""
        with torch.inference_mode():
            faces = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # channels last already
            return np.asarray(self.embed_crops(faces.to(torch.float32) / 255.0).numpy(), np.float32)

    def embed_crops(self, faces: Tensor) -> Tensor:
        """Differentiable: (N, 3, size, size) RGB in 0..1 -> (N, D) unit vectors."""
        prepared = self._spec.prepare(faces).contiguous(memory_format=torch.channels_last)
        result = self.network(prepared)
        return F.normalize(result["embedding"] if isinstance(result, dict) else result, dim=1)


def load_recognisers(store: WeightStore, names: Iterable[str] = RECOGNISERS) -> tuple[TorchRecogniser, ...]:
    """The named recognisers. Raises WeightsError for an unknown name or weights that are not there."""
    return tuple(_load(store, name) for name in names)


def _load(store: WeightStore, name: str) -> TorchRecogniser:
    if name not in _PRETRAINED:
        raise WeightsError(f"there is no recogniser {name!r}; known: {', '.join(_PRETRAINED)}")
    tensors = store.tensors(name)
    network: nn.Module
    if name == "dlib":
        network = DlibResNet()
        network.load_state_dict(tensors)
    else:
        network = GraphNetwork(store.metadata(name)["graph"], tensors)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchRecogniser(name, network, spec=_PRETRAINED[name])


@dataclass(frozen=True, slots=True)
class OnnxSpec:
    """A recogniser of the user's own: an ONNX file with one image input (N, 3, size, size), embedding as first output.

    The network is fed (RGB in 0..255 - mean) / std, in `colours` order. `template` holds eye centres, nose tip and
    mouth corners (5, 2) in a crop of side 1. Thresholds as `Recogniser` defines them.
    """

    name: str
    path: Path
    threshold: float
    threshold_far_1: float
    size: int = 112
    mean: float = 127.5
    std: float = 127.5
    colours: str = "RGB"
    family: str = "onnx"
    template: tuple[tuple[float, float], ...] = tuple((float(x), float(y)) for x, y in ARCFACE_TEMPLATE)


class OnnxRecogniser:
    """Runs an `OnnxSpec`, for instance ArcFace or AdaFace, which cannot be shipped here. Not differentiable.

    Raises WeightsError when the file cannot be read or is not such a network.
    """

    def __init__(self, spec: OnnxSpec, *, threads: int = 1) -> None:
        if spec.colours not in ("RGB", "BGR"):
            raise WeightsError(f"recogniser {spec.name!r}: colours must be RGB or BGR")
        self.name = spec.name
        self.family = spec.family
        self.size = spec.size
        self.threshold = spec.threshold
        self.threshold_far_1 = spec.threshold_far_1
        self._spec = spec
        self._template = np.array(spec.template, np.float64)
        self._session = _open_onnx(spec, threads)
        self._input: str = self._session.get_inputs()[0].name

    def crop(self, image: Image, mesh: FaceMesh) -> Image:
        return warp(image, align_arcface(mesh, self.size, template=self._template), (self.size, self.size))

    def embed(self, image: Image, mesh: FaceMesh) -> Floats:
        vector: Floats = self.embed_many([self.crop(image, mesh)])[0]
        return vector

    def embed_many(self, crops: Sequence[Image]) -> Floats:
        """Crops as `crop` makes them -> (N, D) float32 unit vectors."""
        pixels = np.stack(crops).astype(np.float32)
        if self._spec.colours == "BGR":
            pixels = pixels[..., ::-1]
        prepared = (pixels.transpose(0, 3, 1, 2) - self._spec.mean) / self._spec.std
        feed = {self._input: np.ascontiguousarray(prepared, dtype=np.float32)}
        raw = np.asarray(self._session.run(None, feed)[0], np.float32).reshape(len(crops), -1)
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12), np.float32)


def _open_onnx(spec: OnnxSpec, threads: int) -> Any:
    import onnxruntime as ort  # type: ignore[import-untyped]
    from onnxruntime.capi import onnxruntime_pybind11_state as faults  # type: ignore[import-untyped]

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores are shared
    try:
        return ort.InferenceSession(spec.path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError:
        raise WeightsError(f"recogniser {spec.name!r}: its ONNX file cannot be read") from None
    except (faults.Fail, faults.InvalidProtobuf, faults.InvalidGraph, faults.InvalidArgument, faults.NotImplemented):
        raise WeightsError(f"recogniser {spec.name!r}: its file is not a usable ONNX network") from None
