"""`check_grads` on TensorFlow and torch: cost, dtypes, fallbacks and failures; its tables have a file of their own."""

import numpy as np
import pytest

from pytest_graphmode.errors import PrecisionWarning, UnsupportedError
from tests.backends.gradient_cases import WRONG, custom
from tests.backends.variants import failure, variants

everywhere = variants("torch:eager", "tf:eager", "tf:graph")
eager = variants("torch:eager", "tf:eager")
torch_eager = variants("torch:eager")
graph = variants("tf:graph")
static = variants("tf:graph", "tf:session", "tf:xla", "jax:jit")

X = np.array([[0.5, -1.0], [2.0, 0.25]])


def counted(fn):
    def call(*args):
        call.times += 1
        return fn(*args)

    call.times = 0
    return call


# Cost, and what is counted.


@variants("tf:graph", "jax:jit", "torch:compile")
@pytest.mark.parametrize("check", ["check_grads", "check_not_frozen"])
def test_the_first_graph_of_the_test_itself_is_no_rebuild(graphmode, check):
    def loss(x):
        return graphmode.xp.sum(graphmode.xp.sin(x))

    getattr(graphmode, check)(loss, np.full(3, 0.5))
    graphmode.function(loss)(np.ones(2))
    assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (1, 0), graphmode.explain()
    graphmode.function(loss)(np.ones((2, 2)))
    assert graphmode.ledger.rebuilds == 1
    assert "x changed " in graphmode.explain()


@eager
def test_it_costs_one_gradient_and_four_evaluations(graphmode):
    loss = counted(lambda x: graphmode.xp.sum(graphmode.xp.sin(x)))
    graphmode.check_grads(loss, X)
    assert loss.times == 5


@static
@pytest.mark.parametrize("order", [1, 2])
def test_one_graph_serves_the_whole_check(graphmode, order):
    loss = counted(lambda x, y: graphmode.xp.sum(graphmode.xp.sin(x) * y))
    graphmode.check_grads(loss, X, X, order=order)
    assert loss.times == order


@pytest.mark.slow
@variants("torch:compile")
@pytest.mark.parametrize("order", [1, 2])
def test_one_compilation_serves_the_whole_check(graphmode, order):
    from torch._dynamo.utils import counters

    counters.clear()
    graphmode.check_grads(lambda x, y: {"sine": graphmode.xp.sin(x) * y, "x": x}, X, X, order=order)
    assert dict(counters["frames"]) == {"total": 1, "ok": 1}


@graph
def test_one_graph_serves_a_check_that_fails(graphmode):
    loss = counted(WRONG["one_percent"](graphmode).fn)
    failure(graphmode.check_grads, loss, X)
    assert loss.times == 1


@everywhere
def test_the_graphs_of_a_check_are_not_the_test_s(graphmode):
    loss = graphmode.function(lambda x: graphmode.xp.sum(x**2))
    graphmode.check_grads(loss, X)
    graphmode.check_grads(lambda x: graphmode.xp.sum(graphmode.grad(loss)(x) ** 2), X)
    assert (graphmode.ledger.builds, graphmode.ledger.calls, graphmode.ledger.rebuilds) == (0, 0, 0)
    graphmode.grad(loss)(X)
    assert graphmode.ledger.builds >= 1


# Arguments.


@everywhere
def test_native_tensors_are_checked_in_float64_too(graphmode):
    dtypes = set()

    def loss(x, w):
        dtypes.update((x.dtype, w.dtype, graphmode.tensor(1.0).dtype, graphmode.xp.ones(2).dtype))
        return graphmode.xp.sum(x * w)

    graphmode.check_grads(loss, graphmode.tensor(X), graphmode.variable(X))
    assert {str(dtype).rpartition(".")[2] for dtype in dtypes} <= {"float64", "<dtype: 'float64'>"}
    assert graphmode.dtype == "float32"


@graph
def test_integers_are_symbolic_in_a_graph_and_python_control_flow_is_converted(graphmode):
    def loss(x, n):
        assert not hasattr(n, "numpy")
        if graphmode.xp.sum(x) > 0:
            while graphmode.xp.sum(x) < 100.0:
                x = x * 2.0
        return graphmode.xp.sum(x**2) * graphmode.xp.astype(n, x.dtype)

    graphmode.check_grads(loss, X, np.int32(3))


@torch_eager
def test_a_function_may_differentiate_by_its_arguments_itself(graphmode):
    torch = graphmode.lib

    def residual(x):
        (slope,) = torch.autograd.grad(torch.sin(x).sum(), x, create_graph=True)
        return (slope**2).sum()

    graphmode.check_grads(residual, X)


# Precision.


@everywhere
def test_captured_float32_tensors_are_checked_in_float32_and_that_is_said(graphmode):
    weight = graphmode.tensor(X)
    wrong = custom(graphmode, lambda x: graphmode.xp.sin(x), lambda up, x: 1.02 * up * graphmode.xp.cos(x))

    def loss(x):
        return graphmode.lib.matmul(weight, x)

    with pytest.warns(PrecisionWarning, match=r"check_grads of loss .* ran in float32, .*: in float64 it raised"):
        graphmode.check_grads(loss, X)
    assert "the gradient of loss can't be checked in float64: in float64 it" in failure(
        graphmode.check_grads, loss, X, float64=True
    )
    text = failure(graphmode.check_grads, lambda x: wrong(loss(x)), X)
    assert "(rtol=0.001)" in text
    assert "checked in float32 (in float64 it raised" in text
    assert "in user code" not in text


@everywhere
def test_a_relu_network_with_captured_float32_weights_raises_no_false_alarm(graphmode):
    weights, biases = graphmode.variable(graphmode.rng.normal(size=(20, 30))), graphmode.variable(np.zeros(30))

    def loss(x):
        hidden = graphmode.lib.matmul(x, weights) + biases
        return graphmode.xp.sum(graphmode.xp.maximum(hidden, 0.0) ** 2)

    for _ in range(5):
        with pytest.warns(PrecisionWarning):
            graphmode.check_grads(loss, graphmode.rng.normal(size=(16, 20)))


# Failures.


@everywhere
def test_a_second_derivative_that_is_wrong_is_named_as_one(graphmode):
    case = WRONG["second_derivative_missing"](graphmode)
    graphmode.check_grads(case.fn, *case.args)
    text = failure(graphmode.check_grads, case.fn, *case.args, order=2)
    assert text.startswith("the second derivative of <lambda> is wrong at x[")
    assert "compared is the derivative of the gradient's slope along a fixed random direction" in text


@variants("numpy:eager")
def test_numpy_has_no_gradients(graphmode):
    with pytest.raises(UnsupportedError) as caught:
        graphmode.check_grads(lambda x: np.sum(x**2), X)
    assert isinstance(caught.value, AssertionError)
    assert "the gradient of <lambda> can't be checked [numpy-eager-cpu]" in str(caught.value)
    assert "numpy has no reverse-mode gradients: run this test under tf, torch or jax" in str(caught.value)


@pytest.mark.slow
@variants("torch:compile")
def test_second_derivatives_of_compiled_control_flow_are_unsupported(graphmode):
    xp = graphmode.xp

    def loss(x):
        return graphmode.cond(xp.sum(x) > 0, lambda x: xp.sum(x**3), lambda x: xp.sum(x), x)

    graphmode.check_grads(loss, X)
    with pytest.raises(UnsupportedError, match="torch:compile has no second derivatives through"):
        graphmode.check_grads(loss, X, order=2)
    graphmode.check_grads(lambda x: graphmode.xp.sum(x**3), X, order=2)
