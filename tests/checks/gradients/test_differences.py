"""Central differences: accuracy, tolerance, the step really taken; directions, and leaves that would drown others."""

import numpy as np
import pytest

from pytest_graphmode.checks.gradients.differences import balanced, norm, pair, precision_of
from pytest_graphmode.checks.gradients.leaves import Part
from tests.checks.gradients.functions import differences

X = np.array([0.3, -1.2, 0.7])
ONES = np.ones(3)
PARTS = [Part(number, (10,), False, slice(number * 10, number * 10 + 10), 1.0) for number in range(2)]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def linear(gradient):
    return differences(lambda x: 1.0, np.ones(gradient.size), gradient)


def test_the_difference_is_divided_by_the_step_really_taken():
    """At 1e3 float32 has a resolution of 6e-5, so that a step of 5e-4 is off by several percent."""
    found = differences(lambda x: 2 * x[0], np.array([1e3]), [2.0], dtype="float32", eps=5e-4).along(np.ones(1))
    assert found.numeric == pytest.approx(found.analytic, rel=1e-9)
    assert found.analytic != 2.0


def test_a_leaf_that_contributes_over_30_times_the_least_is_shrunk_to_that():
    gradient = np.repeat([1e3, 1.0], 10)
    direction = balanced(np.ones(20), PARTS, linear(gradient))
    assert norm((gradient * direction)[:10]) == pytest.approx(30 * norm((gradient * direction)[10:]))
    assert direction[10:].tolist() == [1.0] * 10


def test_no_leaf_is_shrunk_into_the_rounding_of_the_function():
    gradient = np.repeat([1.0, 1e-12], 10)
    least = 1e5 * 2**-52 / precision_of("float64", None, None, None).step
    assert norm((gradient * balanced(np.ones(20), PARTS, linear(gradient)))[:10]) == pytest.approx(30 * least)


def test_the_others_are_shrunk_for_a_leaf_whose_gradient_is_zero():
    gradient = np.repeat([1e3, 0.0], 10)
    first, second = pair(rng(), PARTS, linear(gradient))
    assert norm((gradient * first)[:10]) < 1e-3 < norm((gradient * second)[:10])
    assert np.abs(second[10:]).min() > 0
