"""A small critic of faces: photographs or not."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_WIDTHS = (16, 32, 64, 96, 128)  # channels at 1/2 to 1/32 of the picture
_SLOPE = 0.2


class Discriminator(nn.Module):
    """Pictures (N, 3, S, S) in [-1, 1] -> logits (N, 1, S / 32, S / 32), high for photographs; each place sees about a
    third of a face, so that it judges texture and seams more than who it is (Isola et al., 2017, section 3.2.2)."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_WIDTHS[:-1])
        self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, padding=1) for i, o in zip(inputs, _WIDTHS, strict=True))
        self.last = nn.Conv2d(_WIDTHS[-1], 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures
        for down in self.down:
            x = F.leaky_relu(down(x), _SLOPE)
        return self.last(x)  # type: ignore[no-any-return]
