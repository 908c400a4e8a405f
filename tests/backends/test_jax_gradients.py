"""Gradients on JAX: what means the same as on the other frameworks, and loops that JAX alone can't differentiate."""

import numpy as np
import pytest

from pytest_graphmode import UnsupportedError
from tests.backends.variants import variants

both = variants("jax:jit", "jax:eager")
jit = variants("jax:jit")


@both
def test_paths_that_carry_no_derivative_are_none(graphmode):
    lax, jnp = graphmode.lib.lax, graphmode.lib.numpy

    def loss(p):
        stopped = lax.stop_gradient(p["stopped"]).sum()
        index = jnp.argmax(p["index"])
        return p["used"][index] + stopped + jnp.sum(p["zero"] * 0)

    tree = {name: np.array([1.0, 2.0]) for name in ("used", "stopped", "index", "zero", "unused")}
    grads = graphmode.grad(loss)(tree)
    assert {name for name, grad in grads.items() if grad is None} == {"stopped", "index", "unused"}
    assert grads["used"].tolist() == [0, 1]
    assert grads["zero"].tolist() == [0, 0]


@jit
def test_a_leaf_without_a_path_inside_a_nested_jit_is_none(graphmode):
    inner = graphmode.lib.jit(lambda a, b: a * 2 + 0 * b.shape[0])
    grads = graphmode.grad(lambda p: graphmode.xp.sum(inner(p["a"], p["b"])))({"a": np.ones(2), "b": np.ones(2)})
    assert grads["a"].tolist() == [2, 2]
    assert grads["b"] is None


@both
def test_a_variable_that_was_assigned_is_differentiated_as_tensorflow_and_torch_do(graphmode):
    v = graphmode.variable(3.0)

    def loss():
        graphmode.assign(v, 2 * v)
        return v * v

    value, grad = graphmode.value_and_grad(loss, variables=v)()
    assert (float(value), float(grad)) == (36, 12)
    assert float(v) == 6


@both
def test_one_variable_named_twice(graphmode):
    v = graphmode.variable(3.0)
    assert [float(grad) for grad in graphmode.grad(lambda: v * v, variables=[v, v])()] == [6, 6]


@both
def test_a_variable_passed_once_can_be_assigned(graphmode):
    w = graphmode.variable(3.0)

    def loss(a):
        graphmode.assign(a, a + 1)
        return a * a

    assert float(graphmode.grad(loss)(w)) == 8
    assert float(w) == 4


@jit
def test_while_loops_are_refused_by_name(graphmode):
    """JAX has no reverse mode through them: scan and fori_loop with Python ints as bounds serve."""
    lax = graphmode.lib.lax
    native = graphmode.grad(lambda x: lax.while_loop(lambda y: y < 10, lambda y: y * 2, x))
    ours = graphmode.grad(lambda x: graphmode.while_loop(lambda y: y < 10, lambda y: y * 2, (x,))[0])
    counted = graphmode.grad(lambda x: graphmode.fori_loop(0, graphmode.tensor(3), lambda i, y: y * x, x))
    for grad in (native, ours, counted):
        with pytest.raises(UnsupportedError, match=r"no gradients through a while_loop.*use scan, or fori_loop"):
            grad(graphmode.tensor(2.0))
    assert float(graphmode.grad(lambda x: graphmode.fori_loop(0, 3, lambda i, y: y * x, x))(2.0 * np.float32(1))) == 32


@jit
def test_a_training_loop_in_a_loop_updates_variables(graphmode):
    v = graphmode.variable(0.0)

    def descend(steps):
        def step(i):
            graphmode.assign(v, v - 0.25 * graphmode.grad(lambda: (v - 3) ** 2, variables=v)())
            return (i + 1,)

        return graphmode.while_loop(lambda i: i < steps, step, (0,))[0]

    graphmode.function(descend)(graphmode.tensor(5))
    assert float(v) == pytest.approx(3 * (1 - 0.5**5))
