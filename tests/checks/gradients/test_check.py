"""`check_grads` as a whole, on NumPy functions with gradients written by hand."""

import re
from pathlib import Path

import numpy as np
import pytest

from pytest_graphmode import PrecisionWarning
from pytest_graphmode.checks.gradients.program import Projection
from tests.checks.gradients.functions import failure, handle

X = np.array([[0.5, -1.0], [2.0, 0.25]])


# Right gradients.


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


def test_a_looser_tolerance_lets_an_error_pass():
    g = handle(lambda x: (2.02 * x,))
    failure(g, lambda x: (x**2).sum(), X)
    g.check_grads(lambda x: (x**2).sum(), X, rtol=0.1)
    g.check_grads(lambda x: (x**2).sum(), X, atol=0.5)


# Precision.


def test_where_float64_raises_it_runs_in_the_dtype_of_the_variant_and_says_so():
    def single(x):
        if x.dtype == np.float64:
            raise TypeError("expected float32")
        return (x**2).sum()

    with pytest.warns(PrecisionWarning) as caught:
        handle(lambda x: (2 * x,)).check_grads(single, X)
    assert [Path(warning.filename).name for warning in caught] == ["test_check.py"]
    assert str(caught[0].message) == (
        "check_grads of single [numpy-eager-cpu] ran in float32, where errors up to 0.001 pass: in float64 it raised "
        "TypeError: expected float32. Make what it reads in float64, or of graphmode.dtype within the function; "
        "check_grads(..., float64=True) makes this a failure"
    )
    text = failure(handle(lambda x: (2.05 * x,)), single, X)
    assert "(rtol=0.001)" in text
    assert text.endswith("checked in float32 (in float64 it raised TypeError: expected float32)")


def test_float64_can_be_asked_for():
    def single(x):
        if x.dtype == np.float64:
            raise TypeError("expected float32")
        return (x**2).sum()

    text = failure(handle(lambda x: (2 * x,)), single, X, float64=True)
    assert (
        "the gradient of single can't be checked in float64: in float64 it raised TypeError: expected float32" in text
    )
    assert "make what the function reads in float64, or of graphmode.dtype within it, or leave out float64=True" in text
    handle(lambda x: (2 * x,)).check_grads(lambda x: (x**2).sum(), X, float64=True)


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
    with pytest.warns(PrecisionWarning, match=dtype):
        handle(lambda x: (np.cos(x),), dtype=dtype, seed=seed).check_grads(low, x)
    failure(handle(lambda x: (1.5 * np.cos(x),), dtype=dtype, seed=seed), low, x)


# Many outputs.


def projection() -> Projection:
    return Projection(handle(lambda x: (x,)).runtime, lambda x: x, np.random.default_rng(0))


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
        from tests.checks.gradients.functions import failure, handle

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
