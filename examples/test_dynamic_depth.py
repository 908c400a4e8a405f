"""A hidden layer applied 0 to 3 times, drawn anew in every forward pass, with shared weights.

Eager torch records a graph of another structure for each depth. A static graph takes the depth as a tensor and is
built once; drawn by Python inside the graph, the depth is frozen.
"""

import random

import pytest

EPOCHS = 100
MODES = "tf:graph+eager+session+xla,torch:eager+compile,jax:jit+eager"


def network(graphmode, x, depth, w_in, w_hidden, w_out):
    xp = graphmode.xp

    def hidden_layers(times):
        def apply(h):
            for _ in range(times):
                h = xp.maximum(xp.matmul(h, w_hidden), 0)
            return h

        return apply

    h = xp.maximum(xp.matmul(x, w_in), 0)
    return xp.matmul(graphmode.switch(depth, [hidden_layers(times) for times in range(4)], h), w_out)


def weights(graphmode):
    shapes = [(1000, 100), (100, 100), (100, 10)]
    return graphmode.variable([graphmode.rng.standard_normal(shape) / shape[0] ** 0.5 for shape in shapes])


def adam(graphmode, variables, rate=1e-4, decay=(0.9, 0.999), epsilon=1e-8):
    """Adam (Kingma and Ba, 2015, algorithm 1), its state in variables of the graph."""
    xp = graphmode.xp
    means, squares = ([graphmode.variable(0 * graphmode.numpy(v)) for v in variables] for _ in range(2))
    time = graphmode.variable(0.0)

    def update(grads):
        step = time + 1
        graphmode.assign(time, step)
        for variable, mean, square, grad in zip(variables, means, squares, grads, strict=True):
            if grad is None:  # eager frameworks find no path to a layer that was not applied
                grad = xp.zeros_like(variable)
            new_mean = decay[0] * mean + (1 - decay[0]) * grad
            new_square = decay[1] * square + (1 - decay[1]) * grad**2
            unbiased = new_mean / (1 - decay[0] ** step), new_square / (1 - decay[1] ** step)
            graphmode.assign(mean, new_mean)
            graphmode.assign(square, new_square)
            graphmode.assign(variable, variable - rate * unbiased[0] / (xp.sqrt(unbiased[1]) + epsilon))

    return update


@pytest.mark.graphmode(backends=MODES)
@pytest.mark.graph_agree(rtol=1e-3)
@pytest.mark.graph_rebuilds(tf=0, tf_eager=EPOCHS - 1, torch=EPOCHS - 1, torch_compile=0, jax=0)
def test_depth_as_a_tensor(graphmode):
    rng = graphmode.rng
    x, y = graphmode.tensor((rng.standard_normal((64, 1000)), rng.standard_normal((64, 10))))
    variables = weights(graphmode)
    update = adam(graphmode, variables)

    @graphmode.function
    def step(depth):
        def loss():
            return graphmode.xp.sum((network(graphmode, x, depth, *variables) - y) ** 2)

        value, grads = graphmode.value_and_grad(loss, variables=variables)()
        update(grads)
        return value

    with graphmode.watch(structures=True) as ledger:
        for depth in rng.integers(0, 4, EPOCHS):
            graphmode.agree(loss=step(depth))
    if graphmode.variant.backend == "torch" and graphmode.mode == "eager":
        assert (ledger.builds, ledger.structures) == (EPOCHS, 4)


@pytest.mark.graphmode(backends="tf:graph+xla,jax:jit,torch:eager")
def test_depth_drawn_inside_the_graph_is_frozen(graphmode):
    x, (w_in, w_hidden, w_out) = graphmode.rng.standard_normal((64, 1000)), weights(graphmode)

    def forward(x):
        return network(graphmode, x, random.randint(0, 3), w_in, w_hidden, w_out)

    if graphmode.mode == "eager":
        graphmode.check_not_frozen(forward, x)
        return
    with pytest.raises(AssertionError, match="random"):
        graphmode.check_not_frozen(forward, x)
