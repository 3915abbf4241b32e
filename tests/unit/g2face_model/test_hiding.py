"""Symbols go into the pixels of a real face and come back from its copies, with the committed weights."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from sample_portraits import portrait

from g2face_model import images
from g2face_model.compositing import Patch
from g2face_model.detection import FaceDetector
from g2face_model.errors import RecoveryError
from g2face_model.hidden_payload import SYMBOLS, HiddenKey, HiddenPayload
from g2face_model.hiding import FaceHiding
from g2face_model.landmarks import MeshLandmarker
from g2face_model.masks import outline_mask
from g2face_model.types import FaceMesh, Image
from g2face_model.weights import WeightStore

KEY, PAYLOAD = HiddenKey(bytes(32)), HiddenPayload(bytes(range(16)), bytes(range(64)))
WRITTEN = KEY.seal(PAYLOAD)
PSNR_DB = 37.0


@pytest.fixture(scope="module")
def landmarker(store: WeightStore) -> MeshLandmarker:
    return MeshLandmarker(store)


@pytest.fixture(scope="module")
def hiding(store: WeightStore, landmarker: MeshLandmarker) -> FaceHiding:
    return FaceHiding(store, landmarker, psnr_db=PSNR_DB)


@pytest.fixture(scope="module")
def photograph() -> Image:
    return portrait(1)


@pytest.fixture(scope="module")
def mesh(store: WeightStore, landmarker: MeshLandmarker, photograph: Image) -> FaceMesh:
    return landmarker.mesh(photograph, FaceDetector(store).detect(photograph)[0])


@pytest.fixture(scope="module")
def patch(photograph: Image, mesh: FaceMesh) -> Patch:
    """The face as it is, softened as a generated one is."""
    side = max(photograph.shape[:2])
    mask = outline_mask(mesh, side)[: photograph.shape[0], : photograph.shape[1]] > 0.5
    soft = np.asarray(cv2.GaussianBlur(photograph, (0, 0), 1.0), np.uint8)
    return Patch((0, 0, photograph.shape[1], photograph.shape[0]), soft, mask)


@pytest.fixture(scope="module")
def published(hiding: FaceHiding, photograph: Image, patch: Patch, mesh: FaceMesh) -> Image:
    result = photograph.copy()
    hiding.hide(photograph, patch, mesh, WRITTEN).apply(result)
    return result


def opens(hiding: FaceHiding, image: Image, mesh: FaceMesh) -> bool:
    """Whether any of the readings gives the payload."""
    for reading in hiding.read(image, mesh):
        try:
            return KEY.open(reading.symbols, reading.doubts.tolist()) == PAYLOAD
        except RecoveryError:
            continue
    return False


def wrong(hiding: FaceHiding, image: Image, mesh: FaceMesh) -> int:
    """How many symbols the clearest reading has wrong."""
    *_, last = hiding.read(image, mesh)
    return int((np.frombuffer(last.symbols, np.uint8) != np.frombuffer(WRITTEN, np.uint8)).sum())


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_the_payload_comes_back_from_a_file(
    hiding: FaceHiding, published: Image, mesh: FaceMesh, format: images.Format
) -> None:
    copy = images.decode(images.encode(published, format, quality=90))
    assert opens(hiding, copy, mesh)


def test_a_face_that_carries_nothing_reads_as_noise(hiding: FaceHiding, photograph: Image, mesh: FaceMesh) -> None:
    assert wrong(hiding, photograph, mesh) > 0.95 * SYMBOLS


def test_doubts_are_higher_where_symbols_are_wrong(hiding: FaceHiding, published: Image, mesh: FaceMesh) -> None:
    *_, last = hiding.read(published, mesh)
    errors = np.frombuffer(last.symbols, np.uint8) != np.frombuffer(WRITTEN, np.uint8)
    assert last.doubts.shape == (SYMBOLS,)
    assert last.doubts[errors].mean() > last.doubts[~errors].mean() + 0.2


def test_nothing_changes_outside_the_mask_and_little_inside(photograph: Image, published: Image, patch: Patch) -> None:
    before = photograph.copy()
    patch.apply(before)
    difference = published.astype(float) - before
    assert not difference[~patch.mask].any()
    mean_square = (difference[patch.mask] ** 2).mean()
    assert 10 * np.log10(255**2 / mean_square) > PSNR_DB


def test_the_reader_finds_a_crop_that_lies_beside(hiding: FaceHiding, published: Image, mesh: FaceMesh) -> None:
    """Even from a mesh that is a pixel off, it arrives where the symbols are clear."""
    beside = replace(mesh, points=mesh.points + np.float32([2.0, -1.5, 0.0]))
    assert opens(hiding, published, beside)


def test_a_small_face_stays_as_it_is(hiding: FaceHiding, photograph: Image, mesh: FaceMesh) -> None:
    small = np.asarray(cv2.resize(photograph, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA), np.uint8)
    patch = Patch((0, 0, small.shape[1], small.shape[0]), small, np.ones(small.shape[:2], np.bool_))
    assert hiding.hide(small, patch, replace(mesh, points=mesh.points * np.float32(0.35)), WRITTEN) is patch
