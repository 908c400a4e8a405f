"""`grad` and `value_and_grad` on TensorFlow and torch: arguments, variables, trees and nesting."""

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
def test_gradients_of_frozen_parameters_are_found_and_they_stay_frozen(graphmode):
    torch = graphmode.lib
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    buffer = torch.ones(2)
    grads = graphmode.grad(lambda: (frozen * 3 + buffer * 5).sum(), variables=[frozen, buffer])()
    close(graphmode.numpy(grads), [[3, 3], [5, 5]])
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


@torch_eager
def test_a_failing_function_leaves_frozen_parameters_frozen(graphmode):
    torch = graphmode.lib
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)

    def broken():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        graphmode.grad(broken, variables=frozen)()
    assert not frozen.requires_grad


@tensorflow
def test_variables_that_are_not_trainable_have_gradients(graphmode):
    frozen = graphmode.lib.Variable(np.ones(2, np.float32), trainable=False)
    grad = graphmode.grad(lambda: graphmode.lib.reduce_sum(frozen * 3), variables=frozen)()
    close(graphmode.numpy(grad), [3, 3])
