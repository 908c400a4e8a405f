"""What `compare` lets pass and what it finds, on either side of each tolerance."""

import tracemalloc
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from pytest_graphmode.backends import trees
from pytest_graphmode.checks.compare import Mismatch, first_leaf_mismatch

Point = namedtuple("Point", "x y")


@dataclass
class Grads:
    w: object
    b: object


def first_mismatch(actual, expected, *, root="result", **options) -> Mismatch | None:
    there, wanted = dict(trees.paths(actual, root)), dict(trees.paths(expected, root))
    return first_leaf_mismatch(there, wanted, **options)


def found(actual, expected, **options) -> Mismatch:
    mismatch = first_mismatch(actual, expected, **options)
    assert mismatch is not None
    return mismatch


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"),
    [
        ("float16", 1e-3, 1e-5),
        ("float32", 1.3e-6, 1e-5),
        ("float64", 1e-7, 1e-7),
        ("complex64", 1.3e-6, 1e-5),
        ("complex128", 1e-7, 1e-7),
    ],
)
@pytest.mark.parametrize("expected", [0.0, 64.0])
def test_the_default_tolerance_holds_just_inside_and_fails_just_outside(dtype, rtol, atol, expected):
    # Wide arrays of values on both sides: the limit is the narrow side's, and no rounding blurs it.
    wide = "complex128" if dtype.startswith("c") else "float64"
    narrow, limit = np.array(expected, dtype), atol + rtol * expected
    assert first_mismatch(np.array(expected + 0.99 * limit, wide), narrow) is None
    mismatch = found(np.array(expected + 1.01 * limit, wide), narrow)
    assert (mismatch.rtol, mismatch.atol) == (rtol, atol)
    assert mismatch.difference == pytest.approx(1.01 * limit, rel=1e-3)


def test_the_table_is_the_one_torch_testing_has():
    comparison = pytest.importorskip("torch.testing._comparison")
    import torch

    from pytest_graphmode.checks.tolerances import DEFAULTS

    for name, tolerance in DEFAULTS.items():
        assert comparison.default_tolerances(getattr(torch, name)) == tolerance


def test_bfloat16_arrays_are_floating_and_have_their_own_tolerance():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    one = np.array([1.0], bfloat16)
    assert first_mismatch(np.array([1.015], np.float32), one) is None
    assert found(np.array([1.02], np.float32), one).rtol == 1.6e-2


def test_a_python_float_counts_as_what_it_was_computed_in():
    near, one = {"x": 1 + 5e-6}, {"x": 1.0}
    assert first_leaf_mismatch(near, one).rtol == 1e-7
    assert first_leaf_mismatch(near, one, computed_in=["float32"]) is None
    assert first_leaf_mismatch(near, one, computed_in=["float64", "float32"]) is None
    assert first_leaf_mismatch({"x": np.float64(1 + 5e-6)}, {"x": np.float64(1)}, computed_in=["float32"]) is not None
    assert first_mismatch(1 + 5e-6, np.float32(1)) is None


@pytest.mark.parametrize(
    ("actual", "expected"),
    [(np.int64(5), np.int64(6)), (np.uint8(0), np.uint8(255)), (2**62, 2**62 + 1), (True, False)],
)
def test_integers_and_booleans_are_exact_whatever_the_tolerances(actual, expected):
    assert first_mismatch(actual, actual) is None
    assert first_mismatch(actual, expected, rtol=10, atol=1000) is not None


def test_the_width_of_an_integer_does_not_matter_but_its_kind_does():
    assert first_mismatch(np.int32([1, 2]), np.int64([1, 2])) is None
    mismatch = found(np.int64([1, 2]), np.float32([1, 2]))
    assert mismatch.kind == "dtype"
    assert str(mismatch) == (
        "result: got int64[2], expected float32[2]: the kinds of dtype differ (boolean, integer, floating, complex)"
    )
    assert found(True, 1).kind == "dtype"
    assert found(np.complex64(1), np.float32(1)).kind == "dtype"


def test_nan_agrees_with_nan_alone():
    nan = float("nan")
    assert first_mismatch(np.array([nan, 1.0]), np.array([nan, 1.0])) is None
    for actual, expected in [(nan, 1.0), (1.0, nan)]:
        mismatch = found(np.array([2.0, actual]), np.array([2.0, expected]), rtol=100)
        assert mismatch.index == (1,)
        assert np.isnan(mismatch.difference)


def test_an_infinity_agrees_with_the_same_infinity_alone():
    inf = float("inf")
    assert first_mismatch(np.array([inf, -inf]), np.array([inf, -inf])) is None
    for actual, expected in [(inf, -inf), (inf, 1.0), (1.0, inf), (1.0, -inf), (inf, float("nan"))]:
        assert first_mismatch(np.float64(actual), np.float64(expected), rtol=100) is not None


def test_the_worst_element_is_named_with_its_numbers():
    actual = np.ones((2, 3), np.float32)
    expected = actual.copy()
    actual[0, 1], actual[1, 2] = 1.001, 1.25
    mismatch = found(actual, expected, root="y")
    assert (mismatch.index, mismatch.mismatched, mismatch.total) == ((1, 2), 2, 6)
    assert (mismatch.actual, mismatch.expected, mismatch.difference, mismatch.relative) == (1.25, 1.0, 0.25, 0.25)
    assert str(mismatch) == (
        "y at [1, 2]: got 1.25, expected 1.0: they differ by 0.25 (relative 0.25); "
        "allowed are rtol 1.3e-06 and atol 1e-05; 2 of 6 elements differ, this one the most"
    )


def test_the_first_leaf_that_differs_is_named_by_its_path():
    expected = {"a": [1.0, (2.0, Point(3.0, 4.0))], "g": Grads(w=np.ones(2), b=None)}
    assert first_mismatch(expected, {"a": [1.0, (2.0, Point(3.0, 4.0))], "g": Grads(np.ones(2), None)}) is None
    assert found({**expected, "a": [1.0, (2.0, Point(3.0, 5.0))]}, expected, root="r").path == "r['a'][1][1].y"
    assert found({**expected, "g": Grads(np.ones(2) * 2, None)}, expected, root="r").path == "r['g'].w"


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ({"a": 1}, {"a": 1, "b": 2.5}, "result['b']: got nothing there, expected 2.5: the structures differ"),
        ({"a": 1, "b": [np.ones(2)]}, {"a": 1}, "result['b'][0]: got float64[2], expected nothing there"),
        ([1.0], 1.0, "result: got nothing there, expected 1.0"),
        ([], [1.0], "result[0]: got nothing there"),
        ([1.0], [], "result[0]: got 1.0, expected nothing there"),
    ],
)
def test_a_leaf_on_one_side_only_is_a_mismatch_of_structure(actual, expected, message):
    mismatch = found(actual, expected)
    assert mismatch.kind == "structure"
    assert message in str(mismatch)


@pytest.mark.parametrize("value", [None, "text", b"bytes", 10**30, np.array(["a", "b"]), np.array([None, "b"])])
def test_leaves_that_are_no_numbers_have_to_be_equal(value):
    assert first_mismatch([value], [value]) is None
    mismatch = found([value], [np.float32(1)])
    assert mismatch.kind == "value"
    assert "expected float32[]; they must be equal" in str(mismatch)


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_are_compared_in_less_memory_than_they_take(order):
    expected = np.zeros((2, 4_000_000), np.float32, order)
    actual = expected.copy(order)
    tracemalloc.start()
    try:
        assert first_mismatch(actual, expected) is None
        actual[0, 5], actual[1, 3_999_999], actual[1, 7] = 1.0, 3.0, 2.0
        mismatch = found(actual, expected)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (mismatch.index, mismatch.actual, mismatch.difference) == ((1, 3_999_999), 3.0, 3.0)
    assert (mismatch.mismatched, mismatch.total) == (3, 8_000_000)
    assert peak < (1 if order == "C" else 3) * expected.nbytes
