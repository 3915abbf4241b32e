from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_people import EMBEDDINGS, stock

from g2face_model.geometry import GeometryModel
from g2face_model.identity import IdentityModel
from g2face_model.networks.mapping import Mapping, Predictor, cosines
from g2face_model.training.gallery import make_gallery
from g2face_model.training.mapping import (
    CODE_SIZES,
    GeometryLoss,
    MappingConfig,
    Prepared,
    attribute_error,
    bare,
    fit_codes,
    lookalikes,
    prepare,
    report,
    train,
    train_mapping,
    train_predictor,
    whitening,
)
from g2face_model.training.people import write_shard
from g2face_model.weights import WeightStore, save_trained

QUICK = MappingConfig(predictor_epochs=6, mapping_epochs=8, batch=50)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("people")
    stock(folder, count=250, shards=2)
    return prepare(folder, geometry=GeometryModel.load(WeightStore()))


@pytest.fixture(scope="module")
def loss(prepared: Prepared) -> GeometryLoss:
    return GeometryLoss(prepared.metric)


def test_the_corpus_is_standardised(prepared: Prepared) -> None:
    corpus = prepared.corpus
    assert len(corpus) == 500
    assert corpus.latents.mean(0).abs().max() < 1e-4
    torch.testing.assert_close(corpus.latents.std(0, correction=0), torch.ones(512), atol=1e-3, rtol=0)
    assert corpus.conditions.shape == (500, 90)
    assert corpus.codes.shape == (500, sum(CODE_SIZES.values()))
    for part in torch.split(corpus.codes, list(CODE_SIZES.values()), 1):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(500))
    assert len(corpus.part(slice(0, 10))) == 10


def test_pictures_without_a_face_are_left_out(tmp_path: Path) -> None:
    [people] = stock(tmp_path, count=300)
    geometry = GeometryModel.load(WeightStore())
    assert len(prepare(tmp_path, geometry=geometry).corpus) == 300
    people.scores[:40] = 0.2
    write_shard(tmp_path / "0000.npz", people)
    assert len(prepare(tmp_path, geometry=geometry).corpus) == 260


def test_codes_keep_what_tells_people_apart() -> None:
    """Two directions in which people differ much, among many in which they hardly do."""
    random = np.random.default_rng(0)
    embeddings = {}
    for name, size in EMBEDDINGS.items():
        rows = 5 + 0.01 * random.normal(size=(500, size))
        rows[:, :2] += random.normal(size=(500, 2))
        embeddings[name] = rows.astype(np.float32)
    codes = fit_codes(embeddings)
    assert codes.sizes == tuple(CODE_SIZES.values())
    for mean, components in codes.bases.values():
        assert np.linalg.norm(components[:2, :2]) == pytest.approx(np.sqrt(2), abs=0.01)
        assert mean == pytest.approx(np.full(len(mean), 5), abs=0.2)
        np.testing.assert_allclose(components @ components.T, np.eye(len(components)), atol=1e-4)


def test_right_predictions_cost_nothing(prepared: Prepared, loss: GeometryLoss) -> None:
    wanted = prepared.corpus.conditions[:50]
    logits = torch.cat([wanted[:, :83], wanted[:, 83:].log()], 1)
    assert float(loss(logits, wanted)) == pytest.approx(0, abs=1e-5)
    for column in (0, 3, 86):  # an angle, the leading shape, an expression
        wrong = logits.clone()
        wrong[:, column] += 1
        assert float(loss(wrong, wanted)) > 0.005


def test_shape_is_weighed_by_how_far_the_face_moves(prepared: Prepared, loss: GeometryLoss) -> None:
    wanted = prepared.corpus.conditions[:1]
    costs = []
    for column in (3, 82):
        wrong = torch.cat([wanted[:, :83], wanted[:, 83:].log()], 1)
        wrong[:, column] += 1
        costs.append(float(loss(wrong, wanted)))
    assert costs[0] > 20 * costs[1]


@pytest.fixture(scope="module")
def predictor(prepared: Prepared, loss: GeometryLoss) -> Predictor:
    """Has seen 400 of the 500 people."""
    learned = prepared.corpus.part(slice(0, 400))
    return train_predictor(learned, prepared.codes.sizes, geometry=loss, seed=0, config=QUICK)


WHITE_MAN = [4.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.5]  # of forty, half hidden


def test_attributes_are_weighed_as_a_stranger_would() -> None:
    """Ten years, a quarter of the way to the other sex, a tenth of the face hidden: all the same."""
    wanted = torch.tensor([WHITE_MAN])
    errors = []
    for column, amount in ((0, 1.0), (1, 0.25), (2, 1 / 3), (7, 0.1)):
        off = wanted.clone()
        off[0, column] += amount
        errors.append(float(attribute_error(off, wanted)))
    assert errors == pytest.approx([1 / 8] * 4, abs=1e-4)
    assert float(attribute_error(wanted, wanted)) == 0


def test_donors_keep_who_they_are_and_lose_what_hides_them() -> None:
    assert bare(torch.tensor([WHITE_MAN]))[0].tolist() == pytest.approx([*WHITE_MAN[:-1], 0.96])


def test_lookalikes_are_others_of_similar_age_sex_and_ancestry(prepared: Prepared) -> None:
    torch.manual_seed(0)
    corpus = prepared.corpus
    found = lookalikes(corpus, each=20)
    assert found.shape == (500, 20)
    assert not (found == torch.arange(500)[:, None]).any()
    years, sex = corpus.attributes[:, 0] * 10, corpus.attributes[:, 1]
    assert (sex[found] == sex[:, None]).float().mean() > 0.9
    ancestry = corpus.attributes[:, 2:7].argmax(1)
    assert (ancestry[found] == ancestry[:, None]).float().mean() > 0.6
    usual = (years - 40).abs() < 15
    assert (years[found] - years[:, None]).abs()[usual].mean() < 0.6 * (years[:, None] - years).abs()[usual].mean()


def test_the_predictor_learns(prepared: Prepared, loss: GeometryLoss, predictor: Predictor) -> None:
    sizes, new = prepared.codes.sizes, prepared.corpus.part(slice(400, None))
    torch.manual_seed(0)
    untrained = Predictor(sizes).eval()
    with torch.inference_mode():
        errors = [float(loss(network(new.latents)[0], new.conditions)) for network in (untrained, predictor)]
        likeness = [
            float(cosines(network.codes(new.latents), new.codes, sizes).mean()) for network in (untrained, predictor)
        ]
    assert errors[1] < 0.8 * errors[0]
    assert likeness[1] > likeness[0] + 0.2
    assert not any(parameter.requires_grad for parameter in predictor.parameters())


def test_the_mapping_learns_to_move_people(prepared: Prepared, loss: GeometryLoss, predictor: Predictor) -> None:
    """Into another's geometry and away from that other, by the measure of a predictor that took no part."""
    corpus, sizes = prepared.corpus, prepared.codes.sizes
    other = train_predictor(corpus, sizes, geometry=loss, seed=1, config=QUICK)
    mapping = train_mapping(corpus, [other], sizes, geometry=loss, config=QUICK)
    before = report(corpus, predictor, Mapping(sum(sizes)).eval(), sizes, geometry=loss)
    after = report(corpus, predictor, mapping, sizes, geometry=loss)
    assert after["moved_geometry_error"] < 0.9 * before["moved_geometry_error"]
    assert after["moved_likeness_to_target"] < before["moved_likeness_to_target"] - 0.02


def test_whitening_makes_all_directions_alike() -> None:
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(4000, 512, generator=random) @ torch.diag(torch.linspace(0.3, 2, 512))
    white = torch.cov((latents @ whitening(latents)).T)
    torch.testing.assert_close(white, torch.eye(512), atol=1e-3, rtol=0)
    flat = latents.clone()
    flat[:, 0] *= 1e-6  # a direction in which nobody differs must not become the loudest
    assert whitening(flat).abs().max() < 8


def test_training_repeats_and_its_result_can_be_loaded(prepared: Prepared, tmp_path: Path) -> None:
    config = replace(QUICK, predictor_epochs=1, mapping_epochs=1)
    tensors, metadata, figures = train(prepared, config=config)
    again, _, _ = train(prepared, config=config)
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert set(metadata["recognisers"].split()) == set(CODE_SIZES)
    assert all(np.isfinite(value) for value in figures.values())
    save_trained("mapping", tensors, metadata=metadata, folder=tmp_path)
    stock(tmp_path / "people", count=30)
    geometry = GeometryModel.load(WeightStore())
    mean, spread = prepared.latent_mean, prepared.latent_spread
    gallery = make_gallery(tmp_path / "people", geometry=geometry, mean=mean, spread=spread, size=20)
    save_trained("gallery", gallery, metadata={}, folder=tmp_path)
    model = IdentityModel.load(WeightStore(tmp_path, parts={}, trained=tmp_path))
    assert model.codes.sizes == tuple(CODE_SIZES.values())
