"""NumPy functions with gradients written by hand, in place of a framework that differentiates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_graphmode.backends.numpy import NumPy, NumPyEager
from pytest_graphmode.checks.gradients.differences import Differences, precision_of
from pytest_graphmode.handle import Handle
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.runtime import Runtime
from pytest_graphmode.select.variants import Variant


class ByHand(NumPyEager):
    """A mode whose gradients come from a function that the test hands over; `values` counts plain evaluations."""

    def __init__(self, gradient: Callable[..., tuple[Any, ...]]) -> None:
        self.gradient = gradient
        self.differentiated = 0

    def value_and_grad(self, fn, args, argnums, variables):
        self.differentiated += 1
        grads = self.gradient(*args)
        return fn(*args), [grads[position] for position in argnums], []


def handle(gradient: Callable[..., tuple[Any, ...]], dtype: str = "float32", seed: int = 0) -> Handle:
    """A handle of the NumPy backend, which differentiates by `gradient`."""
    rng = np.random.default_rng(seed)
    variant = Variant("numpy", "eager", "cpu", dtype)
    return Handle(Runtime(variant, NumPy(), ByHand(gradient), Recorder(), rng=rng), skip=_no_skip)


def _no_skip(reason: str):
    raise AssertionError(reason)


def failure(g: Handle, fn: Callable[..., Any], *args: Any, **options: Any) -> str:
    """What a check that must fail says."""
    with pytest.raises(AssertionError) as caught:
        g.check_grads(fn, *args, **options)
    return str(caught.value)


def differences(
    function: Callable[[np.ndarray], float], point: Any, gradient: Any, *, dtype: str = "float64", **options: Any
) -> Differences:
    """Differences of a function of a vector; in float32 the vector is rounded first."""
    point = np.asarray(point, np.float64)
    precision = precision_of(dtype, options.get("rtol"), options.get("atol"), options.get("eps"))
    rounded = _same if dtype == "float64" else _single
    value = float(function(rounded(point)))
    gradient = np.asarray(gradient, np.float64)
    return Differences(lambda vector: float(function(vector)), rounded, point, value, gradient, precision)


def _same(vector: np.ndarray) -> np.ndarray:
    return vector


def _single(vector: np.ndarray) -> np.ndarray:
    return vector.astype(np.float32).astype(np.float64)
