"""`grad` and `value_and_grad` on TensorFlow and torch: arguments, variables, trees, nesting, and wrong calls."""

import numpy as np
import pytest

from tests.backends.variants import variants

everywhere = variants("torch:eager", "tf:eager", "tf:graph")
torch_eager = variants("torch:eager")
tensorflow = variants("tf:eager", "tf:graph")

X = np.array([[1.0, -2.0], [0.5, 3.0]])


def square(g):
    return lambda x: g.xp.sum(x**2)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


# Arguments.


@everywhere
def test_an_int_gives_one_gradient_and_a_tuple_a_tuple(graphmode):
    def product(x, y, z):
        return graphmode.xp.sum(x * y * z)

    x, y, z = (np.float64(n) for n in (2, 3, 5))
    close(graphmode.numpy(graphmode.grad(product, argnums=1)(x, y, z)), 10)
    assert graphmode.numpy(graphmode.grad(product, argnums=[0])(x, y, z)) == (15,)


@everywhere
def test_a_value_that_depends_on_no_argument_has_gradients_of_none(graphmode):
    assert graphmode.grad(lambda x: graphmode.tensor(1.0))(X) is None


@everywhere
def test_keyword_arguments_are_passed_on(graphmode):
    def loss(x, *, scale, shift=0.0):
        return graphmode.xp.sum(x * scale) + shift

    close(graphmode.numpy(graphmode.grad(loss)(X, scale=np.float64(3))), np.full((2, 2), 3.0))
    value, _ = graphmode.value_and_grad(loss)(X, scale=1.0, shift=2.0)
    close(graphmode.numpy(value), 4.5)


@everywhere
def test_the_dtype_of_the_gradient_is_that_of_the_argument(graphmode):
    x = graphmode.tensor(X, dtype="float64")
    assert graphmode.numpy(graphmode.grad(square(graphmode))(x)).dtype == np.float64
    assert graphmode.numpy(graphmode.grad(square(graphmode))(X)).dtype == np.float32


@everywhere
def test_rows_of_a_table_have_a_dense_gradient(graphmode):
    take = graphmode.pick(tf=lambda: graphmode.lib.gather, torch=lambda: lambda x, index: x[index])()
    index = np.array([0, 2, 2])
    for shape in ((3, 2), (3,)):
        table = np.ones(shape)
        grad = graphmode.grad(lambda x: graphmode.xp.sum(take(x, graphmode.tensor(index))))(table)
        close(graphmode.numpy(grad), np.multiply.outer([1, 0, 2], np.ones(shape[1:])))


# Nesting.


@everywhere
def test_a_gradient_penalty(graphmode):
    def penalty(x, y):
        inner, grad = graphmode.value_and_grad(lambda x: graphmode.xp.sum(x**2 * y))(x)
        return inner + graphmode.xp.sum(grad**2)

    of_x, of_y = graphmode.grad(penalty, argnums=(0, 1))(X, 3 * X)
    close(graphmode.numpy(of_x), 2 * X * 3 * X + 8 * X * (3 * X) ** 2)
    close(graphmode.numpy(of_y), X**2 + 8 * X**2 * 3 * X)


@everywhere
def test_inside_a_function_it_becomes_part_of_its_graph(graphmode):
    @graphmode.function
    def step(x):
        return graphmode.grad(square(graphmode))(x) + 1

    for _ in range(2):
        close(graphmode.numpy(step(X)), 2 * X + 1)
    assert graphmode.ledger.builds == {"tf_graph": 1}.get(f"{graphmode.backend}_{graphmode.mode}", 2)
    assert all("step" in build.function for build in graphmode.ledger.events)


@everywhere
def test_one_gradient_function_is_built_once_and_run_many_times(graphmode):
    gradient = graphmode.grad(square(graphmode))
    for factor in (1.0, 2.0, 3.0):
        close(graphmode.numpy(gradient(factor * X)), 2 * factor * X)
    assert graphmode.ledger.builds == (1 if graphmode.mode == "graph" else 3)


# What is left behind.


@torch_eager
def test_gradients_of_frozen_parameters_are_found_and_they_stay_frozen_after_an_error_too(graphmode):
    torch = graphmode.lib
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    buffer = torch.ones(2)
    grads = graphmode.grad(lambda: (frozen * 3 + buffer * 5).sum(), variables=[frozen, buffer])()
    close(graphmode.numpy(grads), [[3, 3], [5, 5]])
    assert not frozen.requires_grad
    assert not buffer.requires_grad

    def broken():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        graphmode.grad(broken, variables=[frozen, buffer])()
    assert not frozen.requires_grad
    assert not buffer.requires_grad


@torch_eager
def test_no_graph_and_no_grad_attribute_is_left_behind(graphmode):
    torch = graphmode.lib
    parameter, x = torch.nn.Parameter(torch.ones(2)), torch.ones(2, requires_grad=True)
    value, grad = graphmode.value_and_grad(lambda x: (x**2 * parameter).sum())(x)
    _, of_parameter = graphmode.value_and_grad(lambda: (x**2 * parameter).sum(), variables=parameter)()
    assert parameter.grad is None
    assert x.grad is None
    for tensor in (value, grad, of_parameter):
        assert tensor.grad_fn is None
        assert not tensor.requires_grad
    assert x.requires_grad


@torch_eager
def test_a_gradient_in_a_graph_of_the_test_s_own_can_be_differentiated(graphmode):
    x = graphmode.lib.ones(2, requires_grad=True)
    grad = graphmode.grad(lambda y: (y**3).sum())(x * 2)
    grad.sum().backward()
    close(graphmode.numpy(x.grad), [24, 24])


@torch_eager
def test_no_grad_and_inference_mode_do_not_switch_it_off(graphmode):
    torch = graphmode.lib
    with torch.no_grad():
        close(graphmode.numpy(graphmode.grad(square(graphmode))(X)), 2 * X)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        close(graphmode.numpy(graphmode.grad(square(graphmode))(torch.ones(2))), [2, 2])


@tensorflow
def test_variables_that_are_not_trainable_have_gradients(graphmode):
    frozen = graphmode.lib.Variable(np.ones(2, np.float32), trainable=False)
    grad = graphmode.grad(lambda: graphmode.lib.reduce_sum(frozen * 3), variables=frozen)()
    close(graphmode.numpy(grad), [3, 3])


# Wrong calls: each says what was found and what to do.


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
