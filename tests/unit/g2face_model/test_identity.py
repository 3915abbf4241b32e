from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_face import drawn_mesh

from g2face_model.attributes import Attributes
from g2face_model.errors import WeightsError
from g2face_model.identity import (
    COARSE,
    Gallery,
    IdentityCodes,
    IdentityModel,
    Looks,
    Search,
    is_colourful,
    keyed_gumbel,
    oddity,
    tones,
    within_reach,
)
from g2face_model.networks.generator import SLOTS
from g2face_model.networks.mapping import CONDITION, LATENT, Mapping, Predictor
from g2face_model.types import Floats
from g2face_model.weights import WeightStore

COUNT = 200
SIZES = {"first": 6, "second": 4}
SEED, OTHER = b"\x01" * 32, b"\x02" * 32
PINNED = [1.333049, 0.863194, -0.880375]


def _rows(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    """200 people: ages 20 to 79, half of them women, skin from black to white, looking everywhere."""
    number = np.arange(COUNT)
    conditions = 0.3 * _rows(1, COUNT, CONDITION)
    conditions[:, -7:] = np.float32([0, 0, 0, 0, 0, 0, 1])
    lightness = 25 + 60 * ((number * 7) % COUNT) / COUNT
    return Gallery(
        latents=_rows(0, COUNT, LATENT),
        colours=_rows(2, COUNT, LATENT),
        conditions=conditions,
        ages=(20 + number * 0.3).astype(np.float32),
        masculinity=(number % 2).astype(np.float32),
        ancestry=np.eye(5, dtype=np.float32)[number // 2 % 2],
        tones=np.repeat(np.stack([lightness, 0 * number + 12, 0 * number + 16], 1)[:, None], 13, 1).astype(np.float32),
    )


@pytest.fixture(scope="module")
def codes() -> IdentityCodes:
    """Embeddings that are the codes, but for their length."""
    return IdentityCodes({name: (np.zeros(n, np.float32), np.eye(n, dtype=np.float32)) for name, n in SIZES.items()})


def _predictor(codes: IdentityCodes) -> Predictor:
    """Tells identities apart at random, and finds everybody's looks the same and their faces bare."""
    torch.manual_seed(0)
    predictor = Predictor(codes.sizes).eval().requires_grad_(False)
    torch.nn.init.zeros_(predictor.looks.last.weight)
    torch.nn.init.ones_(predictor.looks.last.bias)
    return predictor


def _model(gallery: Gallery, codes: IdentityCodes) -> IdentityModel:
    mapping, predictor = Mapping(sum(codes.sizes)).eval(), _predictor(codes)
    mean, spread = _rows(3, LATENT), np.exp(0.1 * _rows(4, LATENT))
    return IdentityModel(gallery, codes, mapping, predictor, latent_mean=mean, latent_spread=spread)


@pytest.fixture(scope="module")
def model(gallery: Gallery, codes: IdentityCodes) -> IdentityModel:
    """With an untrained mapping, which leaves donors as they are."""
    return _model(gallery, codes)


def _looks(gallery: Gallery, number: int) -> Looks:
    """Exactly those of a person of the gallery."""
    attributes = Attributes(float(gallery.ages[number]), float(gallery.masculinity[number]), gallery.ancestry[number])
    return Looks(attributes, gallery.tones[number], colourful=True)


def _embeddings(seed: int) -> dict[str, Floats]:
    return {name: _rows(seed, n) for name, n in SIZES.items()}


def _choose(model: IdentityModel, number: int, *, seed: bytes = SEED, count: int = 20) -> list[int]:
    search = model.search(
        seed,
        _looks(model.gallery, number),
        condition=model.gallery.conditions[number],
        embeddings=_embeddings(9),
        candidates=20,
    )
    return [search.next().number for _ in range(count)]


def test_the_draw_depends_on_the_seed_alone() -> None:
    assert np.array_equal(keyed_gumbel(SEED, 1000), keyed_gumbel(SEED, 1000))
    assert abs(np.corrcoef(keyed_gumbel(SEED, 1000), keyed_gumbel(OTHER, 1000))[0, 1]) < 0.1
    nearly = SEED[:-1] + b"\x00"
    assert abs(np.corrcoef(keyed_gumbel(SEED, 1000), keyed_gumbel(nearly, 1000))[0, 1]) < 0.1


def test_the_draw_is_pinned() -> None:
    """Another version of the program has to give a person the same virtual identity."""
    assert keyed_gumbel(bytes(range(32)), 3) == pytest.approx(PINNED, abs=1e-5)


def test_the_draw_takes_each_as_often_as_its_score_says() -> None:
    shares = np.array([0.6, 0.3, 0.1])
    draws = np.stack([keyed_gumbel(n.to_bytes(32, "big"), 3) for n in range(4000)])
    taken = np.bincount((draws + np.log(shares)).argmax(1), minlength=3) / 4000
    assert taken == pytest.approx(shares, abs=0.03)


def test_codes_have_parts_of_unit_length_and_zeros_for_the_unused(codes: IdentityCodes) -> None:
    embeddings = _embeddings(0)
    code = codes.encode(embeddings)
    assert code.dtype == np.float32
    assert codes.sizes == (6, 4)
    assert [np.linalg.norm(code[:6]), np.linalg.norm(code[6:])] == pytest.approx([1, 1])
    assert code[:6] == pytest.approx(embeddings["first"] / np.linalg.norm(embeddings["first"]))
    alone = codes.encode({"first": embeddings["first"]})
    assert np.array_equal(alone[:6], code[:6])
    assert not alone[6:].any()


def test_codes_are_centred_and_project() -> None:
    mean, components = _rows(0, 5), np.linalg.qr(_rows(1, 5, 5))[0][:2]
    embedding = _rows(2, 5)
    code = IdentityCodes({"one": (mean, components)}).encode({"one": embedding, "unknown": _rows(3, 9)})
    expected = components @ (embedding - mean)
    assert code == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_an_average_face_has_no_code_rather_than_no_number(codes: IdentityCodes) -> None:
    assert not codes.encode({name: np.zeros(n, np.float32) for name, n in SIZES.items()}).any()


def test_nobody_is_more_plausible_than_oneself(gallery: Gallery) -> None:
    for number in (0, 77, 199):
        cost = gallery.implausibility(_looks(gallery, number), gallery.conditions[number])
        assert cost.shape == (COUNT,)
        assert cost[number] == pytest.approx(0, abs=1e-5)
        assert cost.argmin() == number


@pytest.mark.parametrize(
    ("change", "worse"),
    [
        ({"ages": 30.0}, 5),
        ({"masculinity": 1.0}, 5),
        ({"ancestry": np.float32([-1, 1, 0, 0, 0])}, 2),
        ({"tones": np.float32([20, 0, 0])}, 2),
        ({"tones": np.float32([0, 12, 0])}, 2),
    ],
)
def test_every_look_counts(gallery: Gallery, change: dict[str, Floats | float], worse: float) -> None:
    looks, condition = _looks(gallery, 0), gallery.conditions[0]
    [(name, difference)] = change.items()
    changed = getattr(gallery, name).copy()
    changed[0] = changed[0] + difference
    assert replace(gallery, **{name: changed}).implausibility(looks, condition)[0] > worse


@pytest.mark.parametrize(("column", "amount"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 9.0), (87, 1.0)])
def test_pose_shape_and_expression_count(gallery: Gallery, column: int, amount: float) -> None:
    changed = gallery.conditions.copy()
    changed[0, column] += amount
    looks = _looks(gallery, 0)
    assert replace(gallery, conditions=changed).implausibility(looks, gallery.conditions[0])[0] > 0.5


def test_hue_means_nothing_in_a_grey_photograph(gallery: Gallery) -> None:
    grey = gallery.tones[5] * np.float32([1, 0, 0])
    looks = replace(_looks(gallery, 5), tones=grey, colourful=False)
    assert gallery.implausibility(looks, gallery.conditions[5])[5] == pytest.approx(0, abs=1e-5)
    assert gallery.implausibility(replace(looks, colourful=True), gallery.conditions[5])[5] > 5


def test_extreme_conditions_are_brought_within_reach() -> None:
    usual = np.concatenate(
        [np.float32([1.0, -0.5, 0.2]), np.clip(_rows(0, 80), -2, 2), np.float32([0, 0, 0, 1, 0, 0, 0])]
    )
    assert np.array_equal(within_reach(usual), usual)
    near = within_reach(usual * np.float32(50))
    assert np.abs(near[:3]).max() * 30 < 45
    assert np.abs(near[3:83]).max() <= 3
    assert np.array_equal(np.sign(near), np.sign(usual))


def test_a_candidate_that_would_look_out_of_place_is_odd(gallery: Gallery) -> None:
    """Smiling, 40, a man, white, nothing before the face: then each of these missed in turn."""
    looks = replace(_looks(gallery, 0), attributes=Attributes(40.0, 1.0, np.eye(5, dtype=np.float32)[0]))
    condition = np.concatenate([np.zeros(83), np.eye(7)[3]]).astype(np.float32)
    expressions = np.eye(7, dtype=np.float32)[[3, 6, 3, 3, 3, 3]]
    age, sex, bare = [4, 4, 7, 4, 4, 4], [1, 1, 1, 0, 1, 1], [0.95, 0.95, 0.95, 0.95, 0.95, 0.6]
    attributes = np.column_stack([age, sex, np.eye(5)[[0, 0, 0, 0, 1, 0]], bare]).astype(np.float32)
    found = oddity(expressions, attributes, looks, condition)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert len(found) == 6
    assert (found[1:] > 2).all()


def test_a_search_tries_nobody_twice(model: IdentityModel, gallery: Gallery) -> None:
    """Though everyone is pushed away in several strengths."""
    search = model.search(
        SEED, _looks(gallery, 50), condition=gallery.conditions[50], embeddings=_embeddings(9), candidates=30
    )
    assert len({search.next().number for _ in range(30)}) == 30


@pytest.mark.parametrize("shortfall", [{"first": 3.0, "second": -1.0}, {"foreign": 3.0}])
def test_a_recogniser_that_was_not_fooled_weighs_more_in_the_next_choice(shortfall: dict[str, float]) -> None:
    """One that the predictions do not know makes every one of them stricter."""
    likeness = {"first": np.float32([-0.1, -0.1, -0.6]), "second": np.float32([-0.9, -0.9, -0.9])}
    styles = np.zeros((3, SLOTS, LATENT), np.float32)

    def second_choice(worried: bool) -> int:
        search = Search(np.arange(3), styles, np.float32([0.0, 0.5, 1.0]), likeness)
        assert search.next().number == 0
        if worried:
            search.worry(shortfall)
        return search.next().number

    assert second_choice(worried=False) == 1
    assert second_choice(worried=True) == 2


def test_similar_people_are_chosen(model: IdentityModel, gallery: Gallery) -> None:
    for number in (10, 101, 180):
        chosen = _choose(model, number)
        strangers = [n for n in range(COUNT) if n not in chosen]
        assert len(set(chosen)) == len(chosen) == 20
        assert (gallery.masculinity[chosen] == gallery.masculinity[number]).mean() > 0.9
        for values in (gallery.ages, gallery.tones[:, 0, 0]):
            distance = np.abs(values - values[number])
            assert distance[chosen].mean() < 0.7 * distance[strangers].mean()


def test_the_seed_decides_among_the_plausible(model: IdentityModel) -> None:
    assert _choose(model, 50) == _choose(model, 50)
    assert _choose(model, 50) != _choose(model, 50, seed=OTHER)
    first = {_choose(model, 50, seed=bytes([n]) * 32, count=1)[0] for n in range(30)}
    assert len(first) > 3  # of about twenty who would pass for the original


def test_styles_are_the_donors_latents_in_the_generators_units(model: IdentityModel, gallery: Gallery) -> None:
    looks, condition = _looks(gallery, 50), gallery.conditions[50]
    identity = model.search(SEED, looks, condition=condition, embeddings=_embeddings(9), candidates=20).next()
    assert identity.styles.shape == (SLOTS, LATENT)
    assert identity.styles.dtype == np.float32
    coarse = gallery.latents[identity.number] * np.exp(0.1 * _rows(4, LATENT)) + _rows(3, LATENT)
    np.testing.assert_allclose(identity.styles[:COARSE], np.tile(coarse, (COARSE, 1)), atol=1e-5)
    assert np.array_equal(identity.styles[COARSE:], np.tile(gallery.colours[identity.number], (SLOTS - COARSE, 1)))


def test_whoever_resembles_the_original_comes_last(gallery: Gallery, codes: IdentityCodes) -> None:
    """By the predictor's measure, of the worst recogniser: resembling in one is enough."""
    same = replace(
        gallery,
        ages=np.full_like(gallery.ages, 40),
        masculinity=np.ones_like(gallery.masculinity),
        ancestry=np.repeat(gallery.ancestry[:1], COUNT, 0),
        tones=np.repeat(gallery.tones[:1], COUNT, 0),
        conditions=np.repeat(gallery.conditions[:1], COUNT, 0),
    )
    model = _model(same, codes)
    chosen = _choose(model, 0)
    with torch.inference_mode():
        code = _predictor(codes).codes(torch.from_numpy(gallery.latents[chosen[0]])[None])[0].numpy()
    for alike in ({"first": code[:6], "second": -code[6:]}, {"second": code[6:]}):
        search = model.search(SEED, _looks(same, 0), condition=same.conditions[0], embeddings=alike, candidates=20)
        numbers = [search.next().number for _ in range(20)]
        assert sorted(numbers) == sorted(chosen)
        assert numbers.index(chosen[0]) > 10


def test_tones_are_lab_colours_at_fixed_places() -> None:
    image = np.full((200, 200, 3), (190, 140, 120), np.uint8)
    mesh = drawn_mesh(200)
    found = tones(image, mesh)
    assert found.shape == (13, 3)
    np.testing.assert_allclose(found, np.tile([62.7, 16.5, 18.5], (13, 1)), atol=1.0)
    x, y = mesh.points[199, :2].round().astype(int)  # the chin: a beard shows there and only there
    image[y - 12 : y + 13, x - 12 : x + 13] = 30
    bearded = tones(image, mesh)
    darker = bearded[:, 0] < found[:, 0] - 20
    assert darker.any()
    assert not darker[:7].any()


def test_tones_of_a_face_partly_outside_the_photograph() -> None:
    mesh = drawn_mesh(200)
    cut = np.full((90, 120, 3), (190, 140, 120), np.uint8)
    assert np.isfinite(tones(cut, mesh)).all()


def test_grey_and_sepia_photographs() -> None:
    mesh, levels = drawn_mesh(200), np.random.default_rng(0).integers(60, 200, (200, 200, 1), dtype=np.uint8)
    grey = np.repeat(levels, 3, 2)
    assert not is_colourful(tones(grey, mesh))
    assert is_colourful(tones((grey * [1, 0.8, 0.7]).astype(np.uint8), mesh))


def test_without_the_parts_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="mapping"):
        IdentityModel.load(WeightStore(tmp_path, parts={}, trained=tmp_path))
