from __future__ import annotations

import numpy as np
import torch
from official_weights import GOLDEN, MANIFEST, loaded

from g2face_model.networks.official.identity import Map2Id, StyleMlp


def _reference(name: str) -> torch.Tensor:
    with np.load(GOLDEN / "g2face_official_v1.npz") as file:
        return torch.from_numpy(file[name])


def _relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@torch.inference_mode()
def test_the_dummy_identity_is_the_one_of_the_authors_code() -> None:
    network = loaded(Map2Id, "map_2_id")
    assert list(network.state_dict()) == list(MANIFEST["map_2_id"])
    assert _relative_error(network(_reference("z")), _reference("dummy_identity")) < 1e-5


@torch.inference_mode()
def test_the_styles_are_those_of_the_authors_code() -> None:
    """With the bias twice; three groups, of which every style of a group is the same."""
    network = loaded(StyleMlp, "style_mlp")
    assert list(network.state_dict()) == list(MANIFEST["style_mlp"])
    styles = network(_reference("dummy_identity"), _reference("geometry"))
    assert styles.shape == (1, 14, 512)
    assert _relative_error(styles[:, [0, 6, 12]], _reference("styles")) < 1e-5
    for group in (slice(0, 6), slice(6, 12), slice(12, 14)):
        assert (styles[:, group] == styles[:, group][:, :1]).all()


@torch.inference_mode()
def test_identity_and_geometry_both_matter() -> None:
    network, identity, geometry = loaded(StyleMlp, "style_mlp"), _reference("dummy_identity"), _reference("geometry")
    plain = network(identity, geometry)
    assert _relative_error(network(-identity, geometry), plain) > 0.1
    assert _relative_error(network(identity, -geometry), plain) > 0.1
