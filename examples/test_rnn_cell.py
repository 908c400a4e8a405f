"""A recurrent cell: gradients of both weights, checked numerically and between frameworks."""

import pytest


@pytest.mark.graphmode(backends="tf:graph+eager+session+xla,torch:eager+compile,jax:jit+eager")
@pytest.mark.graph_agree
def test_rnn_cell(graphmode):
    xp, rng = graphmode.xp, graphmode.rng
    x, h = rng.standard_normal((1, 10)), rng.standard_normal((1, 20))
    w_x, w_h = rng.standard_normal((20, 10)), rng.standard_normal((20, 20))

    def loss(w_x, w_h):
        cell = xp.tanh(xp.matmul(w_x, xp.transpose(x)) + xp.matmul(w_h, xp.transpose(h)))
        return xp.sum(cell)

    graphmode.check_grads(loss, w_x, w_h)
    value, grads = graphmode.value_and_grad(loss, argnums=(0, 1))(w_x, w_h)
    graphmode.agree(loss=value, grads=grads)
