"""Numbers at the edges of `graphmode.xp`: integers that a dtype doesn't hold, one point, what NumPy deprecates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.backends.test_xp import Eager, made, names

BIG = 2**40


@pytest.fixture(params=["numpy", "tf-eager", "torch-eager", "jax-eager"])
def mode(request: pytest.FixtureRequest) -> Iterator[Eager]:
    mode = made(request.param)
    with mode.scope():
        yield mode


CALLS = {
    "asarray": lambda xp: xp.asarray(BIG),
    "array": lambda xp: xp.array([1, BIG]),
    "full": lambda xp: xp.full(2, BIG),
    "arange": lambda xp: xp.arange(BIG, BIG + 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_integers_that_int32_does_not_hold_are_int64(mode: Eager, name: str) -> None:
    made_ = CALLS[name](mode.namespace("float32"))
    assert names(mode, made_) == ["int64"]
    np.testing.assert_array_equal(mode.numpy(made_), CALLS[name](np))


@pytest.mark.parametrize("name", CALLS)
def test_without_int64_they_are_refused(name: str) -> None:
    with pytest.raises(OverflowError, match="does not fit int32"):
        CALLS[name](made("jax-eager").namespace("float32"))


@pytest.mark.parametrize("name", ["add", "multiply", "maximum"])
def test_an_integer_that_does_not_fit_the_other_argument_is_refused(mode: Eager, name: str) -> None:
    xp = mode.namespace("float32")
    whole = mode.place(np.ones(2), "int32")
    with pytest.raises((OverflowError, RuntimeError), match=r"does not fit int32|without overflow"):
        getattr(xp, name)(whole, BIG)
    assert mode.numpy(getattr(xp, name)(mode.place(np.ones(2), "float32"), BIG)).tolist() == [BIG] * 2


def test_a_dtype_that_does_not_hold_a_number_is_refused(mode: Eager) -> None:
    xp = mode.namespace("float32")
    with pytest.raises((OverflowError, RuntimeError)):
        xp.full(2, 300, dtype="uint8")
    assert names(mode, xp.full(2, 255, dtype="uint8")) == ["uint8"]


@pytest.mark.parametrize("outside", [{}, {"left": -9.0, "right": 9.0}])
def test_interpolation_with_one_point(mode: Eager, outside: dict[str, float]) -> None:
    xp = mode.namespace("float64")
    with np.errstate(all="raise"):
        x = mode.place(np.array([0.0, 1.0, 2.0]), "float64")
        value = mode.numpy(xp.interp(x, [1.0], [5.0], **outside))
    np.testing.assert_array_equal(value, np.interp([0.0, 1.0, 2.0], [1.0], [5.0], **outside))


def test_fix_rounds_towards_zero(mode: Eager) -> None:
    """NumPy 2.5 deprecates its own, for trunc; here it stays, without a warning."""
    xp = mode.namespace("float32")
    assert mode.numpy(xp.fix([-1.5, -0.5, 0.5, 1.5])).tolist() == [-1.0, -0.0, 0.0, 1.0]
