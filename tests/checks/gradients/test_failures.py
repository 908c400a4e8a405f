"""What `check_grads` says of gradients that are wrong, and of functions that have none to compare."""

import re

import numpy as np
import pytest

from pytest_graphmode.errors import UnsupportedError
from tests.checks.gradients.functions import failure, handle

X = np.array([[0.5, -1.0], [2.0, 0.25]])


# Wrong gradients: the whole message.


def test_a_wrong_element_is_named_with_both_values_and_what_was_allowed():
    def gradient(w, x):
        grad = 2 * w
        grad[1, 0] = 7.0
        return grad, x

    text = failure(handle(gradient), lambda params, x: (params["w"][0] ** 2).sum() + (x**2).sum() / 2, {"w": [X]}, X)
    assert re.fullmatch(
        r"""the gradient of <lambda> is wrong at params\['w'\]\[0\]\[1, 0\], in argument 0 \[numpy-eager-cpu\]
  analytic 7
  numeric  4(\.\d+)?, by central difference with a step of \d(\.\d)?e-06
  they differ by 3, allowed \d(\.\d)?e-06 \(rtol=1e-06\)
  the analytic value is 1.75 times the numeric one: look at the custom gradient or the branch that computes this element
  checked in float64""",
        text,
    )


@pytest.mark.parametrize(
    ("factor", "hint"),
    [
        (-1, "the sign is flipped"),
        (2, "is 2 times the numeric one: is a term counted twice"),
        (0.5, "is 0.5 times the numeric one: is one of two equal terms missing"),
        (0, "the analytic value is zero: a path is cut or a term left out; look for detach, stop_gradient"),
        (1.01, "is 1.01 times the numeric one: look at the custom gradient"),
    ],
)
def test_the_ratio_of_the_values_gives_a_hint(factor, hint):
    assert hint in failure(handle(lambda x: (factor * np.cos(x),)), lambda x: np.sin(x).sum(), X)


def test_a_gradient_where_the_function_does_not_move_is_told():
    text = failure(handle(lambda x: (np.ones_like(x),)), lambda x: x[0].sum(), X)
    assert "x[1, " in text
    assert "the function does not move with this element, so its gradient should be zero" in text


def test_a_transposed_gradient_is_told():
    text = failure(handle(lambda x: (np.cos(x).T,)), lambda x: np.sin(x).sum(), X)
    assert "is the gradient transposed?" in text


def test_a_conjugated_gradient_is_told():
    z = np.array([1 + 2j, 3 - 1j])
    handle(lambda z: (2 * z.conj(),)).check_grads(lambda z: (z * z).sum().real, z)
    text = failure(handle(lambda z: (2 * z,)), lambda z: (z * z).sum().real, z)
    assert "(imaginary part), in argument 0" in text
    assert "conjugate of the right gradient" in text


def test_a_function_that_jumps_is_told():
    def step(x):
        return np.where(x > 0, 1.0, 0.0).sum()

    x = np.array([1e-6, 1])
    handle(lambda x: (0 * x,)).check_grads(step, x)
    failure(handle(lambda x: (np.array([5, 0]),)), step, x)


def test_a_function_that_rounds_large_terms_is_told():
    def cancelling(x):
        return ((x + 1e10) ** 2).sum() - 1e20 * x.size

    text = failure(handle(lambda x: (2 * (x + 1e10),), dtype="float64"), cancelling, X)
    assert "numeric value depends on the step" in text


def test_a_scalar_argument_has_no_index():
    assert "is wrong at x, in argument 0" in failure(handle(lambda x: (3 * x,)), lambda x: x**2, np.float64(2))


def test_arguments_without_a_name_are_counted():
    text = failure(handle(lambda x, y: (y, y)), lambda *args: args[0] * args[1], np.float64(2), np.float64(3))
    assert "args[1], in argument 1" in text


def test_the_step_of_the_edge_of_a_domain_is_told():
    x = np.array([1e-12, 1e-12])
    with np.errstate(invalid="ignore"):
        text = failure(handle(lambda x: (1 / x,)), lambda x: np.log(x - 1e-12 * (1 - 1e-15)).sum(), x)
    assert "not finite a step away: move the arguments away from the edge of its domain" in text


# Failures that need no difference.


def test_no_path_to_the_value():
    text = failure(handle(lambda x, y: (2 * x, None)), lambda x, y: (x**2).sum(), X, X)
    assert text.startswith("no path leads from y, argument 1, to the value of <lambda>: its gradient is None")
    assert "the value does not change with y either: use it, or leave it out of the checked arguments" in text


def test_a_path_that_is_cut():
    text = failure(handle(lambda x, y: (y, None)), lambda x, y: (x * y).sum(), X, X)
    assert text.startswith("the gradient of <lambda> by y, argument 1, is None, yet its value changes with y")
    assert "the path is cut: look for detach, stop_gradient" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite(value):
    text = failure(handle(lambda x: (x,)), lambda x: np.float64(value), X)
    assert f"can't be checked: its value is {value} at the given arguments" in text
    assert "give arguments at which the function is finite" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite(value):
    text = failure(handle(lambda x: (np.where(x == 2, value, 2 * x),)), lambda x: (x**2).sum(), X)
    assert f"the gradient of <lambda> is {value} at x[1, 0], in argument 0, though its value is finite" in text
    assert "guard the argument of the operation" in text


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ((), "none at all"),
        ((2.0, "a"), "only the Python float 2.0, the Python str 'a'"),
        ((np.arange(3),), "only int64[3]"),
    ],
)
def test_no_floating_argument(args, found):
    text = failure(handle(lambda *args: args), lambda *args: np.float64(1), *args)
    assert f"has no argument to differentiate by: a floating or complex tensor is needed, it got {found}" in text
    assert "pass NumPy arrays or graphmode.tensor(...)" in text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (2.0, "returned the Python float 2.0"),
        (None, "returned the Python NoneType None"),
        (np.arange(2), "returned int64[2]"),
        ({"a": np.arange(2), "b": 1}, "returned a dict of int64[2], the Python int 1"),
        ([], "returned a list of nothing"),
    ],
)
def test_no_floating_output(value, found):
    text = failure(handle(lambda x: (x,)), lambda x: value, X)
    assert f"there is nothing to differentiate: <lambda> {found}" in text
    assert "return at least one floating or complex tensor" in text


def test_a_function_that_is_not_deterministic():
    noise = np.random.default_rng(0)
    text = failure(handle(lambda x: (2 * x,)), lambda x: (x**2).sum() + noise.normal(), X)
    assert text.startswith("<lambda> is not deterministic, so the gradient of <lambda> can't be checked")
    assert "its value at the same arguments was " in text
    assert "switch dropout off" in text


def test_rounding_that_changes_from_run_to_run_is_not_taken_for_randomness():
    flips = iter(range(1000))
    handle(lambda x: (2 * x,)).check_grads(lambda x: (x**2).sum() * (1 + 2e-16 * (next(flips) % 2)), X)


def test_a_mode_without_gradients_fails_as_unsupported():
    def gradient(x):
        raise UnsupportedError("nothing has gradients here: use something else")

    g = handle(gradient)
    with pytest.raises(UnsupportedError, match="the gradient of <lambda> can't be checked") as caught:
        g.check_grads(lambda x: x, X)
    assert isinstance(caught.value, AssertionError)
    assert "nothing has gradients here: use something else" in str(caught.value)
