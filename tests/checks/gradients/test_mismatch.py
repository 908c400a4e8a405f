"""What a disagreement turns out to be: a step that does not suit, a kink, a rough function, or a wrong gradient."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_graphmode.checks.gradients.mismatch import agrees, coarse, kinked, measure, roughness
from tests.checks.gradients.functions import slopes

ONE = np.ones(1)


def agree(found, direction=ONE, by_element=1.0) -> bool:
    return agrees(found, direction, by_element * np.ones_like(direction))


def test_a_kink_nearby_needs_a_shorter_step():
    x = np.array([1e-6])
    right = slopes(lambda x: np.abs(x).sum(), x, [1.0])
    assert not right.central(ONE).agrees
    assert agree(right)
    assert not agree(slopes(lambda x: np.abs(x).sum(), x, [0.9]))


def test_elements_of_very_different_size_need_steps_of_their_own():
    x = np.array([1e-6, 1e4])
    right, wrong = (slopes(lambda x: np.log(np.abs(x)).sum(), x, factor / x) for factor in (1, 1.01))
    direction, sizes = np.array([1e4, 1e4]), np.array([1e-10, 1.0])
    assert not right.central(direction).agrees
    assert agrees(right, direction, sizes)
    assert not agrees(wrong, direction, sizes)


def test_the_slope_of_a_cube_at_zero_vanishes_with_the_step():
    assert not slopes(lambda x: (x**3).sum(), [0.0], [0.0]).central(ONE).agrees
    assert agree(slopes(lambda x: (x**3).sum(), [0.0], [0.0]))
    assert not agree(slopes(lambda x: (x**3 + 1e-7 * x).sum(), [0.0], [0.0]))


@pytest.mark.parametrize("offset", [1e8, 1e9])
def test_agreement_in_the_rounding_of_a_large_value_is_looked_at_with_larger_steps(offset):
    right, wrong = (slopes(lambda x: np.sin(x).sum() + offset, [0.5], [factor * np.cos(0.5)]) for factor in (1, 1.01))
    assert wrong.central(ONE).agrees
    assert not wrong.central(ONE).sensitive
    assert not agree(wrong)
    assert agree(right)


@pytest.mark.parametrize(("gradient", "excused"), [(-1.0, True), (0.0, True), (0.3, True), (1.0, True), (1.1, False)])
def test_at_a_kink_the_gradient_may_be_anything_between_the_slopes_of_both_sides(gradient, excused):
    found = slopes(lambda x: np.abs(x).sum(), [0.0], [gradient])
    assert kinked(found, ONE, found.central(ONE)) is excused


@pytest.mark.parametrize(("gradient", "excused"), [(1.0, True), (0.97, False), (-1.0, False)])
def test_with_a_kink_within_the_step_it_is_the_slope_of_a_side(gradient, excused):
    found = slopes(lambda x: np.abs(x).sum(), [1e-3], [gradient], dtype="float32")
    assert kinked(found, ONE, found.central(ONE)) is excused


@pytest.mark.parametrize("gradient", [1.0, 1.005, 1.01])
def test_a_curve_is_no_kink(gradient):
    found = slopes(lambda x: (np.exp(x) + 10 * x**2).sum(), [0.0], [gradient], dtype="float32")
    assert not kinked(found, ONE, found.central(ONE))


def test_a_smooth_function_is_not_rough():
    found = slopes(lambda x: np.sin(x).sum(), [0.5, 1.0], [1.0, 1.0])
    assert roughness(found, np.ones(2)) < 1e-15
    assert not measure(found, np.ones(2))
    assert not coarse(found)


def test_a_kink_is_not_rough():
    assert roughness(slopes(lambda x: np.abs(x).sum(), [0.0, 1.0], [0.0, 1.0]), np.ones(2)) < 1e-15


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
    found = slopes(function, x, np.cos(x))
    assert measure(found, np.abs(x))
    assert coarse(found)
