import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from g2face_model.evaluation.identification import (
    Share,
    accepted,
    best_matches,
    different,
    rank_one,
    tar_at_far,
    threshold_at_far,
    wilson,
)

_similarities = arrays(np.float64, st.integers(1, 300), elements=st.floats(-1, 1, width=32))
_rates = st.floats(0, 0.5)


def test_two_of_a_thousand_impostors_may_pass_at_two_in_a_thousand() -> None:
    impostors = np.arange(1000) / 1000
    tar, threshold = tar_at_far([0.9, 0.997, 0.9975, 0.999], impostors, 0.002)
    assert threshold == 0.997
    assert tar == 0.5  # what equals the threshold is not above it


def test_a_rate_that_is_a_whole_number_of_pairs_is_not_rounded_down() -> None:
    assert 0.29 * 100 < 29
    assert threshold_at_far(np.arange(100), 0.29) == 70  # 71 to 99 pass


def test_with_few_impostors_none_may_pass() -> None:
    assert threshold_at_far([0.1, 0.7, 0.3], 0.01) == 0.7


def test_without_impostors_everything_passes() -> None:
    assert tar_at_far([0.1, 0.2], [], 0.01) == (1.0, -math.inf)


def test_chance_finds_as_many_as_the_rate_allows() -> None:
    random = np.random.default_rng(0)
    tar, _ = tar_at_far(random.standard_normal(100_000), random.standard_normal(100_000), 0.01)
    assert tar == pytest.approx(0.01, abs=0.002)


@given(_similarities, _rates)
def test_the_threshold_is_the_lowest_that_keeps_its_promise(impostors: np.ndarray, far: float) -> None:
    threshold = threshold_at_far(impostors, far)
    assert (impostors > threshold).mean() <= far + 1e-9
    lower = np.nextafter(threshold, -math.inf)
    assert (impostors > lower).mean() > far


@given(_similarities, _similarities, _rates, _rates)
def test_more_false_accepts_never_mean_fewer_true_ones(
    genuine: np.ndarray, impostors: np.ndarray, one: float, other: float
) -> None:
    low, high = sorted([one, other])
    assert tar_at_far(genuine, impostors, low)[0] <= tar_at_far(genuine, impostors, high)[0]


@given(_similarities, _similarities, _rates)
def test_only_the_order_of_similarities_counts(genuine: np.ndarray, impostors: np.ndarray, far: float) -> None:
    assert tar_at_far(genuine, impostors, far)[0] == tar_at_far(8 * genuine, 8 * impostors, far)[0]


def test_a_similarity_that_is_no_number_counts_as_found() -> None:
    assert accepted([math.nan, 0.1], 0.5) == Share(1, 2)
    assert best_matches(np.array([[math.nan, 0.1], [0.9, 0.2]])) == Share(1, 2)


def test_rank_one_counts_those_nearest_to_themselves() -> None:
    gallery = np.eye(4)
    probes = np.array([[0.9, 0.1, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0.1, 0.2]])
    assert rank_one(probes, gallery) == Share(3, 4)


def test_a_tie_counts_as_found() -> None:
    assert rank_one(np.ones((2, 2)), np.ones((2, 2))) == Share(2, 2)


@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 8)), elements=st.floats(-1, 1)), st.randoms())
def test_rank_one_does_not_depend_on_the_order_of_people(vectors: np.ndarray, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(vectors)))
    random.shuffle(order)
    similarities = vectors @ vectors[::-1].T
    assert best_matches(similarities) == best_matches(similarities[np.ix_(order, order)])


def test_left_out_probes_stay_in_the_gallery() -> None:
    similarities = np.array([[0.9, 0.1, 0.2], [0.1, 0.2, 0.8], [0.1, 0.2, 0.8]])
    assert best_matches(similarities, np.array([False, True, True])) == Share(1, 2)


def test_nobody_is_nobody() -> None:
    assert best_matches(np.empty((0, 0))) == Share(0, 0)
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_different_people_are_off_the_diagonal() -> None:
    assert different(np.arange(9.0).reshape(3, 3)).tolist() == [1, 2, 3, 5, 6, 7]


def test_wilson_as_published() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_interval_holds_the_share_and_mirrors(hits: int, misses: int) -> None:
    share = Share(hits, hits + misses)
    low, high = share.interval
    assert 0 <= low <= high <= 1
    if share.total:
        assert low - 1e-12 <= share.value <= high + 1e-12
        assert wilson(misses, share.total) == pytest.approx((1 - high, 1 - low), abs=1e-9)
