from __future__ import annotations

import numpy as np

from g2face_model.training.people import People
from g2face_model.training.wearers import (
    BARE,
    UNKNOWN,
    WEARERS,
    WEARS,
    Probe,
    judge,
    overrule,
    probe_from_shares,
    probe_from_sight,
)

_DIRECTION = 7  # of a made-up latent space in which glasses are one coordinate


def _coarse(wears: np.ndarray, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(0, 1, (len(wears), 512)).astype(np.float32)
    coarse[:, _DIRECTION] += 6 * wears
    return coarse


def test_the_first_probe_follows_what_was_seen() -> None:
    people = {}
    for shard, wearers in WEARERS.items():
        coarse = _coarse(np.isin(np.arange(100), wearers), shard)
        people[shard] = People(
            coarse, coarse, np.zeros((100, 478, 3), np.float32), np.ones(100, np.float32), [b""] * 100
        )
    probe = probe_from_sight(people)
    assert int(np.abs(probe.weight).argmax()) == _DIRECTION
    guess = probe.guess(people[1].coarse)
    assert set(guess) == {BARE, UNKNOWN}
    assert (guess[list(WEARERS[1])] == UNKNOWN).all()


def test_the_second_probe_generalises_and_skips_what_is_half_seen() -> None:
    wears = np.arange(1000) % 8 == 0
    shares = np.where(wears, 0.02, 0.0).astype(np.float32)
    shares[1::100] = 0.002  # a speck on a bare face
    probe = probe_from_shares(_coarse(wears, 0), shares)
    found = probe.score(_coarse(wears, 1)) > 0
    assert (found == wears).mean() > 0.95
    assert found[wears].all()


def test_what_was_seen_overrules_the_parser() -> None:
    shares = np.zeros(100, np.float32)
    shares[5] = 0.03
    corrected = overrule(1, shares)
    assert corrected[list(WEARERS[1])].min() > 0.5
    assert corrected[5] == 0
    np.testing.assert_array_equal(overrule(7, shares), shares)


def test_a_person_is_judged_only_when_parser_and_probe_agree() -> None:
    shares = np.float32([0.02, 0.02, 0.0, 0.0, 0.002])
    scores = np.float32([3, -3, -3, 3, -3])
    assert judge(shares, scores).tolist() == [WEARS, UNKNOWN, BARE, UNKNOWN, UNKNOWN]


def test_scores_are_log_odds_of_one_direction() -> None:
    probe = Probe(np.eye(512, dtype=np.float32)[0], -1.0)
    assert probe.score(np.eye(512, dtype=np.float32)[:2] * 3).tolist() == [2.0, -1.0]
