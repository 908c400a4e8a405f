"""Tests with faults on purpose, so that a report has something to show; a plain run does not collect this file.

    pytest --graph-backends=tf,torch --graph-html=report.html examples/report/faults.py

Then open `report.html` in a browser. Of these five tests the last alone passes.
"""

import pytest

STEPS = 40


@pytest.mark.graphmode(backends="tf:graph,torch:compile")
@pytest.mark.graph_rebuilds(0)
def test_batches(graphmode):
    """The last batch is smaller, and the rate is a Python number: each new value builds the graph again."""

    @graphmode.function
    def step(x, rate):
        return graphmode.xp.sum(x * x) * rate

    for rows, rate in [(32, 0.1), (32, 0.1), (32, 0.05), (7, 0.05), (7, 0.05)]:
        step(graphmode.tensor(graphmode.rng.standard_normal((rows, 3))), rate)


@pytest.mark.graphmode(backends="tf:graph+eager,torch:eager+compile")
@pytest.mark.graph_agree(rtol=1e-3, triage=False)
def test_training(graphmode):
    """The port to torch has a tenth of the rate from step 6 on, which the original does not."""
    xp, rng = graphmode.xp, graphmode.rng
    x, y = graphmode.tensor((rng.standard_normal((16, 8)), rng.standard_normal((16, 2))))
    kernel = graphmode.variable(rng.standard_normal((8, 2)))

    def loss():
        return xp.mean((xp.tanh(xp.matmul(x, kernel)) - y) ** 2)

    @graphmode.function
    def step(rate):
        value, (gradient,) = graphmode.value_and_grad(loss, variables=(kernel,))()
        graphmode.assign(kernel, kernel - rate * gradient)
        return value

    for number in range(STEPS):
        smaller = graphmode.backend == "torch" and number >= 6
        graphmode.agree(loss=step(graphmode.tensor(0.1 if smaller else 1.0)))


@pytest.mark.graphmode(backends="tf:graph,torch:eager+compile")
@pytest.mark.graph_agree
def test_layers(graphmode):
    """The port takes the variance over the wrong axis, in the second of four layers."""
    xp, rng = graphmode.xp, graphmode.rng
    x, first, last = graphmode.tensor(tuple(map(rng.standard_normal, [(4, 8), (8, 8), (8, 3)])))

    def net(x):
        hidden = graphmode.tap("dense1", xp.tanh(xp.matmul(x, first)))
        axis = 0 if graphmode.backend == "torch" else 1
        spread = xp.sqrt(xp.mean(hidden * hidden, axis=axis, keepdims=True) + 1e-6)
        normal = graphmode.tap("norm", hidden / spread)
        logits = graphmode.tap("dense2", xp.matmul(normal, last))
        return graphmode.tap("output", xp.tanh(logits))

    graphmode.agree(output=graphmode.function(net)(x))


@pytest.mark.graphmode(backends="torch:compile")
@pytest.mark.graph_budget(breaks=0)
def test_break(graphmode):
    """`float()` leaves the graph to fetch a number."""

    @graphmode.function
    def scaled(x):
        total = float(x.sum())
        return x / total

    scaled(graphmode.tensor(graphmode.rng.uniform(1.0, 2.0, 8)))


@pytest.mark.graphmode(backends="tf:graph,torch:compile")
@pytest.mark.graph_agree
@pytest.mark.graph_rebuilds(0)
def test_root(graphmode):
    """Newton's square root: a loop with a branch in it, drawn as a graph."""
    xp = graphmode.xp

    def better(value, guess):
        new = 0.5 * (guess + value / guess)
        far = xp.abs(new - guess) > 1.0
        return value, graphmode.cond(far, lambda: 0.5 * (new + guess), lambda: new)

    @graphmode.function
    def root(value):
        start = (value, xp.ones_like(value))
        return graphmode.while_loop(lambda v, g: xp.abs(g * g - v) > 1e-3, better, start)[1]

    graphmode.agree(root=root(graphmode.tensor(2.0)))
    graphmode.agree(root=root(graphmode.tensor(144.0)))
