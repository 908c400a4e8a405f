"""Gradients through torch.compile: outside of graphs, inside of them, through every verb, and the refused ones."""

import numpy as np
import pytest

from pytest_graphmode import UnsupportedError

pytestmark = [pytest.mark.graphmode(backends="torch:compile"), pytest.mark.slow, pytest.mark.usefixtures("torch")]


def test_a_top_level_gradient_compiles_the_forward_pass_and_differentiates_outside(graphmode):
    def cube(x, *, scale):
        return scale * graphmode.xp.sum(x**3)

    gradient = graphmode.grad(cube)
    for _ in range(3):
        np.testing.assert_allclose(graphmode.numpy(gradient(np.array([1.0, 2.0]), scale=2)), [6, 24])
    (build,) = graphmode.ledger.events
    assert (build.function.rpartition(".")[2], graphmode.ledger.breaks) == ("cube", 0)


def _loss(graphmode, weight, verb):
    """A loss that a weight reaches only through tensors which need no gradient themselves when the verb begins."""
    xp = graphmode.xp
    by_verb = {
        "none": lambda x: xp.sin(xp.sin(xp.sin(x * weight) * weight) * weight),
        "while_loop": lambda x: graphmode.while_loop(
            lambda x, i: i < 3, lambda x, i: (xp.sin(x * weight), i + 1), (x, 0)
        )[0],
        "fori_loop": lambda x: graphmode.fori_loop(0, 3, lambda i, x: xp.sin(x * weight), x),
        "scan": lambda x: graphmode.scan(lambda c, i: (xp.sin(c * weight), c), x, np.zeros(3))[0],
        "cond": lambda x: graphmode.cond(
            xp.sum(x) > 0, lambda x: xp.sin(xp.sin(xp.sin(x * weight) * weight) * weight), lambda x: x, x
        ),
        "switch": lambda x: graphmode.switch(
            np.int32(1), [lambda x: x, lambda x: xp.sin(xp.sin(xp.sin(x * weight) * weight) * weight), lambda x: -x], x
        ),
    }
    return lambda x: xp.sum(by_verb[verb](x))


def _expected(weight, x):
    """Value and derivative of sin(w sin(w sin(w x))) by w, summed over both elements."""
    value, slope = x, np.zeros_like(x)
    for _ in range(3):
        value, slope = np.sin(weight * value), np.cos(weight * value) * (value + weight * slope)
    return value.sum(), slope


WEIGHT, X = np.array([1.0, 1.5]), np.array([2.0, 0.5])


@pytest.mark.parametrize("verb", ["none", "while_loop", "fori_loop", "scan", "cond", "switch"])
def test_gradients_of_weights_reach_them_through_every_verb(graphmode, verb):
    weight = graphmode.variable(WEIGHT)
    value, grad = graphmode.value_and_grad(_loss(graphmode, weight, verb), variables=weight)(X)
    expected, slope = _expected(WEIGHT, X)
    np.testing.assert_allclose(graphmode.numpy(value), expected, rtol=1e-5)
    np.testing.assert_allclose(graphmode.numpy(grad), slope, rtol=1e-5)
    assert (graphmode.ledger.builds, graphmode.ledger.breaks) == (1, 0)


def test_torch_drops_gradients_of_captured_tensors_in_loops(torch, graphmode):
    """Why loops are built anew with carried tensors that require gradients: without it torch gives a wrong one."""
    from torch._higher_order_ops.while_loop import while_loop

    weight = graphmode.variable(WEIGHT)

    def native(x):
        count = torch.zeros((), dtype=torch.int32)
        return while_loop(lambda x, i: i < 3, lambda x, i: (torch.sin(x * weight), i + 1), (x, count))[0].sum()

    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        (grad,) = torch.autograd.grad(torch.compile(native, backend="aot_eager")(graphmode.tensor(X)), [weight])
    if np.allclose(graphmode.numpy(grad), _expected(WEIGHT, X)[1], rtol=1e-5):
        pytest.fail("torch differentiates this loop rightly now: see capture._reached_by_gradients")


@pytest.mark.parametrize("verb", ["none", "while_loop", "scan", "cond"])
def test_a_training_step_is_one_graph(torch, graphmode, verb):
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        pytest.skip("this torch breaks the graph at torch.autograd.grad")
    weight = graphmode.variable(WEIGHT)
    loss = _loss(graphmode, weight, verb)

    @graphmode.function
    def step(x):
        value, grad = graphmode.value_and_grad(loss, variables=weight)(x)
        graphmode.assign(weight, weight - 0.1 * grad)
        return value

    expected = WEIGHT
    for _ in range(4):
        value, slope = _expected(expected, X)
        np.testing.assert_allclose(graphmode.numpy(step(X)), value, rtol=1e-4)
        expected = expected - 0.1 * slope
    np.testing.assert_allclose(graphmode.numpy(weight), expected, rtol=1e-4)
    assert (graphmode.ledger.builds, graphmode.ledger.breaks) == (1, 0)


def test_settings_that_hide_breaks_are_on_only_where_they_are_needed(torch, graphmode):
    config = torch._dynamo.config
    names = [name for name in ("capture_scalar_outputs", "trace_autograd_ops") if hasattr(config, name)]
    graphmode.function(graphmode.grad(lambda x: graphmode.xp.sum(x * x)))(np.ones(2))
    assert [getattr(config, name) for name in names] == [False] * len(names)
    assert graphmode.ledger.breaks == 0
    graphmode.grad(lambda x: graphmode.xp.sum(x * x.sum().item()))(np.ones(2))
    assert graphmode.ledger.breaks == 1


def test_second_derivatives_of_plain_operations(graphmode):
    inner = graphmode.grad(lambda x: graphmode.xp.sum(x**4))
    outer = graphmode.grad(lambda x: graphmode.xp.sum(inner(x)))
    np.testing.assert_allclose(graphmode.numpy(outer(np.array([1.0, 2.0]))), [12, 48])
    run = graphmode.function(lambda x: outer(x))
    np.testing.assert_allclose(graphmode.numpy(run(np.array([1.0, 2.0]))), [12, 48])


@pytest.mark.parametrize("verb", ["while_loop", "scan", "cond"])
def test_second_derivatives_through_control_flow_are_refused_by_name(graphmode, verb):
    weight = graphmode.variable(WEIGHT)
    inner = graphmode.grad(_loss(graphmode, weight, verb))
    outer = graphmode.grad(lambda x: graphmode.xp.sum(inner(x)))
    with pytest.raises(UnsupportedError, match=f"torch:compile has no second derivatives through {verb}"):
        outer(X)
    with pytest.raises(UnsupportedError, match=f"torch:compile has no second derivatives through {verb}"):
        graphmode.function(outer)(X)


def test_torch_code_in_second_derivatives_is_refused_too(torch, graphmode):
    from pytest_graphmode.backends.torch.compile import twice_differentiable

    mode = graphmode.runtime.mode
    run = twice_differentiable(mode.function, lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)))
    with pytest.raises(UnsupportedError, match="no second derivatives through cond"):
        run(graphmode.tensor(X))
