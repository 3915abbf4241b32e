"""A training run in a folder: checkpoints that it can go on from, a log of JSON lines, the average of its weights."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from g2face_model.types import Image

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"


class Stateful(Protocol):
    """Modules, optimizers, averages: what can be put into a checkpoint."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Average:
    """Exponential running average of parameters (EMA), shorter at first so that the start is soon forgotten."""

    def __init__(self, parameters: Mapping[str, Tensor], *, keep: float) -> None:
        self.values = {name: value.detach().clone() for name, value in parameters.items()}
        self._keep, self._updates = keep, 0

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor]) -> None:
        self._updates += 1
        keep = min(self._keep, self._updates / (self._updates + 10))
        for name, value in self.values.items():
            value.lerp_(parameters[name].detach().to(value.dtype), 1 - keep)

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values, "updates": self._updates}

    def load_state_dict(self, state_dict: Any) -> None:
        for name, value in state_dict["values"].items():
            self.values[name].copy_(value)
        self._updates = state_dict["updates"]


class Chance:
    """All randomness of a run, from one seed: numpy's generator `numpy`, and torch's own."""

    def __init__(self, seed: int) -> None:
        self.numpy = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        return {"numpy": self.numpy.bit_generator.state, "torch": torch.get_rng_state()}

    def load_state_dict(self, state_dict: Any) -> None:
        self.numpy.bit_generator.state = state_dict["numpy"]
        torch.set_rng_state(state_dict["torch"])


class Run:
    """`parts` are saved and loaded together with the number of steps done."""

    def __init__(self, folder: Path, parts: Mapping[str, Stateful]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._parts = folder, dict(parts)
        self._started = time.monotonic()

    def resume(self) -> int:
        """Load the checkpoint, if there is one; the number of steps done."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return 0
        saved = torch.load(path, weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(saved[name])
        return int(saved["step"])

    def save(self, step: int) -> None:
        """Whole or not at all: a run that is killed here goes on from the checkpoint before."""
        partial = self.folder / f".{CHECKPOINT}.partial"
        torch.save({"step": step, **{name: part.state_dict() for name, part in self._parts.items()}}, partial)
        os.replace(partial, self.folder / CHECKPOINT)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line: step, seconds since this process began, and the values."""
        seconds = round(time.monotonic() - self._started, 1)
        line = {"step": step, "seconds": seconds, **{name: round(float(value), 5) for name, value in values.items()}}
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def sheet(self, name: str, rows: Image) -> None:
        """Write a picture (H, W, 3) beside the log."""
        from g2face_model import images

        (self.folder / name).write_bytes(images.encode(rows, "png"))
