from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from g2face_model import images
from g2face_model.alignment import warp
from g2face_model.landmarks import MeshLandmarker
from g2face_model.networks.discriminator import Discriminator
from g2face_model.training import fusion_losses as losses
from g2face_model.types import Box
from g2face_model.weights import WeightStore


def test_differentiable_crops_are_those_that_the_engine_takes() -> None:
    smooth = np.add.outer(np.linspace(0, 120, 64), np.linspace(0, 120, 64))[..., None].repeat(3, 2)
    matrix = np.array([[0.9, 0.2, -6.0], [-0.2, 0.9, 2.0]])
    wanted = warp(smooth.astype(np.float32), matrix, (40, 40))
    planes = torch.from_numpy(smooth).float().permute(2, 0, 1)[None]
    found = losses.crops(planes, [matrix], size=40)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted)[4:-4, 4:-4].max() < 0.1


def _unit(*values: float) -> torch.Tensor:
    vector = torch.tensor([values], dtype=torch.float32)
    return vector / vector.norm()


def test_identity_is_lost_towards_the_virtual_person_and_away_from_the_original() -> None:
    original, virtual, same = _unit(1, 0), _unit(0, 1), torch.zeros(1)
    there = losses.identity_loss(virtual, original, virtual, aim=0.2, same=same)
    half = losses.identity_loss(_unit(1, 1), original, virtual, aim=0.2, same=same)
    nowhere = losses.identity_loss(original, original, virtual, aim=0.2, same=same)
    assert there == 0
    assert there < half < nowhere
    assert nowhere == pytest.approx(1.8)


def test_whoever_keeps_an_identity_is_not_pushed_away_from_it() -> None:
    face = _unit(1, 0)
    assert losses.identity_loss(face, face, face, aim=0.2, same=torch.ones(1)) == 0


def test_r1_is_half_the_squared_slope_at_photographs() -> None:
    class Plane(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 3 * x[:, :1, :1, :1]

    assert losses.gradient_penalty(Plane(), torch.rand(2, 3, 4, 4)).item() == pytest.approx(4.5)


def test_a_critic_learns_from_its_loss() -> None:
    torch.manual_seed(0)
    critic = Discriminator()
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)
    real, made = torch.full((2, 3, 64, 64), 0.5), torch.full((2, 3, 64, 64), -0.5)
    before = losses.discriminator_loss(critic(real), critic(made)).item()
    for _ in range(30):
        optimizer.zero_grad()
        losses.discriminator_loss(critic(real), critic(made)).backward()
        optimizer.step()
    assert losses.discriminator_loss(critic(real), critic(made)).item() < before / 2
    assert losses.generator_loss(critic(real)) < losses.generator_loss(critic(made))


def test_features_notice_structure_and_not_who_computed_it(store: WeightStore) -> None:
    distance = losses.FeatureDistance(store)
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 256, 256) * 2 - 1
    other = picture.clone().requires_grad_()
    assert float(distance(picture, picture)) == 0
    near = float(distance(picture + 0.02 * torch.randn_like(picture), picture))
    far = distance(other.flip(3), picture)
    assert 0 < near < far.item()
    far.backward()
    assert other.grad is not None
    assert float(other.grad.abs().sum()) > 0


def test_a_face_that_is_moved_is_as_far_as_it_was_moved(store: WeightStore, faces_dir: Path) -> None:
    photograph = images.decode((faces_dir / "pairs" / "0001.jpg").read_bytes())
    small = cv2.resize(photograph, (256, 256), interpolation=cv2.INTER_AREA)
    mesh = MeshLandmarker(store).mesh(small, Box(70, 60, 190, 200, 1.0))
    picture = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1
    moved = picture.roll(4, dims=3).requires_grad_()
    distance = losses.MeshDistance(store)(moved, picture, [mesh])
    unit = float(np.linalg.norm(mesh.points[33, :2] - mesh.points[263, :2]))
    assert distance.item() == pytest.approx(4 / unit, rel=0.3)
    distance.backward()
    assert moved.grad is not None
    assert float(moved.grad.abs().sum()) > 0


def test_a_pixel_of_the_face_weighs_four_times_as_much() -> None:
    face = torch.zeros(1, 1, 4, 4)
    face[..., :2, :] = 1
    above, below = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    above[..., :2, :], below[..., 2:, :] = 1, 1
    none = torch.zeros(1, 3, 4, 4)
    assert losses.pixel_loss(above, none, face) == 4 * losses.pixel_loss(below, none, face)


def test_masks_are_lost_where_they_are_not_the_face_and_only_for_someone_else() -> None:
    face = torch.zeros(2, 1, 8, 8)
    face[..., :4, :] = 1
    right = [face.expand(-1, 8, -1, -1), face[..., ::2, ::2].expand(-1, 8, -1, -1)]
    wrong = [1 - mask for mask in right]
    assert losses.mask_loss(right, face, same=torch.zeros(2)) == 0
    assert losses.mask_loss(wrong, face, same=torch.zeros(2)) == 1
    assert losses.mask_loss(wrong, face, same=torch.ones(2)) == 0
