"""A folder of described people made of random numbers, for tests of training: no network has seen them.

As in reality, geometry, embeddings and looks follow from the latents; each from a few components, so that little
training finds them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from g2face_model.geometry import GeometryModel
from g2face_model.training.people import People, write_shard
from g2face_model.types import Floats
from g2face_model.weights import WeightStore

EMBEDDINGS = {"dlib": 128, "faceres": 160, "mobileface": 140}
_PICTURE = cv2.imencode(".jpg", np.full((384, 384, 3), 120, np.uint8))[1].tobytes()


def made_up_people(count: int, *, seed: int = 0) -> People:
    """`count` people whose first latent component turns the head, and the next 80 shape the face."""
    random = np.random.default_rng(seed)
    model = GeometryModel.load(WeightStore())  # "geometry" ships with the package
    coarse, fine = random.normal(size=(2, count, 512)).astype(np.float32)
    meshes = np.zeros((count, 478, 3), np.float32)
    for mesh, latent in zip(meshes, coarse, strict=True):
        turn = Rotation.from_euler("y", 12 * latent[0], degrees=True).as_matrix()
        mesh[:468] = 130 * model.face(0.7 * latent[1:81]) @ turn.T + [256, 256, 0]
    return People(coarse, fine, meshes, np.ones(count, np.float32), [_PICTURE] * count)


def describe_made_up(people: People, path: Path, **changed: Floats) -> None:
    """Write the embeddings and the description that belong to the shard at `path`; `changed` replaces columns."""
    count = len(people)
    mixing = np.random.default_rng(99)
    vectors = {}
    for name, size in EMBEDDINGS.items():
        raw = people.coarse[:, 84:96] @ mixing.normal(size=(12, size)) + 5
        vectors[name] = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    expressions = np.eye(7, dtype=np.float32)[np.where(people.coarse[:, 0] > 0, 3, 6)]
    lightness = 50 + 15 * people.coarse[:, 81]
    columns = {
        "ages": 40 + 10 * people.coarse[:, 82],
        "masculinity": (people.coarse[:, 83] > 0).astype(np.float32),
        "ancestry": np.eye(5, dtype=np.float32)[np.arange(count) % 5],
        "expressions": 0.8 * expressions + 0.2 / 7,
        "tones": np.repeat(np.stack([lightness, 0 * lightness + 12, 0 * lightness + 16], 1)[:, None], 13, 1),
        "visible": np.ones(count, np.float32),
    }
    np.savez(path.with_suffix(".embeddings.npz"), **vectors)
    np.savez(path.with_suffix(".description.npz"), **{**columns, **changed})


def stock(folder: Path, *, count: int, shards: int = 1) -> list[People]:
    """Write `shards` described shards of `count` people each, as training wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [made_up_people(count, seed=shard) for shard in range(shards)]
    for shard, people in enumerate(made):
        path = folder / f"{shard:04d}.npz"
        write_shard(path, people)
        describe_made_up(people, path)
    return made
