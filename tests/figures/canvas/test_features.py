"""Choosing and naming features of flat observations."""

import numpy as np

from lrpdyn.figures.canvas import features, layout


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


def test_features_have_their_names_and_an_index_where_there_is_none() -> None:
    names = {"features": {"0": "pole angle"}, "samples": {"1": "a sample"}}
    found = features.feature_names(np.array([0, 1]), np.array([0.5, 2.0]), names)
    assert found == ["pole angle: 0.5", "1: 2"]
    found = features.feature_names(np.array([0, 40]), np.zeros(99), names)
    assert found == ["pole angle", "40"]


def test_names_that_are_cut_are_told_apart_by_their_numbers() -> None:
    names = {"features": {str(one): f"left_front_joint_velocity_{one}" for one in (3, 4)}}
    found = features.feature_names(np.array([3, 4]), np.zeros(99), names)
    assert found == ["3 left_front_joint_v…", "4 left_front_joint_v…"]
    assert layout.widest(found, 1.0) <= features.OF_NAMES
    (less,) = features.feature_names(np.array([3]), np.zeros(99), names, most=5.0)
    assert layout.text_width(less, 1.0) <= 5.0
