"""A network and its training in the words of every framework; with PLANTED set, its activation is a wrong one."""

import os

import pytest

SLOPE = 0.1 if os.environ.get("PLANTED") else 0.01


@pytest.mark.graphmode(backends="tf,torch,jax")
@pytest.mark.graph_agree(rtol=1e-4, atol=1e-6)
def test_training(graphmode):
    xp, rng = graphmode.xp, graphmode.rng
    x, y = graphmode.tensor((rng.standard_normal((16, 8)), rng.standard_normal((16, 2))))
    w1, w2 = graphmode.variable((rng.standard_normal((8, 12)), rng.standard_normal((12, 2))))

    def loss():
        linear = xp.matmul(x, w1)
        return xp.mean((xp.matmul(xp.maximum(linear, SLOPE * linear), w2) - y) ** 2)

    @graphmode.function
    def step():
        value, grads = graphmode.value_and_grad(loss, variables=(w1, w2))()
        for variable, grad in zip((w1, w2), grads, strict=True):
            graphmode.assign(variable, variable - 0.01 * grad)
        return value, grads

    for _ in range(10):
        value, grads = step()
        graphmode.agree(loss=value, grads=grads)
    graphmode.agree(weights=[w1, w2])
