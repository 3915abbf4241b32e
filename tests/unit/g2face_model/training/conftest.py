"""A few generated people, labelled, and a face to draw on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from g2face_model.landmarks import MeshLandmarker
from g2face_model.networks.generator import Generator
from g2face_model.training import draws
from g2face_model.training.face_labels import GRID
from g2face_model.training.layers import Scene
from g2face_model.training.people import SHARD, People, stack_styles, to_pixels
from g2face_model.training.scenes import Faces
from g2face_model.training.wearers import BARE
from g2face_model.types import Box
from g2face_model.weights import WeightStore

_COUNT = 4


@pytest.fixture(scope="session")
def generator(store: WeightStore) -> Generator:
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def people(store: WeightStore, generator: Generator) -> People:
    """Four people without glasses."""
    landmarker = MeshLandmarker(store)
    coarse, fine = (w[4 : 4 + _COUNT] for w in draws.plain(generator)(0, SHARD))
    meshes, pictures = [], []
    with torch.inference_mode():
        for styles in stack_styles(coarse, fine):
            pixels = to_pixels(generator(styles[None], size=512)[0])
            meshes.append(landmarker.mesh(pixels, Box(110, 110, 400, 440, 1.0)).points)
            small = cv2.resize(pixels, (384, 384), interpolation=cv2.INTER_AREA)
            pictures.append(cv2.imencode(".jpg", small[..., ::-1])[1].tobytes())
    return People(coarse.numpy(), fine.numpy(), np.stack(meshes), np.ones(_COUNT, np.float32), pictures)


@pytest.fixture(scope="session")
def scene(people: People) -> Scene:
    """The first of them at 192 px, with rough masks of face and hair."""
    picture = cv2.resize(people.picture(0), (192, 192), interpolation=cv2.INTER_AREA)
    mesh = people.mesh_points(0) / np.float32(2)
    face, hair = np.zeros((2, 192, 192), np.float32)
    cv2.fillConvexPoly(face, cv2.convexHull(np.round(mesh[:, :2]).astype(np.int32)), 1.0)
    hair[10:40, 60:130] = 1
    stripes = np.zeros((192, 192, 3), np.uint8)
    stripes[::4] = 255
    return Scene(np.asarray(picture, np.uint8), mesh, face, hair, lambda _: stripes, np.zeros_like(face))


@pytest.fixture(scope="session")
def labels(people: People) -> NDArray[np.uint8]:
    """Boxes in place of real labels, (N, 2, GRID, GRID): face and hair."""
    labels = np.zeros((len(people), 2, GRID, GRID), np.uint8)
    labels[:, 0, 18:52, 14:50] = 255
    labels[:, 1, 5:19, 20:44] = 255
    return labels


@pytest.fixture(scope="session")
def faces(people: People, labels: NDArray[np.uint8]) -> Faces:
    """All four, known to wear no glasses."""
    return Faces([(people, labels)], [np.full(len(people), BARE, np.int8)])
