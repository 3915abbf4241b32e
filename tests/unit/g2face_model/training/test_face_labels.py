from __future__ import annotations

import numpy as np
import torch

from g2face_model.networks.generator import Generator
from g2face_model.training.face_labels import GRID, fit_clusters, pixel_features, sharpen
from g2face_model.training.people import RENDER_PX, People


@torch.inference_mode()
def test_clusters_of_four_people_already_tell_face_from_the_rest(generator: Generator, people: People) -> None:
    features = torch.stack([pixel_features(generator, torch.from_numpy(w)).half() for w in people.coarse])
    assert features.shape == (len(people), GRID * GRID, 1536)
    meshes = people.meshes * np.float32(GRID / RENDER_PX)
    clusters = fit_clusters(features, meshes)
    assert 2 <= int(clusters.face.sum()) <= 12
    assert not (clusters.face & clusters.hair).any()
    for index, mesh in enumerate(meshes):
        face = clusters.label(features[index].float())[0]
        for vertex in (4, 50, 280, 13):  # nose, cheeks, lips
            x, y = np.round(mesh[vertex, :2]).astype(int)
            assert face[y, x] > 127
        assert face[:3].mean() < 40
        assert face[:, :3].mean() < 80


def test_sharpening_moves_a_coarse_edge_onto_the_image_edge() -> None:
    image = np.full((192, 192, 3), 40, np.uint8)
    image[:, 97:] = 200
    label = np.zeros((GRID, GRID), np.uint8)
    label[:, 32:] = 255  # its edge lies at 95.5
    sharp = sharpen(label, image)
    assert sharp.shape == (192, 192)
    edges = (sharp[20:-20] > 0.5).argmax(1)
    assert (edges == 97).all()
