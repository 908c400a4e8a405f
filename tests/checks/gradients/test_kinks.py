"""Exact kinks: a subgradient passes there in float64, and nothing outside of it does."""

import warnings

import numpy as np
import pytest

from tests.checks.gradients.functions import failure, handle

POINTS = [np.array([1.0, 2.0]), np.array([3.7e-3]), np.linspace(-4e3, 5e3, 17), np.array([[1e4, 1.0], [2.5, -3.0]])]


@pytest.mark.parametrize("c", POINTS, ids=["two", "small", "many", "of several sizes"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weight", [1.0, 0.3, -2.0])
def test_a_distance_of_zero(c, seed, weight):
    """No false alarm, and no word of a lower precision, which only a warning would tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        handle(lambda x: (weight * np.sign(x - c),), seed=seed).check_grads(
            lambda x: (weight * np.abs(x - c)).sum(), c.copy(), float64=True
        )
        for side in (x_is_above(c), x_is_at_least(c)):
            handle(side, seed=seed).check_grads(lambda x: np.maximum(x - c, 0).sum(), c.copy(), float64=True)


def x_is_above(c):
    return lambda x: ((x > c) * 1.0,)


def x_is_at_least(c):
    return lambda x: ((x >= c) * 1.0,)


@pytest.mark.parametrize("c", POINTS, ids=["two", "small", "many", "of several sizes"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_no_subgradient_fails(c, seed):
    text = failure(handle(lambda x: (np.sign(x - c) + 1.5,), seed=seed), lambda x: np.abs(x - c).sum(), c.copy())
    assert "checked in float64" in text
    text = failure(handle(lambda x: (1.01 * np.sign(x - c),), seed=seed), lambda x: np.abs(x - c).sum(), 1.1 * c)
    assert "checked in float64" in text


def test_a_wrong_element_beside_kinks_is_found():
    x = np.random.default_rng(0).normal(size=500)
    x[::7] = 0.0

    def gradient(x):
        found = np.where(x == 0, 0.5, np.sign(x))
        found[3] *= 1.01
        return (found,)

    handle(lambda x: (np.where(x == 0, 0.5, np.sign(x)),)).check_grads(lambda x: np.abs(x).sum(), x)
    assert "is wrong at x[3], in argument 0" in failure(handle(gradient), lambda x: np.abs(x).sum(), x)
