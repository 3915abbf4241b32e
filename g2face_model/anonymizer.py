"""Anonymizer.anonymize(image, seeds) -> AnonymizedImage: the one orchestration of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from g2face_model import alignment, compositing, fusion
from g2face_model.attributes import AttributeEstimator
from g2face_model.compositing import Patch
from g2face_model.config import MODEL_VERSION, ModelConfig
from g2face_model.detection import FaceDetector
from g2face_model.errors import VerificationError
from g2face_model.geometry import GeometryModel
from g2face_model.identity import IdentityModel, Looks, Search, VirtualIdentity, is_colourful, tones
from g2face_model.landmarks import LandmarkBackend, MeshLandmarker, sixty_eight
from g2face_model.parsing import FACE, GLASSES, FaceParser
from g2face_model.rendering import Renderer
from g2face_model.types import (
    AnonymizedFace,
    AnonymizedImage,
    Box,
    Crop,
    Face,
    FaceMesh,
    Floats,
    Image,
    Landmarks,
    Verdict,
)
from g2face_model.verification import Fingerprint, Gate

Seeds = Callable[[int], bytes]
_MIN_CROP_PX, _MAX_CROP_PX = 128, 768
_FOREHEAD = 0.25  # how far the face is replaced above the mesh, towards the hairline, as a share of its upper height
_CORRECTIONS, _CORRECTION_GAIN = 1, np.float32(0.8)


@dataclass(frozen=True, slots=True)
class Parts:
    """The assembled pieces an Anonymizer works with; `build.py` makes them."""

    detector: FaceDetector
    landmarker: MeshLandmarker
    landmarks: LandmarkBackend
    geometry: GeometryModel
    attributes: AttributeEstimator
    identities: IdentityModel
    renderer: Renderer
    parser: FaceParser
    gate: Gate


@dataclass(frozen=True, slots=True)
class _Original:
    """A face as it was: the face, its colours (S, S, 3) in 0..1, what may be replaced (S, S), and what the gate
    measured of it."""

    face: Face
    mesh: FaceMesh  # in px of the crop
    colours: Floats
    replaceable: Floats
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A generated face: colours and what of it is face (G, G, 4) in 0..1, and its mesh in the same px."""

    layers: Floats
    mesh: FaceMesh


class Anonymizer:
    """Replaces every face of a photograph. Not for concurrent use; make one per thread."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        self._parts, self._config = parts, config

    def anonymize(self, image: Image, seeds: Seeds) -> AnonymizedImage:
        """Give every face of `image` (H, W, 3) the virtual identity that `seeds(index)` (32 bytes) draws.

        Faces are numbered from the largest. A face that fails the gate is covered; with `on_failure` "refuse" the
        photograph is refused instead, with VerificationError. No face: the image as it is, and no faces.
        """
        result = image.copy()
        taken = np.zeros(image.shape[:2], bool)
        faces = []
        for index, box in enumerate(self._parts.detector.detect(image)):
            patch, verdict, landmarks = self._replace(image, box, index, seed=seeds(index))
            if self._config.on_failure == "refuse" and not verdict.passed:
                raise VerificationError(f"face {index}: {', '.join(verdict.reasons)}")
            patch = patch.without(taken)
            patch.apply(result)
            taken[patch.window] |= patch.mask
            faces.append(AnonymizedFace(index, box, landmarks, patch.rectangle, patch.mask, verdict))
        return AnonymizedImage(result, tuple(faces), MODEL_VERSION)

    def _replace(self, image: Image, box: Box, index: int, *, seed: bytes) -> tuple[Patch, Verdict, Landmarks]:
        mesh = self._parts.landmarker.mesh(image, box)
        face = self._face(image, box, mesh, index=index)
        reason = self._hopeless(face)
        if reason is None:
            original = self._examine(image, face)
            patch, verdict = self._best_attempt(image, original, seed)
            if verdict.passed:
                return patch, verdict, face.landmarks
        else:
            verdict = Verdict("covered", reasons=(reason,))
        noise = np.random.default_rng(int.from_bytes(hashlib.sha256(b"cover" + seed).digest(), "big"))
        known = mesh if mesh.score >= self._config.gate.min_mesh_score else None
        return compositing.cover(image, box, known, noise=noise), verdict, face.landmarks

    def _face(self, image: Image, box: Box, mesh: FaceMesh, *, index: int) -> Face:
        points = sixty_eight(mesh).points
        size = int(np.clip(round(alignment.crop_size(points)), _MIN_CROP_PX, _MAX_CROP_PX))
        crop = alignment.extract(image, points, size)
        landmarks = self._parts.landmarks.landmarks(image, box, mesh)
        expression = self._parts.gate.expression(image, mesh)
        geometry = self._parts.geometry.derive(_moved(mesh, crop), expression)
        return Face(index, box, landmarks, mesh, crop, geometry)

    def _hopeless(self, face: Face) -> str | None:
        """Why this face should not even be attempted, or None."""
        if not face.mesh.score >= self._config.gate.min_mesh_score:
            return "no landmarks"
        if min(face.box.width, face.box.height) < self._config.min_face_px:
            return "too small"
        if abs(face.geometry.angles[0]) > self._config.max_yaw_degrees:
            return "turned too far"
        return None

    def _examine(self, image: Image, face: Face) -> _Original:
        colours = face.crop.pixels.astype(np.float32) / np.float32(255)
        mesh = _moved(face.mesh, face.crop)
        parsed = self._parts.parser.parse(face.crop.pixels)
        replaceable = np.maximum(parsed[..., FACE], fusion.lens_mask(colours, mesh, parsed[..., GLASSES]))
        fingerprint = self._parts.gate.measure(image, face.mesh, face.geometry.expression)
        return _Original(face, mesh, colours, replaceable, fingerprint)

    def _best_attempt(self, image: Image, original: _Original, seed: bytes) -> tuple[Patch, Verdict]:
        """The first candidate that passes the gate with room to spare, else the one that passes most clearly, else the
        last one with its reasons."""
        search = self._search(image, original, seed)
        best: tuple[float, Patch, Verdict] | None = None
        for attempt in range(1, min(self._config.attempts, self._config.candidates) + 1):
            patch = self._fuse(image, original, search.next())
            changed = image.copy()
            patch.apply(changed)
            verdict = self._parts.gate.judge(original.fingerprint, changed, attempts=attempt)
            shortfall = self._parts.gate.shortfall(verdict)
            worst = max(shortfall.values())
            if verdict.passed and (best is None or worst < best[0]):
                best = worst, patch, verdict
            if verdict.passed and worst <= 0:
                break
            search.worry(shortfall)
        if best is None:
            return patch, verdict
        return best[1], replace(best[2], attempts=attempt)

    def _search(self, image: Image, original: _Original, seed: bytes) -> Search:
        face = original.face
        tone = tones(image, face.mesh)
        looks = Looks(self._parts.attributes.estimate(image, face.mesh), tone, is_colourful(tone))
        return self._parts.identities.search(
            seed,
            looks,
            condition=face.geometry.condition,
            embeddings=original.fingerprint.embeddings,
            candidates=self._config.candidates,
        )

    def _fuse(self, image: Image, original: _Original, identity: VirtualIdentity) -> Patch:
        """Render a person who does not exist, bring them into the original's place, and paste."""
        size = original.face.crop.size
        pixels = self._parts.renderer.render(identity.styles, size=size)
        mesh = self._parts.landmarker.refine(pixels, _scaled(original.mesh, len(pixels) / size))
        pasteable = self._parts.parser.parse(pixels)[..., FACE, None]
        rendered = _Rendered(np.concatenate([pixels.astype(np.float32) / np.float32(255), pasteable], 2), mesh)
        wanted = fusion.reshape(original.mesh, _scaled(mesh, size / len(pixels)), amount=self._config.shape_change)
        aim = wanted
        for _ in range(_CORRECTIONS):
            aim = self._corrected(aim, wanted, original, *self._place(original, rendered, aim))
        colours, alpha = self._place(original, rendered, aim)
        return compositing.paste(image, colours, alpha, matrix=original.face.crop.matrix)

    def _place(self, original: _Original, rendered: _Rendered, aim: FaceMesh) -> tuple[Floats, Floats]:
        """The rendered face with its landmarks at `aim`, in the original's light (S, S, 3), and its mask (S, S)."""
        size, mesh = original.face.crop.size, original.mesh
        layers = fusion.deform(rendered.layers, rendered.mesh, aim, size=size)
        colours, pasteable = layers[..., :3], layers[..., 3]
        width_px = fusion.face_width(mesh)
        outline = fusion.outline_mask(mesh, size, forehead=_FOREHEAD)
        alpha = fusion.fusion_mask(original.replaceable, pasteable, outline, width_px=width_px)
        weight = np.minimum(original.replaceable, pasteable) * fusion.outline_mask(mesh, size)
        lit = fusion.relight(colours, original.colours, weight, width_px=width_px)
        return fusion.soften(lit, original.colours, weight), alpha

    def _corrected(
        self, aim: FaceMesh, wanted: FaceMesh, original: _Original, colours: Floats, alpha: Floats
    ) -> FaceMesh:
        """Where to aim so that the landmarks, as they are found in the fused face, come out where they are wanted.

        The landmarker reads texture, too: the same positions under another skin are found elsewhere.
        """
        fused = original.colours + (colours - original.colours) * alpha[..., None]
        found = self._parts.landmarker.refine(np.rint(fused * 255).astype(np.uint8), wanted)
        return replace(aim, points=aim.points + _CORRECTION_GAIN * (wanted.points - found.points))


def _moved(mesh: FaceMesh, crop: Crop) -> FaceMesh:
    """A mesh in px of the photograph -> in px of the crop."""
    planar = alignment.transform(mesh.points[:, :2], crop.matrix)
    depth = mesh.points[:, 2:] * alignment.scale_of(crop.matrix)
    return replace(mesh, points=np.concatenate([planar, depth], 1).astype(np.float32))


def _scaled(mesh: FaceMesh, ratio: float) -> FaceMesh:
    """A mesh in px of one picture -> in px of the same picture at another size."""
    points = mesh.points * np.float32(ratio)
    points[:, :2] += np.float32(0.5 * ratio - 0.5)
    return replace(mesh, points=points)
