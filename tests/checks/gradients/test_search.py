"""The search for the wrong element."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_graphmode.checks.gradients import search
from pytest_graphmode.checks.gradients.arguments import Leaf
from pytest_graphmode.checks.gradients.search import Search
from tests.checks.gradients.functions import slopes

LEAVES = [Leaf(0, (40, 10), False, slice(0, 400), 1.0), Leaf(1, (100,), False, slice(400, 500), 1.0)]


def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=500)


def found(function, gradient, point=None, direction=None):
    slope = slopes(function, x() if point is None else point, gradient)
    if direction is None:
        direction = np.random.default_rng(1).choice([-1.0, 1.0], 500)
    return Search(slope, LEAVES, direction, np.ones(500)).fault(), slope


@pytest.mark.parametrize("wrong", [0, 137, 399, 400, 499])
def test_the_one_wrong_element_is_found_in_few_evaluations(wrong):
    gradient = np.cos(x())
    gradient[wrong] *= 1.5
    fault, slope = found(lambda x: np.sin(x).sum(), gradient)
    assert fault.coordinates.tolist() == [wrong]
    assert fault.leaf is LEAVES[wrong >= 400]
    assert slope.evaluations < 100


def test_a_right_gradient_has_no_fault():
    assert found(lambda x: np.sin(x).sum(), np.cos(x()))[0] is None


def test_of_several_wrong_elements_the_worst_half_is_looked_into_first():
    gradient = np.cos(x())
    gradient[10] += 0.001
    gradient[450] += 10
    assert found(lambda x: np.sin(x).sum(), gradient)[0].coordinates.tolist() == [450]


def test_kinks_are_excused_and_the_wrong_element_beside_them_is_found():
    point = x()
    point[::7] = 0.0
    gradient = np.sign(point)
    assert found(lambda x: np.abs(x).sum(), gradient, point)[0] is None
    gradient[3] *= 1.01
    assert found(lambda x: np.abs(x).sum(), gradient, point)[0].coordinates.tolist() == [3]


def test_an_error_too_small_in_each_element_is_given_for_many():
    fault, _ = found(lambda x: (x**2).sum(), 2 * x() * (1 + 9e-7), direction=np.sign(x()))
    assert len(fault.coordinates) > 1
    assert fault.leaf is LEAVES[0]


def test_past_its_limit_the_search_judges_whole_blocks(monkeypatch):
    monkeypatch.setattr(search, "EVALUATIONS", 60)
    fault, slope = found(lambda x: np.abs(x).sum(), np.zeros(500), np.zeros(500))
    assert fault is None
    assert slope.evaluations < 120
    fault, _ = found(lambda x: np.abs(x).sum(), np.full(500, 1.5), np.zeros(500))
    assert fault is not None
