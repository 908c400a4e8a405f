"""`check_grads` as a whole, on NumPy functions with gradients written by hand."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.gradients.program import Projection
from tests.gradients.functions import handle

X = np.array([[0.5, -1.0], [2.0, 0.25]])


def failure(g, fn, *args, **options) -> str:
    with pytest.raises(AssertionError) as caught:
        g.check_grads(fn, *args, **options)
    return str(caught.value)


def counted(fn):
    def call(*args):
        call.times += 1
        return fn(*args)

    call.times = 0
    return call


# Right gradients.


def test_a_right_gradient_costs_one_gradient_and_four_evaluations():
    square = counted(lambda x: (x**2).sum())
    g = handle(lambda x: (2 * x,))
    g.check_grads(square, X)
    assert g._mode.differentiated == 1
    assert square.times == 1 + 4


def test_it_runs_in_float64_whatever_the_variant_and_gives_the_dtype_back():
    seen = set()

    def square(x):
        seen.update((x.dtype.name, g.dtype, g.tensor(1.0).dtype.name))
        return (x**2).sum()

    g = handle(lambda x: (2 * x,))
    g.check_grads(square, X.astype(np.float32))
    assert seen == {"float64"}
    assert g.dtype == "float32"


def test_integers_and_python_values_are_passed_through():
    def pick(x, index, factor, name):
        assert index.dtype == np.int64
        assert isinstance(index, np.ndarray)
        assert factor == 3
        assert name == "sum"
        return factor * x[index].sum()

    def gradient(x, index):
        grad = np.zeros(4)
        np.add.at(grad, index, 3.0)
        return (grad,)

    handle(gradient).check_grads(lambda x, i: pick(x, i, 3, "sum"), np.arange(4.0), np.array([0, 2, 2]))
    handle(lambda x: (3 * np.ones(4),)).check_grads(
        lambda x, factor, name: pick(x, np.arange(4), factor, name), np.arange(4.0), 3, "sum"
    )


def test_the_generator_of_the_test_is_left_where_it_was():
    one, other = handle(lambda x: (2 * x,)), handle(lambda x: (2 * x,))
    one.check_grads(lambda x: (x**2).sum(), X)
    assert one.rng.normal() == other.rng.normal()


def test_each_check_of_a_test_looks_in_new_directions():
    points = []

    def square(x):
        points.append(x.tobytes())
        return (x**2).sum()

    g = handle(lambda x: (2 * x,))
    g.check_grads(square, X)
    g.check_grads(square, X)
    assert len(set(points)) == 9


def test_tests_of_the_same_seed_look_in_the_same_directions():
    texts = [failure(handle(lambda x: (3 * x,), seed=seed), lambda x: (x**2).sum(), X) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_looser_tolerance_lets_an_error_pass():
    g = handle(lambda x: (2.02 * x,))
    failure(g, lambda x: (x**2).sum(), X)
    g.check_grads(lambda x: (x**2).sum(), X, rtol=0.1)
    g.check_grads(lambda x: (x**2).sum(), X, atol=0.5)


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
    text = failure(handle(lambda x: (np.array([5, 0]),)), step, x)
    assert "numeric value depends on the step" in text or "too rough to be differentiated numerically" in text


def test_a_function_that_rounds_large_terms_is_told():
    def cancelling(x):
        return ((x + 1e10) ** 2).sum() - 1e20 * x.size

    text = failure(handle(lambda x: (2 * (x + 1e10),), dtype="float64"), cancelling, X)
    assert "numeric value depends on the step" in text


def test_a_function_that_is_rough_at_every_distance_is_told():
    def rough(x):
        return np.sin(x).sum() + 1e-3 * np.sin(1e14 * x.astype(np.float64)).sum()

    text = failure(handle(lambda x: (np.cos(x),)), rough, X)
    assert "can't be checked: the function is too rough to be differentiated numerically" in text
    assert re.search(r"its value of \S+ is off by about 0\.00\d+, which hides slopes like the analytic", text)
    assert "rounds large terms that cancel: try other arguments" in text


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


# Precision.


def test_where_float64_raises_it_runs_in_the_dtype_of_the_variant_and_says_so(caplog):
    def single(x):
        if x.dtype == np.float64:
            raise TypeError("expected float32")
        return (x**2).sum()

    with caplog.at_level(logging.WARNING):
        handle(lambda x: (2 * x,)).check_grads(single, X)
    assert "check_grads of single ran in float32, with a larger tolerance" in caplog.text
    assert "in float64 it raised TypeError: expected float32" in caplog.text
    text = failure(handle(lambda x: (2.05 * x,)), single, X)
    assert "(rtol=0.001)" in text
    assert text.endswith("checked in float32 (in float64 it raised TypeError: expected float32)")


def test_where_the_result_is_float32_all_the_same_it_says_so():
    text = failure(handle(lambda x: (2.05 * x,)), lambda x: (x.astype(np.float32) ** 2).sum(), X)
    assert text.endswith("checked in float32 (it returns float32 for float64 arguments)")


def test_where_it_computes_in_float32_inside_it_says_so():
    text = failure(handle(lambda x: (2.05 * x,)), lambda x: np.float64((x.astype(np.float32) ** 2).sum()), X)
    assert text.endswith("checked in float32 (it computes in less than float64 inside)")


def test_a_variant_in_float64_has_nothing_to_fall_back_to():
    def single(x):
        raise TypeError("expected float32")

    with pytest.raises(TypeError, match="expected float32"):
        handle(lambda x: (x,), dtype="float64").check_grads(single, X)


def test_what_the_function_raises_itself_is_raised():
    with pytest.raises(ZeroDivisionError):
        handle(lambda x: (x,)).check_grads(lambda x: 1 / 0, X)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("seed", range(20))
def test_low_precisions_raise_no_false_alarm_and_miss_no_large_error(dtype, seed):
    def low(x):
        if x.dtype == np.float64:
            raise TypeError("no float64")
        return np.sin(x).sum()

    x = np.random.default_rng(seed).normal(size=(3, 4))
    handle(lambda x: (np.cos(x),), dtype=dtype, seed=seed).check_grads(low, x)
    failure(handle(lambda x: (1.5 * np.cos(x),), dtype=dtype, seed=seed), low, x)


# Many outputs.


def projection() -> Projection:
    return Projection(handle(lambda x: (x,)), lambda x: x, np.random.default_rng(0))


def test_a_real_scalar_is_projected_on_itself():
    value = np.float64(3.5)
    assert projection()(value) is value


def test_outputs_are_projected_on_fixed_weights():
    project = projection()
    ones = {"a": np.ones((2, 3)), "b": (np.zeros(2), 7, np.arange(3))}
    first = project(ones)
    assert first == project(ones)
    assert first.shape == ()
    weights = [project({**ones, "a": row.reshape(2, 3)}) for row in np.eye(6)]
    assert sum(weights) == pytest.approx(first)
    assert all(0.5 <= abs(weight) <= 1.5 for weight in weights)
    assert project.dtypes == {"float64"}


def test_complex_outputs_are_projected_on_both_of_their_parts():
    project = projection()
    real, imaginary = project(np.complex128(1)), project(np.complex128(1j))
    assert 0.5 <= abs(real) <= 1.5
    assert 0.5 <= abs(imaginary) <= 1.5
    assert project(np.complex128(2 + 3j)) == pytest.approx(2 * real + 3 * imaginary)


# Wrong calls.


@pytest.mark.parametrize(
    ("options", "legal"),
    [
        ({"order": 3}, "order must be 1 or 2, not 3"),
        ({"order": 0}, "order must be 1 or 2, not 0"),
        ({"order": True}, "order must be 1 or 2, not True"),
        ({"eps": 0}, "eps must be a step between 0 and 1, relative to each argument, not 0"),
        ({"eps": -1e-3}, "eps must be a step between 0 and 1"),
        ({"rtol": -1}, "rtol must be a number from 0 up, not -1"),
        ({"atol": np.nan}, "atol must be a number from 0 up, not nan"),
    ],
)
def test_wrong_options_are_refused_with_the_legal_values(options, legal):
    with pytest.raises(ValueError, match=re.escape(legal)):
        handle(lambda x: (x,)).check_grads(lambda x: (x**2).sum() / 2, X, **options)


def test_failures_show_no_frames_of_the_check(pytester):
    pytester.makepyfile(
        """
        import numpy as np
        from tests.gradients.functions import handle

        def test_wrong():
            handle(lambda x: (3 * x,)).check_grads(lambda x: (x**2).sum(), np.ones(3))

        def test_raises():
            def broken(x):
                raise ValueError("of the user's own")
            handle(lambda x: (3 * x,)).check_grads(broken, np.ones(3))
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*the gradient of <lambda> is wrong at x[[]*", "*of the user's own*"])
    result.stdout.no_fnmatch_line("*pytest_graphmode/*.py:*")
    result.assert_outcomes(failed=2)
