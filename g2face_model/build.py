"""ModelConfig -> Anonymizer: the only place that knows which pieces there are."""

from __future__ import annotations

from typing import Any

import torch

from g2face_model.anonymizer import Anonymizer, Parts
from g2face_model.attributes import AttributeEstimator
from g2face_model.config import ModelConfig
from g2face_model.detection import FaceDetector
from g2face_model.errors import WeightsError
from g2face_model.expression import ExpressionEstimator
from g2face_model.fused import Explain, FusedGenerator
from g2face_model.generation import FaceGenerator, GalleryGenerator
from g2face_model.geometry import GeometryModel
from g2face_model.identity import IdentityModel
from g2face_model.landmarks import FanBackend, LandmarkBackend, MeshBackend, MeshLandmarker
from g2face_model.official import OfficialGenerator
from g2face_model.parsing import FaceParser
from g2face_model.recognition import OnnxRecogniser, Recogniser, load_recognisers
from g2face_model.rendering import Renderer
from g2face_model.verification import Gate
from g2face_model.weights import WeightStore


def build_anonymizer(config: ModelConfig, *, explain: Explain | None = None) -> Anonymizer:
    """Load everything once. `explain` is given the masks of the engine "g2face"; others have none. Raises WeightsError
    when any part is missing: fail closed, before any photograph."""
    return Anonymizer(build_parts(config, explain=explain), config)


def build_parts(config: ModelConfig, *, explain: Explain | None = None) -> Parts:
    """The pieces of an Anonymizer. Raises WeightsError as `build_anonymizer` does."""
    torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    store = WeightStore(config.weights_dir)
    landmarker = MeshLandmarker(store, threads=config.threads)
    gate = _gate(config, store, landmarker)  # first, because what is wrong in a configuration is mostly wrong here
    return Parts(
        detector=FaceDetector(store, threads=config.threads),
        landmarker=landmarker,
        landmarks=_landmarks(config, device),
        geometry=GeometryModel.load(store),
        attributes=AttributeEstimator(store),
        generator=_generator(config, store, device, explain=explain),
        parser=FaceParser(store),
        gate=gate,
    )


def choose_device(wanted: str) -> str:
    """ "auto" is a GPU when there is one. Raises WeightsError when a GPU is asked for and there is none."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise WeightsError("no CUDA device can be used here; choose device cpu or auto")
    return wanted


def _generator(config: ModelConfig, store: WeightStore, device: str, *, explain: Explain | None) -> FaceGenerator[Any]:
    if config.engine == "gallery":
        renderer = Renderer(store, device=device, precision=config.precision)
        return GalleryGenerator(IdentityModel.load(store), renderer, candidates=config.candidates)
    if config.engine == "g2face":
        return FusedGenerator.load(
            store, device=device, precision=config.precision, candidates=config.candidates, explain=explain
        )
    if config.engine == "g2face-official":
        return OfficialGenerator(store, device=device, candidates=config.candidates)
    raise WeightsError(f"there is no engine {config.engine!r}")


def _landmarks(config: ModelConfig, device: str) -> LandmarkBackend:
    return FanBackend(device=device) if config.landmarks == "fan" else MeshBackend()


def _gate(config: ModelConfig, store: WeightStore, landmarker: MeshLandmarker) -> Gate:
    own = [OnnxRecogniser(spec, threads=config.threads) for spec in config.onnx_recognisers]
    recognisers: list[Recogniser] = [*load_recognisers(store, config.recognisers), *own]
    if not recognisers:
        raise WeightsError("no recogniser is configured: nothing could be shown to be anonymous")
    return Gate(recognisers, landmarker, ExpressionEstimator(store), config=config.gate)
