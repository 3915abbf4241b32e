"""Styles -> pixels: the generator on whatever device and precision this machine is best at."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch

from g2face_model.networks.generator import Generator
from g2face_model.types import Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

_LARGE_RENDER_ABOVE_PX = 600  # crops up to this size gain nothing visible from the 1024 px render
_MALLOPT_TRIM, _MALLOPT_MMAP, _KEEP_BYTES = -1, -3, 1 << 30


class Renderer:
    """The pretrained generator. Raises WeightsError when its weights are not there."""

    def __init__(self, store: WeightStore, *, device: str, precision: str) -> None:
        self.device = torch.device(device)
        self.dtype = choose_dtype(self.device, precision)
        generator = Generator()
        generator.load_state_dict(store.tensors("generator"))
        generator.requires_grad_(False).eval().to(self.device, self.dtype)
        self._synthesis = generator.synthesis.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        keep_freed_memory()

    @torch.inference_mode()
    def render(self, styles: Floats, *, size: int) -> Image:
        """Styles (16, 512) -> (512, 512, 3), or (1024, 1024, 3) when a crop of `size` px would show the difference."""
        batch = torch.from_numpy(styles)[None].to(self.device, self.dtype)
        pixels = 1024 if size > _LARGE_RENDER_ABOVE_PX else 512
        image = self._synthesis(batch, size=pixels)[0].float()
        levels = image.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())


def choose_dtype(device: torch.device, precision: str) -> torch.dtype:
    """What to compute in; "auto" is bfloat16 where the processor is built for it."""
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    # Processors without native bfloat16 emulate it, slower than float32.
    native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def keep_freed_memory() -> None:
    """Stop the C allocator from handing large buffers back to the system after every layer.

    Fetching fresh zeroed pages for each activation costs a quarter of the rendering time. glibc only.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MALLOPT_MMAP, _KEEP_BYTES)
            libc.mallopt(_MALLOPT_TRIM, _KEEP_BYTES)
