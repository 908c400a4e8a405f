"""Wrong calls of `grad` and `value_and_grad`: each says what was found and what to do."""

import numpy as np
import pytest

from tests.backends.variants import variants

everywhere = variants("torch:eager", "tf:eager", "tf:graph")

X = np.array([[1.0, -2.0], [0.5, 3.0]])


def square(g):
    return lambda x: g.xp.sum(x**2)


@everywhere
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda g, x: x, "returned float32[2, 2]: reduce it, for example with graphmode.xp.sum"),
        (lambda g, x: g.xp.sum(x, axis=1)[:1], "returned float32[1]: reduce it"),
        (lambda g, x: 2.0, "returned the Python float 2.0: return a tensor computed from the arguments"),
        (lambda g, x: None, "returned the Python NoneType None: return a tensor"),
        (lambda g, x: (g.xp.sum(x), x), "returned a tuple: return a tensor computed from the arguments, and only that"),
        (lambda g, x: g.xp.argmax(x), "returned int64[], which has no gradient: return a floating tensor"),
        (lambda g, x: g.xp.sum(x) * (1 + 0j), "returned complex64[]: take its real part or its absolute value"),
    ],
)
def test_a_value_that_is_no_real_scalar_tensor_is_refused(graphmode, value, says):
    def loss(x):
        return value(graphmode, x)

    if "complex" in says and graphmode.backend == "tf":
        value = lambda g, x: g.lib.cast(g.xp.sum(x), "complex64")  # noqa: E731
    with pytest.raises(ValueError, match="a gradient needs a function that returns one real scalar tensor") as caught:
        graphmode.grad(loss)(X)
    assert f"loss {says}" in str(caught.value)


@everywhere
@pytest.mark.parametrize(
    ("argnums", "error", "says"),
    [
        (-1, ValueError, "argnums=-1: positions are counted from 0"),
        ((0, -2), ValueError, "argnums=(0, -2): positions are counted from 0"),
        ((1, 1), ValueError, "argnums=(1, 1) names one argument twice"),
        ("x", TypeError, "argnums must be the position of an argument or a tuple of positions, not 'x'"),
        (1.0, TypeError, "argnums must be the position of an argument or a tuple of positions, not 1.0"),
        ((True,), TypeError, "argnums must be the position of an argument"),
    ],
)
def test_wrong_positions_are_refused_at_once(graphmode, argnums, error, says):
    with pytest.raises(error) as caught:
        graphmode.grad(square(graphmode), argnums=argnums)
    assert says in str(caught.value)


@everywhere
def test_a_position_without_an_argument_is_refused(graphmode):
    def loss(x):
        return graphmode.xp.sum(x)

    with pytest.raises(
        ValueError, match="argnums=2: loss was called with 1 positional argument; positions are counted"
    ):
        graphmode.grad(loss, argnums=2)(X)
    with pytest.raises(ValueError, match="argnums=0: loss was called with 0 positional arguments"):
        graphmode.grad(loss)(x=X)


@everywhere
@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (2.0, "the Python float 2.0"),
        (np.arange(3), "int64[3]"),
        ([np.arange(3), "a"], "int64[3], the Python str 'a'"),
        ([], "an empty container"),
    ],
)
def test_an_argument_with_nothing_to_differentiate_by_is_refused(graphmode, argument, found):
    def loss(x, y):
        return graphmode.xp.sum(x) * 1.0

    with pytest.raises(TypeError) as caught:
        graphmode.grad(loss, argnums=1)(X, argument)
    assert (
        "loss can't be differentiated by argument 1: a floating or complex tensor is needed, there is only "
        f"{found}. Pass a floating array or graphmode.tensor(...), or choose another argument with argnums"
    ) == str(caught.value)


@everywhere
def test_variables_that_are_none_are_refused(graphmode):
    with pytest.raises(TypeError, match="can't be differentiated by the variables: a floating or complex tensor"):
        graphmode.grad(square(graphmode), variables=[3.0])(X)


@everywhere
def test_argnums_and_variables_together_are_refused(graphmode):
    with pytest.raises(ValueError, match="give argnums or variables, not both"):
        graphmode.grad(square(graphmode), argnums=1, variables=[])
