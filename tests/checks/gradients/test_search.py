"""What a disagreement turns out to be, and the search for the wrong element."""

import numpy as np
import pytest

from pytest_graphmode.checks.gradients.leaves import Part
from pytest_graphmode.checks.gradients.search import fault, suspect
from tests.checks.gradients.functions import differences

ONE = np.ones(1)
PARTS = [Part(0, (40, 10), False, slice(0, 400), 1.0), Part(1, (100,), False, slice(400, 500), 1.0)]
X = np.random.default_rng(0).normal(size=500)
SIGNS = np.random.default_rng(1).choice([-1.0, 1.0], 500)


def suspected(function, point, gradient, direction=ONE, sizes=1.0, **options):
    found = differences(function, point, gradient, **options)
    return suspect(found, direction, found.along(direction), sizes * np.ones_like(direction))


def test_a_kink_nearby_needs_a_shorter_step():
    assert suspected(lambda x: np.abs(x).sum(), [1e-6], [1.0]) is None
    found = suspected(lambda x: np.abs(x).sum(), [1e-6], [0.9])
    assert (found.factor < 1, found.kinked, found.coarse) == (True, False, False)


@pytest.mark.parametrize("offset", [1e8, 1e9])
def test_agreement_in_the_rounding_of_a_large_value_is_looked_at_with_longer_steps(offset):
    def large(x):
        return np.sin(x).sum() + offset

    assert suspected(large, [0.5], [np.cos(0.5)]) is None
    assert suspected(large, [0.5], [1.01 * np.cos(0.5)]).factor > 1


@pytest.mark.parametrize(("gradient", "excused"), [(-1.0, True), (0.3, True), (1.0, True), (1.1, False)])
def test_at_a_kink_the_gradient_may_be_anything_between_the_slopes_of_both_sides(gradient, excused):
    assert suspected(lambda x: np.abs(x).sum(), [0.0], [gradient]).excused is excused


@pytest.mark.parametrize("gradient", [1.005, 1.01])
def test_a_curve_is_no_kink_and_a_jump_is_told(gradient):
    assert not suspected(lambda x: (np.exp(x) + 10 * x**2).sum(), [0.0], [gradient]).kinked
    assert suspected(lambda x: np.where(x > 0, 1.0, 0.0).sum(), [0.0], [gradient]).jumps


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.float64(np.sin(x.astype(np.float32)).sum()),
        lambda x: np.float64(np.float32(np.sin(x).sum())),
        lambda x: np.float64((x.astype(np.float32) ** 2).mean()),
    ],
    ids=["input", "output", "mean"],
)
def test_a_function_that_rounds_to_float32_inside_is_coarse(function, seed):
    x = np.random.default_rng(seed).normal(size=6)
    assert suspected(function, x, 2 * np.cos(x) + 1, np.abs(x)).coarse
    assert not suspected(lambda x: np.sin(x).sum(), x, 2 * np.cos(x) + 1, np.abs(x)).coarse


def found(function, gradient):
    count = []
    made = differences(lambda x: (count.append(0), function(x))[1], X, gradient)
    return fault(made, PARTS, suspect(made, SIGNS, made.along(SIGNS), np.ones(500))), len(count)


@pytest.mark.parametrize("wrong", [0, 137, 399, 400, 499])
def test_the_one_wrong_element_is_found_in_few_evaluations(wrong):
    gradient = np.cos(X)
    gradient[wrong] *= 1.5
    fault, evaluations = found(lambda x: np.sin(x).sum(), gradient)
    assert fault.coordinates.tolist() == [wrong]
    assert evaluations < 70


def test_of_several_wrong_elements_the_worst_is_found():
    gradient = np.cos(X)
    gradient[10] += 0.001
    gradient[450] += 10
    assert found(lambda x: np.sin(x).sum(), gradient)[0].coordinates.tolist() == [450]


def test_an_error_too_small_in_each_element_is_given_for_many():
    made = differences(lambda x: (x**2).sum(), X, 2 * X * (1 + 9e-7))
    along = np.sign(X)
    assert fault(made, PARTS, suspect(made, along, made.along(along), np.ones(500))).coordinates.size > 1
