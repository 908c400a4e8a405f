"""A scan over nothing runs nothing: what its function does takes no effect, and yet the ys have a structure."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.variants import variants

every_mode = variants(
    "tf:graph",
    "tf:eager",
    "tf:session",
    "tf:xla",
    "torch:eager",
    "torch:compile",
    "jax:jit",
    "jax:eager",
    "numpy:eager",
)
rows = pytest.mark.parametrize("rows", [0, 2])


@variants("tf:graph", "tf:eager", "tf:session", "torch:eager", "jax:jit", "jax:eager", "numpy:eager")
@rows
def test_variables_are_assigned_once_for_each_row(graphmode, rows):
    total = graphmode.variable(1.0)

    def step(carry, x):
        graphmode.assign(total, total + 1.0)
        return carry, x * 2

    _, ys = graphmode.function(lambda xs: graphmode.scan(step, 0.0, xs))(graphmode.tensor(np.ones(rows)))
    assert graphmode.numpy(total) == 1.0 + rows
    assert graphmode.numpy(ys).shape == (rows,)


@variants("tf:eager", "torch:eager")
@rows
def test_what_a_function_does_by_itself_takes_no_effect(graphmode, rows):
    """Not by way of the handle: the framework's own assignments, and its random numbers."""
    total = graphmode.variable(1.0)
    torch_step = lambda carry, x: (carry, (total.data.add_(1.0), x * graphmode.lib.rand(()))[1])  # noqa: E731
    tf_step = lambda carry, x: (carry, (total.assign_add(1.0), x * graphmode.lib.random.uniform([]))[1])  # noqa: E731

    def drawn():
        return float(
            graphmode.pick(tf=lambda: graphmode.lib.random.uniform([]), torch=lambda: graphmode.lib.rand(()))()
        )

    def reseed():
        graphmode.pick(tf=lambda: graphmode.lib.random.set_seed(1), torch=lambda: graphmode.lib.manual_seed(1))()

    reseed()
    expected = drawn()
    reseed()
    graphmode.scan(graphmode.pick(tf=tf_step, torch=torch_step), 0.0, graphmode.tensor(np.ones(rows)))
    assert graphmode.numpy(total) == 1.0 + rows
    assert (drawn() == expected) is (rows == 0)


@every_mode
def test_top_level_operators_read_what_is_there_now(graphmode):
    """Each call builds anew: nothing that a callback reads is left over from an earlier one."""
    box = [1.0]

    class Model:
        factor = 2.0

    def body(i, x):
        return x * Model.factor + box[0]

    assert graphmode.numpy(graphmode.fori_loop(0, 2, body, 1.0)) == 7.0
    box[0] = 0.0
    assert graphmode.numpy(graphmode.fori_loop(0, 2, body, 1.0)) == 4.0
    Model.factor = 3.0
    assert graphmode.numpy(graphmode.fori_loop(0, 2, body, 1.0)) == 9.0
