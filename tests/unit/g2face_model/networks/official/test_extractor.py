from __future__ import annotations

import numpy as np
import torch
from official_weights import GOLDEN, MANIFEST, loaded

from g2face_model.networks.official.extractor import HidingExtractor

_FIRST, _LAST = 96, 160  # the part of the reference picture that is kept, rows and columns
_REACH = 4  # a bit is read from so many px around its own, every second of both axes


@torch.inference_mode()
def test_the_logits_are_those_of_the_authors_code() -> None:
    """They were read from tanh of the reference picture."""
    network = loaded(HidingExtractor, "hiding_extractor")
    assert list(network.state_dict()) == list(MANIFEST["hiding_extractor"])
    with np.load(GOLDEN / "g2face_official_v1.npz") as file:
        patch, expected = torch.from_numpy(file["patch"]), torch.from_numpy(file["logits"])
    picture = torch.zeros(1, 3, 256, 256)
    picture[:, :, _FIRST:_LAST, _FIRST:_LAST] = torch.tanh(patch)
    logits = network(picture)
    assert logits.shape == expected.shape == (1, 512, 32)
    whole = slice(_FIRST // 2 + _REACH // 2, (_LAST - _REACH) // 2)
    found, wanted = (each.reshape(128, 128)[whole, whole] for each in (logits, expected))
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5
