"""Choosing and naming features of flat observations."""

import numpy as np

from lrpdyn.figures.canvas import features


def test_all_features_stay_in_order_and_some_come_strongest_first() -> None:
    dynamics = np.array([1.0, 9, 3, np.nan, 9])
    assert features.largest_features(dynamics, 5).tolist() == [0, 1, 2, 3, 4]
    assert features.largest_features(dynamics, 3).tolist() == [1, 4, 2]


def test_features_that_changed_most_stay_in_order() -> None:
    differences = np.array([[1.0, 5, 0, 2], [1, 0, 9, 2]])
    assert features.most_changed_features(differences, 2).tolist() == [1, 2]


def test_observed_values_are_printed_up_to_32_features() -> None:
    observation = np.linspace(-1, 1, 32)
    assert features.feature_names(np.array([0, 31]), observation) == ["0: -1", "31: 1"]
    assert features.feature_names(np.array([0, 32]), np.zeros(33)) == ["0", "32"]
