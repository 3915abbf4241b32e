"""Anonymizer.anonymize(image, seeds) -> AnonymizedImage: the one orchestration of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np

from g2face_model import alignment, compositing, fusion, light, masks
from g2face_model.attributes import AttributeEstimator
from g2face_model.compositing import Patch
from g2face_model.config import VERSIONS, ModelConfig
from g2face_model.detection import FaceDetector
from g2face_model.errors import VerificationError
from g2face_model.flaws import noticed
from g2face_model.generation import FaceGenerator, Subject
from g2face_model.geometry import GeometryModel
from g2face_model.identity import Looks, is_colourful, looks_gap, tones
from g2face_model.landmarks import LandmarkBackend, MeshLandmarker, sixty_eight
from g2face_model.parsing import FACE, GLASSES, FaceParser
from g2face_model.types import (
    AnonymizedFace,
    AnonymizedImage,
    Box,
    Face,
    FaceMesh,
    Floats,
    Image,
    Verdict,
)
from g2face_model.verification import Fingerprint, Gate

Seeds = Callable[[int], bytes]
Propose = Callable[[Subject], Iterable[object]]
Prefer = Callable[[Mapping[str, Floats]], float]
_MIN_CROP_PX, _MAX_CROP_PX = 128, 768
_FOREHEAD = 0.25  # how far the face is replaced above the mesh, towards the hairline, as a share of its upper height
_DRAFT_PX = 224  # the landmarks are corrected once, on a draft: the landmarker itself looks at 192 px
_CORRECTION_GAIN = np.float32(0.8)
_SURE = 0.5  # of the parser's probability
_NOTICEABLE, _MOST, _SHADE = 0.01, 0.85, 0.01  # of the face, of the glasses, of the crop's side
_CLARITY = 6.0  # one step of unlikeness short of the aim weighs as much as so much implausibility
_CONTENT = 3.0  # the search ends at a face that is unlike enough and no odder than this


@dataclass(frozen=True, slots=True)
class Parts:
    """The assembled pieces an Anonymizer works with; `build.py` makes them."""

    detector: FaceDetector
    landmarker: MeshLandmarker
    landmarks: LandmarkBackend
    geometry: GeometryModel
    attributes: AttributeEstimator
    generator: FaceGenerator[Any]
    parser: FaceParser
    gate: Gate


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A face to be painted over: its mesh in px of the crop, colours (S, S, 3) in 0..1, where its skin is seen (S, S),
    and where frames and dark lenses are in front of it (S, S)."""

    mesh: FaceMesh
    colours: Floats
    skin: Floats
    glasses: Floats
    keeps_glasses: bool = True

    @property
    def replaceable(self) -> Floats:
        if self.keeps_glasses:
            return self.skin
        width = 2 * max(1, round(_SHADE * self.size)) + 1  # with their shadows
        grown = cv2.dilate(self.glasses, np.ones((width, width), np.uint8))
        return np.maximum(self.skin, np.asarray(grown, np.float32))

    @property
    def kept(self) -> Floats:
        return self.glasses if self.keeps_glasses else np.zeros_like(self.glasses)

    @property
    def size(self) -> int:
        return len(self.colours)

    def resized(self, size: int) -> _Canvas:
        colours, skin, glasses = (
            np.asarray(cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA), np.float32)
            for layer in (self.colours, self.skin, self.glasses)
        )
        return _Canvas(alignment.resized(self.mesh, size / self.size), colours, skin, glasses)


@dataclass(frozen=True, slots=True)
class _Original:
    """A face as it was: the canvas at full size and as a smaller draft, its looks, and what the gate measured of it."""

    face: Face
    canvas: _Canvas
    draft: _Canvas
    looks: Looks
    fingerprint: Fingerprint

    @property
    def subject(self) -> Subject:
        return Subject(self.face, self.looks, self.fingerprint.embeddings)

    @property
    def glasses_come_off(self) -> bool:
        """Whether there are glasses, and none that reach so far beyond the face that half of them would stay."""
        glasses, skin = self.draft.glasses > _SURE, self.draft.skin > _SURE
        outline = masks.outline_mask(self.draft.mesh, self.draft.size)
        inside = (glasses & (outline > _SURE)).sum()
        return bool(glasses.sum() > _NOTICEABLE * skin.sum() and inside > _MOST * glasses.sum())

    def without_glasses(self) -> _Original:
        canvas, draft = (replace(canvas, keeps_glasses=False) for canvas in (self.canvas, self.draft))
        return replace(self, canvas=canvas, draft=draft)


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A generated face: colours and what of it is face (G, G, 4) in 0..1, and its mesh in the same px."""

    layers: Floats
    mesh: FaceMesh


class Finish(Protocol):
    """What else is done to the patch of a new face of the photograph `image` before the gate judges it; `embeddings`
    are the original's. Only pixels under the patch's mask may change."""

    def __call__(self, image: Image, patch: Patch, face: Face, embeddings: Mapping[str, Floats]) -> Patch: ...


def _as_it_is(image: Image, patch: Patch, face: Face, embeddings: Mapping[str, Floats]) -> Patch:  # noqa: ARG001
    return patch


class Anonymizer:
    """Replaces every face of a photograph. Not for concurrent use; make one per thread."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        self._parts, self._config = parts, config

    def anonymize(self, image: Image, seeds: Seeds, *, finish: Finish = _as_it_is) -> AnonymizedImage:
        """Give every face of `image` (H, W, 3) the virtual identity that `seeds(index)` (32 bytes) draws.

        Faces are numbered from the largest. A face that fails the gate is covered; with `on_failure` "refuse" the
        photograph is refused instead, with VerificationError. No face: the image as it is, and no faces.
        """
        result = image.copy()
        taken = np.zeros(image.shape[:2], bool)
        faces = []
        for index, box in enumerate(self._parts.detector.detect(image)):
            patch, verdict, face = self._replace(image, box, index, seed=seeds(index), finish=finish)
            if self._config.on_failure == "refuse" and not verdict.passed:
                raise VerificationError(f"face {index}: {', '.join(verdict.reasons)}")
            patch = patch.without(taken)
            patch.apply(result)
            taken[patch.window] |= patch.mask
            expression = face.geometry.expression
            faces.append(AnonymizedFace(index, box, face.landmarks, expression, patch.rectangle, patch.mask, verdict))
        return AnonymizedImage(result, tuple(faces), VERSIONS[self._config.engine])

    def draw(self, image: Image, box: Box, propose: Propose, prefer: Prefer) -> Patch | None:
        """A patch for the face in `box` of a photograph, whoever is proposed for it, and no gate: of all that are
        proposed the one whose embeddings are preferred. None where no face could be drawn."""
        face = self._face(image, box, self._parts.landmarker.mesh(image, box), index=0)
        if self._hopeless(face) is not None:
            return None
        original = self._examine(image, face)
        best: tuple[float, Patch] | None = None
        for candidate in propose(original.subject):
            patch, _ = self._fuse(image, original, candidate=candidate)
            changed = image.copy()
            patch.apply(changed)
            liking = prefer(self._parts.gate.measure_again(original.fingerprint, changed).embeddings)
            if best is None or liking > best[0]:
                best = liking, patch
        return None if best is None else best[1]

    def _replace(
        self, image: Image, box: Box, index: int, *, seed: bytes, finish: Finish
    ) -> tuple[Patch, Verdict, Face]:
        mesh = self._parts.landmarker.mesh(image, box)
        face = self._face(image, box, mesh, index=index)
        reason = self._hopeless(face)
        if reason is None:
            original = self._examine(image, face)
            patch, verdict = self._best_attempt(image, original, seed, finish)
            if verdict.passed:
                return patch, verdict, face
        else:
            verdict = Verdict("covered", reasons=(reason,))
        noise = np.random.default_rng(int.from_bytes(hashlib.sha256(b"cover" + seed).digest(), "big"))
        known = mesh if mesh.score >= self._config.gate.min_mesh_score else None
        return compositing.cover(image, box, known, noise=noise), verdict, face

    def _face(self, image: Image, box: Box, mesh: FaceMesh, *, index: int) -> Face:
        points = sixty_eight(mesh).points
        size = int(np.clip(round(alignment.crop_size(points)), _MIN_CROP_PX, _MAX_CROP_PX))
        crop = alignment.extract(image, points, size)
        landmarks = self._parts.landmarks.landmarks(image, box, mesh)
        expression = self._parts.gate.expression(image, mesh)
        geometry = self._parts.geometry.derive(alignment.into_crop(mesh, crop), expression)
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
        mesh = alignment.into_crop(face.mesh, face.crop)
        parsed = self._parts.parser.parse(face.crop.pixels)
        lens = masks.lens_mask(colours, mesh, parsed[..., GLASSES])
        glasses = np.maximum(parsed[..., GLASSES] - lens, 0)
        canvas = _Canvas(mesh, colours, np.maximum(parsed[..., FACE], lens), glasses)
        draft = canvas.resized(_DRAFT_PX) if canvas.size > _DRAFT_PX else canvas
        fingerprint = self._parts.gate.measure(image, face.mesh, face.geometry.expression)
        tone = tones(image, face.mesh)
        looks = Looks(self._parts.attributes.estimate(image, face.mesh), tone, is_colourful(tone))
        return _Original(face, canvas, draft, looks, fingerprint)

    def _best_attempt(self, image: Image, original: _Original, seed: bytes, finish: Finish) -> tuple[Patch, Verdict]:
        """The first candidate that is clearly unlike the original and plausible in its place, else the best of those
        that passed, else, after as many attempts again, the first that passes, or the last one with its reasons."""
        search = self._parts.generator.search(original.subject, seed)
        best: tuple[float, Patch, Verdict] | None = None
        for attempt in range(1, min(2 * self._config.attempts, self._config.candidates) + 1):
            patch, flaws = self._fuse(image, original, candidate=search.next())
            patch = finish(image, patch, original.face, original.fingerprint.embeddings)
            changed = image.copy()
            patch.apply(changed)
            after = self._parts.gate.measure_again(original.fingerprint, changed)
            verdict = self._parts.gate.judge(original.fingerprint, after, attempts=attempt)
            shortfall = self._parts.gate.shortfall(verdict)
            if verdict.passed:
                odd = self._implausibility(changed, after.mesh, original) + flaws
                missing = max(0.0, *shortfall.values())
                regret = odd + _CLARITY * missing
                if best is None or regret < best[0]:
                    best = regret, patch, verdict
                if missing == 0 and odd <= _CONTENT:
                    break
            if best is not None and attempt >= self._config.attempts:
                break
            search.worry(shortfall)
            if best is None and attempt >= self._config.attempts // 2 and original.glasses_come_off:
                original = original.without_glasses()  # an anonymous face without them beats none at all
        if best is None:
            return patch, verdict
        return best[1], replace(best[2], attempts=attempt)

    def _implausibility(self, changed: Image, mesh: FaceMesh, original: _Original) -> float:
        """How far the finished face is from the original's age, sex and ancestry, as they are measured."""
        found = self._parts.attributes.estimate(changed, mesh)
        return looks_gap(found, original.looks.attributes)

    def _fuse(self, image: Image, original: _Original, *, candidate: object) -> tuple[Patch, float]:
        """Render a person who does not exist, bring them into the original's place, and paste; and how much the new
        face looks out of focus, lit otherwise or strewn with hair, in units that a stranger would notice."""
        canvas = original.canvas
        pixels = self._parts.generator.render(candidate, size=canvas.size)
        mesh = self._parts.landmarker.refine(pixels, alignment.resized(canvas.mesh, len(pixels) / canvas.size))
        pasteable = self._parts.parser.parse(pixels)[..., FACE, None]
        rendered = _Rendered(np.concatenate([pixels.astype(np.float32) / np.float32(255), pasteable], 2), mesh)
        aim = self._aim(original.draft, rendered)
        colours, alpha = _place(canvas, rendered, alignment.resized(aim, canvas.size / original.draft.size))
        flaws = noticed(colours, canvas.colours, replaced=alpha, skin=canvas.skin, mesh=canvas.mesh)
        return compositing.paste(image, colours, alpha, matrix=original.face.crop.matrix), flaws

    def _aim(self, draft: _Canvas, rendered: _Rendered) -> FaceMesh:
        """Where to aim so that the landmarks, as they are found in the fused face, come out where they are wanted.

        The landmarker reads texture, too: the same positions under another skin are found elsewhere.
        """
        ratio = draft.size / len(rendered.layers)
        wanted = fusion.reshape(draft.mesh, alignment.resized(rendered.mesh, ratio), amount=self._config.shape_change)
        colours, alpha = _place(draft, rendered, wanted)
        fused = draft.colours + (colours - draft.colours) * alpha[..., None]
        found = self._parts.landmarker.refine(np.rint(fused * 255).astype(np.uint8), wanted)
        return replace(wanted, points=wanted.points + _CORRECTION_GAIN * (wanted.points - found.points))


def _place(canvas: _Canvas, rendered: _Rendered, aim: FaceMesh) -> tuple[Floats, Floats]:
    """The rendered face with its landmarks at `aim`, in the canvas's light (S, S, 3), and its mask (S, S)."""
    layers = fusion.deform(rendered.layers, rendered.mesh, aim, size=canvas.size)
    colours, pasteable = layers[..., :3], layers[..., 3]
    width_px = masks.face_width(canvas.mesh)
    outline = masks.outline_mask(canvas.mesh, canvas.size, forehead=_FOREHEAD)
    alpha = masks.fusion_mask(canvas.replaceable, pasteable, outline, glasses=canvas.kept, width_px=width_px)
    weight = np.minimum(canvas.skin, pasteable) * masks.outline_mask(canvas.mesh, canvas.size)
    skin = weight * (1 - masks.lips_mask(canvas.mesh, canvas.size))
    lit = light.relight(colours, canvas.colours, skin, width_px=width_px)
    return fusion.lay_out_mouth(light.soften(lit, canvas.colours, weight), canvas.colours, canvas.mesh), alpha
