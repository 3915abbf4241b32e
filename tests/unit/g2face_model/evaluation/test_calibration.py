import numpy as np
import pytest

from g2face_model.evaluation.calibration import measure, rank_1


def test_thresholds_let_the_named_share_of_impostors_through() -> None:
    impostors = np.random.default_rng(0).standard_normal(100_000)
    accuracy = measure(np.array([5.0, 2.5, 0.0, 6.0]), impostors)
    assert (impostors > accuracy.threshold).mean() == pytest.approx(0.001, rel=0.02)
    assert (impostors > accuracy.threshold_far_1).mean() == pytest.approx(0.01, rel=0.01)
    assert accuracy.tar == 0.5  # 3.09 keeps 5 and 6
    assert accuracy.tar_far_1 == 0.75  # 2.33 keeps 2.5 as well


def test_equal_error_rate_of_two_shifted_normal_distributions() -> None:
    random = np.random.default_rng(1)
    accuracy = measure(random.standard_normal(20_000) + 2.0, random.standard_normal(20_000))
    assert accuracy.equal_error_rate == pytest.approx(0.1587, abs=0.005)  # both miss beyond one deviation


def test_equal_error_rate_is_zero_when_nothing_overlaps() -> None:
    assert measure(np.array([2.0, 3.0]), np.linspace(-1, 1, 1000)).equal_error_rate == 0.0


def test_rank_1_counts_the_nearest() -> None:
    gallery = np.eye(3)
    probes = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.9]])
    assert rank_1(probes, gallery, [0, 1]) == 0.5
