"""Gradient descent whose graphs are locked in graphs.lock: README.md beside this file shows a pull request."""

import numpy as np
import pytest


def descend(weights, rate):
    """One step on the sum of squares."""
    return weights - rate * 2 * weights


@pytest.mark.graphmode(backends=["tf:graph", "torch:compile"])
def test_training(graphmode):
    step = graphmode.function(descend)
    weights, rate = graphmode.tensor(np.array([1.0, -2.0])), graphmode.tensor(0.1)
    for _ in range(3):
        weights = step(weights, rate)
    np.testing.assert_allclose(graphmode.numpy(weights), np.array([1.0, -2.0]) * 0.8**3, rtol=1e-5)
