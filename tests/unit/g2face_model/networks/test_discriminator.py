from __future__ import annotations

import torch

from g2face_model.networks.discriminator import Discriminator


def test_a_logit_for_every_part_of_the_picture() -> None:
    assert Discriminator()(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 8, 8)


def test_a_change_in_one_corner_moves_the_logit_there_alone() -> None:
    torch.manual_seed(0)
    critic, picture = Discriminator(), torch.zeros(1, 3, 256, 256)
    changed = picture.clone()
    changed[..., :16, :16] = 1
    moved = (critic(changed) - critic(picture)).abs()[0, 0]
    assert moved[0, 0] > 0
    assert moved[4:, 4:].max() == 0
