"""Central differences: their accuracy, tolerance, the step really taken, and averages in a low precision."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_graphmode.checks.gradients.slopes import precision_of
from tests.checks.gradients.functions import slopes

X = np.array([0.3, -1.2, 0.7])
ONES = np.ones(3)


def test_a_right_slope_agrees_and_a_wrong_one_does_not():
    right = slopes(lambda x: np.sin(x).sum(), X, np.cos(X)).central(ONES)
    wrong = slopes(lambda x: np.sin(x).sum(), X, 1.0001 * np.cos(X)).central(ONES)
    assert right.agrees
    assert right.numeric == pytest.approx(np.cos(X).sum(), abs=1e-9)
    assert not wrong.agrees


def test_the_first_step_is_the_cube_root_of_the_machine_epsilon():
    assert precision_of("float64", None, None, None).step == pytest.approx(6.06e-6, rel=1e-2)
    assert precision_of("float32", None, None, None).step == pytest.approx(4.92e-3, rel=1e-2)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-6), ("float32", 1e-3)])
def test_the_tolerance_is_relative_to_the_terms_and_allows_for_rounding(dtype, rtol):
    found = slopes(lambda x: np.sin(x).sum() + 5.0, X, np.cos(X), dtype=dtype).central(ONES)
    assert found.tolerance == pytest.approx(rtol * np.linalg.norm(np.cos(X)) + found.noise, rel=1e-3)
    assert found.noise == pytest.approx(10 * precision_of(dtype, None, None, None).eps * 5 / found.step, rel=0.2)


def test_tolerances_and_step_are_those_asked_for():
    found = slopes(lambda x: (x**2).sum(), X, 2 * X, rtol=0.1, atol=0.5, eps=1e-3).central(ONES)
    assert found.step == 1e-3
    assert found.tolerance == pytest.approx(0.1 * np.linalg.norm(2 * X) + 0.5 * np.sqrt(3), rel=1e-6)


def test_the_difference_is_divided_by_the_step_really_taken():
    """At 1e3 float32 has a resolution of 6e-5, so that a step of 5e-4 is off by several percent."""
    x = np.array([1e3])
    found = slopes(lambda x: 2 * x[0], x, [2.0], dtype="float32", eps=5e-4).central(np.ones(1))
    assert found.numeric == pytest.approx(found.analytic, rel=1e-9)
    assert found.analytic != 2.0


def test_the_two_sides_tell_a_kink():
    found = slopes(lambda x: np.abs(x).sum(), [0.0], [0.0]).central(np.ones(1))
    assert (found.left, found.right) == pytest.approx((-1, 1))


def test_an_average_over_steps_is_less_noisy():
    rough = slopes(lambda x: np.float32(np.sin(x).sum()), X, np.cos(X), dtype="float32")
    one, many = rough.central(ONES, 1e-2), rough.averaged(ONES, 1e-2)
    assert many.noise == pytest.approx(one.noise / 5, rel=1e-2)
    assert abs(many.numeric - np.cos(X).sum()) < many.tolerance < one.tolerance


def test_a_step_out_of_the_domain_is_infinitely_wrong():
    with np.errstate(invalid="ignore"):
        found = slopes(lambda x: np.log(x).sum(), [1e-9], [1e9], eps=1e-3).central(np.ones(1))
    assert found.error == np.inf
    assert not found.agrees


def test_infinite_elements_do_not_move():
    found = slopes(lambda x: np.exp(x).sum(), [-np.inf, 1.0], [0.0, np.e]).central(np.array([0.0, 1.0]))
    assert found.agrees
