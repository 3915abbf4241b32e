"""Aligned crop -> which of its pixels are face that may be replaced, which glasses, which anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from g2face_model.networks.parser import SIZE, ParserNet
from g2face_model.types import Crop, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

FACE, GLASSES, OTHER = 0, 1, 2  # channels of `FaceParser.parse`
_PROBE = "glasses_probe."


class FaceParser:
    """The parser trained on generated people, `training/parser.py`.

    Face is skin up to the hairline, brows, eyes, nose, lips, the inside of the mouth and stubble, not ears or neck.
    Glasses are frames and arms, and whole lenses that hide the eyes. Reads "parser" from the store and raises its
    `WeightsError`. May be called from several threads at once.
    """

    def __init__(self, store: WeightStore, *, device: str = "cpu") -> None:
        tensors = {name: x.float() for name, x in store.tensors("parser").items() if not name.startswith(_PROBE)}
        self._net = ParserNet()
        self._net.load_state_dict(tensors)
        self._net.eval().requires_grad_(False).to(device)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device

    @torch.inference_mode()
    def parse(self, crop: Crop | Image) -> Floats:
        """FFHQ-aligned crop (S, S, 3) RGB of any size -> (S, S, 3) float32 probabilities of face, glasses and other."""
        pixels = crop.pixels if isinstance(crop, Crop) else crop
        side = pixels.shape[0]
        small = pixels if side == SIZE else cv2.resize(pixels, (SIZE, SIZE), interpolation=_resampling(side))
        planes = torch.from_numpy(np.ascontiguousarray(small)).to(self._device).permute(2, 0, 1)[None].float()
        logits = self._net(planes.div_(255).contiguous(memory_format=torch.channels_last))
        found: Floats = torch.softmax(logits[0], 0).permute(1, 2, 0).contiguous().cpu().numpy()
        return found if side == SIZE else cv2.resize(found, (side, side), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _resampling(side: int) -> int:
    return cv2.INTER_AREA if side > SIZE else cv2.INTER_CUBIC


def glasses_probe(store: WeightStore) -> tuple[Floats, float]:
    """Weight (512,) and bias of a linear score of the generator's coarse w: log-odds that this person wears glasses."""
    tensors = store.tensors("parser")
    return tensors[f"{_PROBE}weight"].float().numpy(), float(tensors[f"{_PROBE}bias"])
