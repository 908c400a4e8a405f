"""Directions: magnitudes and signs, the scale of leaves, and leaves that would drown others."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_graphmode.checks.gradients import directions
from pytest_graphmode.checks.gradients.arguments import Leaf


def leaves(*scales: float, size: int = 10) -> list[Leaf]:
    return [Leaf(n, (size,), False, slice(n * size, (n + 1) * size), scale) for n, scale in enumerate(scales)]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_entries_have_random_signs_and_magnitudes_of_a_half_to_one_and_a_half():
    drawn = directions.signed(rng(), 1000)
    assert ((np.abs(drawn) >= 0.5) & (np.abs(drawn) <= 1.5)).all()
    assert 400 < (drawn > 0).sum() < 600
    assert np.ptp(np.abs(drawn)) > 0.9


def test_directions_have_the_scale_of_each_leaf():
    direction = directions.scaled(np.ones(20), leaves(1e-6, 1e4), np.ones(20))
    assert direction[:10] == pytest.approx(1e-6)
    assert direction[10:] == pytest.approx(1e4)


def test_elements_that_are_not_finite_stay_where_they_are():
    point = np.array([1.0, -np.inf, np.nan])
    assert directions.scaled(np.ones(3), leaves(1.0, size=3), point).tolist() == [1, 0, 0]


def test_the_second_direction_has_the_signs_of_the_gradient():
    gradient = rng().normal(size=20)
    first, second = directions.pair(rng(), leaves(1.0, 1.0), np.ones(20), gradient, 0.0)
    assert (np.sign(second) == np.sign(gradient)).all()
    assert (np.sign(first) != np.sign(gradient)).any()


def test_a_leaf_that_contributes_over_30_times_the_least_is_shrunk_to_that():
    gradient = np.repeat([1e6, 1.0], 10)
    direction = directions.balanced(np.ones(20), leaves(1.0, 1.0), gradient, 0.0)
    terms = gradient * direction
    assert directions.norm(terms[:10]) == pytest.approx(30 * directions.norm(terms[10:]))
    assert direction[10:].tolist() == [1.0] * 10


def test_no_leaf_is_shrunk_into_the_rounding_of_the_function():
    gradient = np.repeat([1.0, 1e-12], 10)
    direction = directions.balanced(np.ones(20), leaves(1.0, 1.0), gradient, least=1e-3)
    assert directions.norm((gradient * direction)[:10]) == pytest.approx(30 * 1e-3)


def test_the_others_are_shrunk_for_a_leaf_whose_gradient_is_zero():
    gradient = np.repeat([1.0, 0.0], 10)
    first, second = directions.pair(rng(), leaves(1.0, 1.0), np.ones(20), gradient, least=1e-6)
    assert directions.norm((gradient * first)[:10]) == pytest.approx(30e-6)
    assert directions.norm((gradient * second)[:10]) > 0.1
    assert np.abs(second[10:]).min() > 0


def test_directions_do_not_depend_on_anything_but_the_generator():
    gradient = np.linspace(-1, 1, 20)
    pairs = [directions.pair(rng(), leaves(1.0, 1.0), np.ones(20), gradient, 0.0) for _ in range(2)]
    assert all((one == other).all() for one, other in zip(*pairs, strict=True))
