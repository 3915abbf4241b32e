"""Who is found, on made-up embeddings; and the whole way with a real observer and an engine that covers faces."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from covering import Covering

from g2face_model import images
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.observer import Observer
from g2face_model.evaluation.pairs import People, identify, observe, publish
from g2face_model.evaluation.photographs import Photograph, couples, read_manifest
from g2face_model.types import AnonymizedImage, Floats, Image
from g2face_model.weights import WeightStore


@dataclass
class _Judge:
    name: str = "judge"
    family: str = "none"
    size: int = 1
    threshold: float = 0.9
    threshold_far_1: float = 0.5

    def crop(self, *_: object) -> Image:
        raise AssertionError

    def embed(self, *_: object) -> Floats:
        raise AssertionError


def _unit(rows: np.ndarray) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _people(count: int = 40, *, noise: float = 0.3) -> tuple[People, np.random.Generator]:
    random = np.random.default_rng(3)
    person = random.standard_normal((count, 64))
    first, other = (_unit(person + noise * random.standard_normal(person.shape)) for _ in range(2))
    photographs = tuple(Photograph(f"{number}.jpg", str(number)) for number in range(count))
    return People(photographs, {"judge": first}, {"judge": other}), random


def test_people_who_did_not_change_are_all_found() -> None:
    people, _ = _people()
    found = identify(_Judge(), people.first["judge"], people)
    assert found.strict == found.loose == found.calibrated_loose == found.rank_one == Share(40, 40)
    assert found.mean_similarity == pytest.approx(1 / 1.09, abs=0.02)


def test_strangers_are_found_as_often_as_chance_allows() -> None:
    people, random = _people(400)
    found = identify(_Judge(), _unit(random.standard_normal((400, 64))), people)
    assert found.strict.value <= 0.01
    assert found.loose.value == pytest.approx(0.01, abs=0.015)
    assert found.rank_one.value <= 0.02
    assert found.calibrated_strict == Share(0, 400)


def test_only_chosen_probes_count_but_everybody_can_be_mistaken_for() -> None:
    people, _ = _people()
    probes = people.first["judge"].copy()
    probes[0] = people.other["judge"][39]  # who is left out, and in the gallery all the same
    chosen = np.arange(40) < 10
    found = identify(_Judge(), probes, people, chosen=chosen)
    assert found.rank_one == Share(9, 10)
    assert found.strict == Share(9, 10)


def test_nobody_chosen_gives_no_figures() -> None:
    people, _ = _people()
    found = identify(_Judge(), people.first["judge"], people, chosen=np.zeros(40, bool))
    assert found.rank_one == Share(0, 0)
    assert np.isnan(found.mean_similarity)


@pytest.fixture(scope="module")
def observer(store: WeightStore) -> Observer:
    return Observer(store, ["mobileface", "faceres"])


def test_people_are_found_before_and_not_after_they_were_covered(
    store: WeightStore, observer: Observer, faces_dir: Path
) -> None:
    photographs = [photograph for photograph in read_manifest(faces_dir) if photograph.folder == "pairs"]

    def load(photograph: Photograph) -> Image:
        return images.decode((faces_dir / photograph.file).read_bytes())

    people = observe(couples(photographs)[:4], observer, load)
    shown: list[str] = []
    published = publish(
        Covering(store).anonymize,
        observer,
        people,
        load=load,
        show=lambda photograph, *_: shown.append(photograph.file),
    )
    assert shown == [photograph.file for photograph in people.photographs]
    assert not published.released.any()
    for recogniser in observer.recognisers:
        before = identify(recogniser, people.first[recogniser.name], people)
        after = identify(recogniser, published.embeddings[recogniser.name], people)
        assert before.calibrated_loose == Share(4, 4)
        assert after.calibrated_loose == Share(0, 4)


def test_an_engine_that_misses_faces_is_found_out(observer: Observer, faces_dir: Path) -> None:
    photographs = [photograph for photograph in read_manifest(faces_dir) if photograph.folder == "pairs"]

    def load(photograph: Photograph) -> Image:
        return images.decode((faces_dir / photograph.file).read_bytes())

    people = observe(couples(photographs)[:2], observer, load)
    published = publish(
        lambda image, _: AnonymizedImage(image, (), "blind"), observer, people, load=load, show=lambda *_: None
    )
    recogniser = observer.recognisers[0]
    assert not published.released.any()
    assert identify(recogniser, published.embeddings[recogniser.name], people).calibrated_strict == Share(2, 2)
