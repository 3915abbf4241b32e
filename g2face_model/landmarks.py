"""Photograph and box -> dense mesh and the 68-point layout."""

from __future__ import annotations

import math
import pickle
import threading
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]
from numpy.typing import NDArray

from g2face_model.alignment import Matrix, compose, invert, scale_of, square_matrix, transform, warp
from g2face_model.errors import WeightsError
from g2face_model.types import Box, FaceMesh, Floats, Image, Landmarks

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

Surface = NDArray[np.float64]  # points (N, 3) px

# Mesh vertex for each of the 68 iBUG points, in iBUG order; left and right as seen in the picture.
_JAW = (127, 234, 93, 132, 172, 136, 149, 176, 152, 400, 378, 365, 397, 361, 323, 454, 356)  # left ear to right ear
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)  # left to right
_NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)  # down the bridge, then left to right under the tip
_LEFT_EYE = (33, 160, 158, 133, 153, 144)  # from its left corner over the upper lid
_RIGHT_EYE = (362, 385, 387, 263, 373, 380)  # the same way round
_OUTER_LIP = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)  # from the left corner over the top
_INNER_LIP = (78, 82, 13, 312, 308, 317, 14, 87)  # the same way round
_SIXTY_EIGHT = np.array(_JAW + _BROWS + _NOSE + _LEFT_EYE + _RIGHT_EYE + _OUTER_LIP + _INNER_LIP)
_MESH_SIZE, _MESH_MARGIN = 192, 1.5
_IRIS_SIZE, _IRIS_MARGIN = 64, 2.3
_FAN_SIZE, _FAN_MARGIN = 448, 2.2  # FAN looks at 2.05 times the box, moved up by an eighth
# Corners of each eye (picture left to right) and the rim that lends its mean depth to the iris.
_EYES = (
    ((33, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)),
    ((362, 263), (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)),
)
# Upright faces score logits of 20 to 28; a mesh drawn upside down or sideways onto a face scores up to 12.
_SURE = 15.0
_SETTLED = math.radians(3)  # a crop turned by less than this from level changes the mesh no more
_MAX_PASSES = 5


def sixty_eight(mesh: FaceMesh) -> Landmarks:
    """The 68 iBUG points (68, 2) float32 px picked from a mesh. The jaw follows the visible outline of the mesh."""
    return Landmarks(np.ascontiguousarray(mesh.points[_SIXTY_EIGHT, :2]))


class _Net:
    """A TensorFlow Lite network: one float32 input (1, S, S, 3) in 0..1, outputs flattened and copied."""

    def __init__(self, content: bytes, threads: int) -> None:
        self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        self._lock = threading.Lock()  # an interpreter holds one set of tensors

    def __call__(self, pixels: Image) -> list[Floats]:
        with self._lock:
            self._interpreter.set_tensor(self._input, pixels[None].astype(np.float32) / np.float32(255))
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index).reshape(-1) for index in self._outputs]


class MeshLandmarker:
    """MediaPipe's face mesh (468 points) and iris (2 x 5 points) networks.

    Reads "face_mesh.tflite" and "iris.tflite" from the store and raises its `WeightsError`. Calls from several threads
    wait for each other.
    """

    def __init__(self, store: WeightStore, *, threads: int = 1) -> None:
        self._mesh = _Net(store.file("face_mesh.tflite"), threads)
        self._iris = _Net(store.file("iris.tflite"), threads)

    def mesh(self, image: Image, box: Box) -> FaceMesh:
        """Mesh of the face in `box`, however it is turned in the plane. Always a mesh: read its `score`."""
        points, logit = self._settle(image, self._surface(image, _box_matrix(box, 0)))
        if logit < _SURE:
            turned = [self._surface(image, _box_matrix(box, quarter)) for quarter in (1, 2, 3)]
            likely = sorted(turned, key=lambda found: found[1])[-2:]
            settled = [(points, logit), *(self._settle(image, found) for found in likely)]
            points, logit = max(settled, key=lambda found: found[1])
        return self._with_irises(image, points, logit)

    def refine(self, image: Image, mesh: FaceMesh) -> FaceMesh:
        """Run again on the crop that an existing mesh gives, for instance after the pixels have changed."""
        return self._with_irises(image, *self._surface(image, mesh_matrix(mesh.points)))

    def _settle(self, image: Image, found: tuple[Surface, float]) -> tuple[Surface, float]:
        """Repeat on the mesh's own box until that box is level with the crop it was found in."""
        matrix: Matrix | None = None
        for _ in range(_MAX_PASSES):
            previous, matrix = matrix, mesh_matrix(found[0])
            if previous is not None and abs(_turn(previous, matrix)) < _SETTLED:
                break
            found = self._surface(image, matrix)
        return found

    def _surface(self, image: Image, matrix: Matrix) -> tuple[Surface, float]:
        """(468, 3) px and the logit of "this is a face", from one crop."""
        pixels = warp(image, matrix, (_MESH_SIZE, _MESH_SIZE), border=cv2.BORDER_REPLICATE)
        flat, flag = self._mesh(pixels)
        return _to_photograph(flat.reshape(-1, 3), matrix), float(flag[0])

    def _with_irises(self, image: Image, points: Surface, logit: float) -> FaceMesh:
        irises = [self._iris_points(image, points, eye) for eye in (0, 1)]
        return FaceMesh(points=np.concatenate([points, *irises]).astype(np.float32), score=1 / (1 + math.exp(-logit)))

    def _iris_points(self, image: Image, points: Surface, eye: int) -> Surface:
        """(5, 3) px: centre, then the rim's nasal, upper, temporal and lower point. The network knows the eye on the
        left of the picture, so the other is mirrored."""
        corners, rim = _EYES[eye]
        start, end = points[corners[0], :2], points[corners[1], :2]
        across = end - start
        side = max(math.hypot(*across), 1.0) * _IRIS_MARGIN
        matrix = square_matrix((start + end) / 2, side, math.atan2(across[1], across[0]), size=_IRIS_SIZE)
        if eye == 1:
            matrix = compose(np.array([[-1.0, 0.0, _IRIS_SIZE - 1], [0.0, 1.0, 0.0]]), matrix)
        pixels = warp(image, matrix, (_IRIS_SIZE, _IRIS_SIZE), border=cv2.BORDER_REPLICATE)
        iris = _to_photograph(self._iris(pixels)[1].reshape(5, 3), matrix)
        iris[:, 2] = points[list(rim), 2].mean()
        return iris


def _to_photograph(points: Floats, matrix: Matrix) -> Surface:
    """Crop points (N, 3), counted from the crop's corner, -> photograph px; depth on the scale of x."""
    planar = transform(points[:, :2] - 0.5, invert(matrix))
    return np.column_stack([planar, points[:, 2] / scale_of(matrix)])


def _box_matrix(box: Box, quarter: int) -> Matrix:
    """The square crop around a box, turned clockwise by a number of quarters."""
    centre = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    side_px = max(box.width, box.height, 1.0) * _MESH_MARGIN
    return square_matrix(centre, side_px, quarter * math.pi / 2, size=_MESH_SIZE)


def mesh_matrix(points: NDArray[np.floating[Any]], *, size: int = _MESH_SIZE, margin: float = _MESH_MARGIN) -> Matrix:
    """The square crop around a mesh, turned so that the outer corners of the eyes are level."""
    planar = points[:468, :2].astype(np.float64)
    across = planar[263] - planar[33]
    angle = math.atan2(across[1], across[0])
    level = transform(planar, square_matrix((0, 0), 1, angle, size=1))
    low, high = level.min(axis=0), level.max(axis=0)
    centre = transform([(low + high) / 2], square_matrix((0, 0), 1, -angle, size=1))[0]
    return square_matrix(centre, max(float((high - low).max()), 1.0) * margin, angle, size=size)


def _turn(before: Matrix, after: Matrix) -> float:
    """Angle in radians between the crops of two similarities."""
    linear = after[:, :2] @ before[:, :2].T
    return math.atan2(linear[1, 0], linear[0, 0])


class LandmarkBackend(Protocol):
    """What places the 68 points. Raises `WeightsError` when its weights cannot be had."""

    def landmarks(self, image: Image, box: Box, mesh: FaceMesh) -> Landmarks: ...


class MeshBackend:
    """The 68 points of the mesh itself."""

    def landmarks(self, image: Image, box: Box, mesh: FaceMesh) -> Landmarks:  # noqa: ARG002
        return sixty_eight(mesh)


class FanBackend:
    """The 68 points of FAN (Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment
    problem?", 2017) through the optional package face-alignment.

    The package keeps its weights in the checkpoints folder of torch.hub and downloads them on first use; they are not
    part of the weight store. Raises `WeightsError` when the package or its weights cannot be had.
    """

    def __init__(self, *, device: str = "cpu") -> None:
        self._network = _load_fan(device)
        self._lock = threading.Lock()

    def landmarks(self, image: Image, box: Box, mesh: FaceMesh) -> Landmarks:  # noqa: ARG002
        """(68, 2) float32 px. FAN was trained on upright faces, so it sees a crop that the mesh has levelled."""
        matrix = mesh_matrix(mesh.points, size=_FAN_SIZE, margin=_FAN_MARGIN)
        level = transform(mesh.points[:468, :2], matrix)
        rectangle = [*level.min(axis=0).tolist(), *level.max(axis=0).tolist()]
        pixels = warp(image, matrix, (_FAN_SIZE, _FAN_SIZE), border=cv2.BORDER_REPLICATE)
        with self._lock:
            found = self._network.get_landmarks_from_image(pixels, detected_faces=[rectangle])
        return Landmarks(transform(found[0], invert(matrix)).astype(np.float32))


def _load_fan(device: str) -> Any:
    """The package's 2D network without its detector and without compilation, which would call for a C++ compiler."""
    try:
        import face_alignment  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise WeightsError('landmarks "fan": face-alignment is not installed; add the extra "fan"') from None
    try:
        return face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
        )
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError):
        # URLError is an OSError; a truncated or foreign file fails in many ways inside torch.load and load_state_dict.
        raise WeightsError(
            'landmarks "fan": the weights of face-alignment could be neither loaded nor downloaded; put '
            '2DFAN4-11f355bf06.pth.tar into the checkpoints folder of torch.hub, or choose landmarks "mesh"'
        ) from None
