"""What the pretrained networks say of generated people: embeddings, attributes, tones, what of the picture is face.

One file beside each shard of people; resumable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from g2face_model.attributes import AttributeEstimator
from g2face_model.expression import ExpressionEstimator
from g2face_model.identity import tones
from g2face_model.masks import outline_mask
from g2face_model.parsing import FaceParser
from g2face_model.recognition import TorchRecogniser, load_recognisers
from g2face_model.training.people import STORED_PX, People, read_people
from g2face_model.types import FaceMesh, Floats
from g2face_model.weights import WeightStore

_BATCH = 4


@dataclass(frozen=True)
class Description:
    """N people: apparent `ages` in years, `masculinity`, `ancestry` (N, 5), `expressions` (N, 7), `tones` (N, 13, 3),
    `visible` (N,): the share of the mesh's outline that is bare face (no fringe, glasses or hand)."""

    ages: Floats
    masculinity: Floats
    ancestry: Floats
    expressions: Floats
    tones: Floats
    visible: Floats


class Describer:
    """The networks that describe people."""

    def __init__(self, store: WeightStore) -> None:
        self._recognisers = load_recognisers(store)
        self._attributes = AttributeEstimator(store)
        self._expressions = ExpressionEstimator(store)
        self._parser = FaceParser(store)

    def embed(self, people: People) -> dict[str, NDArray[np.float16]]:
        """Recogniser -> (N, D) embeddings."""
        return {recogniser.name: _embed(recogniser, people) for recogniser in self._recognisers}

    def describe(self, people: People) -> Description:
        """Attributes, tones and visibility of every person."""
        rows = [self._one(people, index) for index in range(len(people))]
        return Description(*(np.array(column, np.float32) for column in zip(*rows, strict=True)))

    def _one(self, people: People, index: int) -> tuple[float, float, Floats, Floats, Floats, float]:
        picture, mesh = people.picture(index), FaceMesh(people.mesh_points(index), float(people.scores[index]))
        found = self._attributes.estimate(picture, mesh)
        outline = outline_mask(mesh, STORED_PX)
        visible = float((self._parser.parse(picture)[..., 0] * outline).sum() / max(float(outline.sum()), 1.0))
        expression = self._expressions.probabilities(picture, mesh)
        return found.age_years, found.masculinity, found.ancestry, expression, tones(picture, mesh), visible


def _embed(recogniser: TorchRecogniser, people: People) -> NDArray[np.float16]:
    meshes = [FaceMesh(people.mesh_points(index), 1.0) for index in range(len(people))]
    crops = [recogniser.crop(people.picture(index), mesh) for index, mesh in enumerate(meshes)]
    batches = [recogniser.embed_many(crops[k : k + _BATCH]) for k in range(0, len(crops), _BATCH)]
    return np.concatenate(batches).astype(np.float16)


def describe_people(store: WeightStore, folder: Path) -> None:
    """Write NNNN.embeddings.npz and NNNN.description.npz beside every shard that has none."""
    describer = Describer(store)
    for path in tqdm(sorted(folder.glob("[0-9][0-9][0-9][0-9].npz")), desc="descriptions", unit="shard"):
        embeddings, description = path.with_suffix(".embeddings.npz"), path.with_suffix(".description.npz")
        if embeddings.exists() and description.exists():
            continue
        people = next(read_people(folder, only=path))
        if not embeddings.exists():
            _save(embeddings, describer.embed(people))
        if not description.exists():
            found = describer.describe(people)
            _save(description, {field.name: getattr(found, field.name) for field in fields(Description)})


def _save(path: Path, arrays: dict[str, NDArray[np.float16]] | dict[str, Floats]) -> None:
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.rename(path)


def read_descriptions(*folders: Path) -> Iterator[tuple[People, dict[str, Floats], Description]]:
    """People with their embeddings and descriptions, shard by shard; shards without are passed over."""
    for path in (path for folder in folders for path in sorted(folder.glob("[0-9][0-9][0-9][0-9].npz"))):
        embeddings, description = path.with_suffix(".embeddings.npz"), path.with_suffix(".description.npz")
        if embeddings.exists() and description.exists():
            with np.load(embeddings) as first, np.load(description) as second:
                vectors = {name: first[name].astype(np.float32) for name in first.files}
                found = Description(**{name: second[name].astype(np.float32) for name in second.files})
            yield next(read_people(path.parent, only=path)), vectors, found
