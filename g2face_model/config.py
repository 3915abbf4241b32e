"""What a user may choose about the engine. Frozen and explicit: nothing below reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from g2face_model.recognition import RECOGNISERS, OnnxSpec
from g2face_model.types import Engine

VERSIONS: Mapping[Engine, str] = {
    "gallery": "g2face-1",
    "g2face": "g2face-2",
    "g2face-official": "g2face-official-1",
}
MODEL_VERSION = VERSIONS["gallery"]


@dataclass(frozen=True, slots=True)
class GateConfig:
    """When an anonymized face may be shown.

    `similarity_margin`: how far every recogniser's similarity to the original must lie below the threshold at which it
    says "same person" (the one that 0.1 % of pairs of different people exceed); 1 is the step from there down to the
    one that 1 % exceed. `similarity_aim`: how many steps below that limit a face should be before the search for a
    better one stops. `max_landmark_nme`: mean distance of the mesh's points over the inter-ocular distance.
    `max_expression_change`: total variation between the expression probabilities that is allowed where the most likely
    expression changes.
    """

    similarity_margin: float = 0.25
    similarity_aim: float = 2.25
    max_landmark_nme: float = 0.03
    max_expression_change: float = 0.5
    min_mesh_score: float = 0.5


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the engine is built from.

    `engine`: who makes the new faces: "gallery" chooses among generated people and moves one into the original's
    geometry; "g2face" and "g2face-official" draw them into the original with the paper's networks, trained here or
    published by its authors. `weights_dir`: the cache folder of pulled weights, None for the user's default.
    `precision`: "auto" renders in bfloat16 where the processor is built for it. `candidates`: gallery people moved and
    ranked for each face; `attempts`: how many of them are rendered to find one that passes with room to spare, and as
    many again to find any that passes, before the face is covered or, with `on_failure` "refuse", the photograph
    refused. `shape_change`: how far the landmarks may move towards the new face's own shape, as mean distance over the
    inter-ocular distance; more is safer and less exact. `max_yaw_degrees`: faces turned further are not attempted,
    because the generator has seen none. `min_face_px`: smaller faces are covered at once.
    """

    engine: Engine = "gallery"
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = 2
    weights_dir: Path | None = None
    recognisers: tuple[str, ...] = RECOGNISERS
    onnx_recognisers: tuple[OnnxSpec, ...] = ()
    landmarks: Literal["mesh", "fan"] = "mesh"
    on_failure: Literal["cover", "refuse"] = "cover"
    attempts: int = 6
    candidates: int = 160
    shape_change: float = 0.026
    max_yaw_degrees: float = 55.0
    min_face_px: float = 24.0
    gate: GateConfig = field(default_factory=GateConfig)
