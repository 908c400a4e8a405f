"""The five operators mean the same in every mode of every backend, beyond what the contract of backends states."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from tests.backends.variants import variants

FAST = ("tf:graph", "tf:eager", "torch:eager", "jax:jit", "jax:eager")
SLOW = ("tf:session", "tf:xla", "torch:compile")
# The contract of backends goes through every mode; here one of each kind will do.
every_mode = variants("tf:graph", "torch:eager", "jax:jit", "numpy:eager")
even_slow_modes = variants(*FAST, "numpy:eager", *SLOW)
mutable_modes = variants("tf:graph", "tf:eager", "tf:session", "torch:eager")


@pytest.fixture(params=["in a function", "at top level"])
def run(request, graphmode):
    """Runs `fn(*args)` with tensors for arguments, as part of a function's graph or as it is."""
    if request.param == "at top level":
        return lambda fn, *args: graphmode.numpy(fn(*map(graphmode.tensor, args)))
    return lambda fn, *args: graphmode.numpy(graphmode.function(fn)(*map(graphmode.tensor, args)))


class Pair(NamedTuple):
    first: object
    second: object


@dataclasses.dataclass
class State:
    position: object
    steps: object


# A function of a handle and one argument, this argument, and what is returned: a tree of the same types.
RESULTS = {
    "a list stays a list": (lambda g, x: g.while_loop(lambda x: x < 8, lambda x: x * 2, [x]), 1, [8]),
    "a namedtuple": (
        *(
            lambda g, x: g.while_loop(lambda p: p.second < 3, lambda p: Pair(p.first * 2, p.second + 1), Pair(x, 0)),
            1.5,
        ),
        Pair(12.0, 3),
    ),
    "a dataclass": (
        *(lambda g, x: g.while_loop(lambda s: s.steps < 3, lambda s: State(s.position * 2, s.steps + 1), State(x, 0)),),
        *(1.5, State(12.0, 3)),
    ),
    "a lone tensor": (lambda g, x: g.while_loop(lambda x: x < 100.0, lambda x: x * 3, x), 1.0, 243.0),
    **{
        f"cond of {name}": (lambda g, x, flag=flag: g.cond(flag, lambda x: x, lambda x: -x, x), 2.0, wanted)
        for name, flag, wanted in (
            *(("True", True, 2.0), ("False", False, -2.0)),
            *(("NumPy's True", np.True_, 2.0), ("an array", np.array(False), -2.0)),
        )
    },
}
RESULTS_IN_EVERY_MODE = {
    "a condition of Python": (lambda g, x: g.while_loop(lambda x: False, lambda x: x + 1, (x,)), 1.0, (1.0,)),
    "branches of numbers": (lambda g, x: g.cond(x > 0, lambda: (1, None), lambda: (0, None)), 2.0, (1, None)),
    "branches of nothing": (lambda g, x: g.cond(x > 0, lambda: None, lambda: None), 2.0, None),
}


def assert_returned(graphmode, run, function, argument, wanted):
    result = run(lambda x: function(graphmode, x), argument)
    assert result == wanted
    assert isinstance(wanted, float) or type(result) is type(wanted)


@every_mode
@pytest.mark.parametrize("case", RESULTS)
def test_what_operators_return(graphmode, run, case):
    assert_returned(graphmode, run, *RESULTS[case])


@even_slow_modes
@pytest.mark.parametrize("case", RESULTS_IN_EVERY_MODE)
def test_what_operators_return_in_every_mode(graphmode, run, case):
    assert_returned(graphmode, run, *RESULTS_IN_EVERY_MODE[case])


@every_mode
def test_numbers_and_arrays_become_tensors_by_the_rule_of_tensor(graphmode, run):
    def loop():
        return graphmode.while_loop(
            lambda *loop_vars: loop_vars[0] < 2,
            lambda count, number, flag, array: (count + 1, number, flag, array),
            (0, 1.5, True, np.arange(3.0)),
        )

    count, number, flag, array = run(loop)
    assert [leaf.dtype.name for leaf in (count, number, flag, array)] == ["int32", "float32", "bool", "float32"]


@every_mode
def test_numbers_that_a_body_returns_get_the_dtype_of_the_loop_variable(graphmode, run):
    def loop(x):
        return graphmode.while_loop(lambda x, y, n: n < 2, lambda x, y, n: (1, 2.5, n + 1), (x, x, 0))

    x, y, _ = run(loop, 0.5)
    assert (x, y) == (1.0, 2.5)
    assert (x.dtype.name, y.dtype.name) == ("float32", "float32")


@every_mode
def test_the_index_of_a_fori_loop_is_int32(graphmode, run):
    def last(lower, upper):
        return graphmode.fori_loop(lower, upper, lambda i, last: i, 0)

    for dtype in ("int32", "int64"):
        result = run(last, np.array(1, dtype), np.array(3, dtype))
        assert (result, result.dtype.name) == (2, "int32")


@variants("tf:graph", "tf:session", "tf:xla", "torch:compile", "jax:jit")
def test_operators_at_top_level_are_nodes_of_a_graph(graphmode):
    graphmode.while_loop(lambda n: n < 3, lambda n: n + 1, (0,))
    graphmode.scan(lambda c, x: (c + x, c), 0.0, np.ones(3))
    graphmode.cond(True, lambda x: x * 2, lambda x: x * 3, 1.0)
    graphmode.switch(1, [lambda x: x * 2, lambda x: x * 3, lambda x: x * 4], 1.0)
    events = graphmode.ledger.events
    assert [event.function.partition("(")[0] for event in events] == ["while_loop", "scan", "cond", "switch"]
    loops, branches = (
        [sum(event.control_flow.get(name, 0) for name in names) for event in events]
        for names in (("while", "scan"), ("cond", "switch"))
    )
    assert (loops, [count > 0 for count in branches]) == ([1, 1, 0, 0], [False, False, True, True])


# A scan over nothing runs nothing: what its function does takes no effect, and yet the ys have a structure.

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
    lib = graphmode.lib
    if graphmode.backend == "tf":
        seed, draw, add = lib.random.set_seed, lambda: lib.random.uniform([]), total.assign_add
    else:
        seed, draw, add = lib.manual_seed, lambda: lib.rand(()), lambda by: total.data.add_(by)
    seed(1)
    expected = float(draw())
    seed(1)
    graphmode.scan(lambda carry, x: (carry, (add(1.0), x * draw())[1]), 0.0, graphmode.tensor(np.ones(rows)))
    assert graphmode.numpy(total) == 1.0 + rows
    assert (float(draw()) == expected) is (rows == 0)


@even_slow_modes
def test_top_level_operators_read_what_is_there_now(graphmode):
    """Each call builds anew: nothing that a callback reads is left over from an earlier one."""
    box = [1.0]

    class Model:
        factor = 2.0

    def body(i, x):
        return x * Model.factor + box[0]

    assert graphmode.numpy(graphmode.fori_loop(0, 2, body, 1.0)) == 7.0
    box[0], Model.factor = 0.0, 3.0
    assert graphmode.numpy(graphmode.fori_loop(0, 2, body, 1.0)) == 9.0


# Gradients.


CUBES = {
    "while": lambda g, x: g.while_loop(lambda y, n: n < 3, lambda y, n: (y * x, n + 1), (x * 0 + 1, 0))[0],
    "scan": lambda g, x: g.scan(lambda y, z: (y * z, y), x * 0 + 1, g.xp.stack([x, x, x]))[0],
    "cond": lambda g, x: g.cond(x > 0, lambda x: x * x * x, lambda x: x, x),
}


@pytest.mark.slow
@mutable_modes
@pytest.mark.parametrize("operator", CUBES)
def test_second_derivatives(graphmode, operator):
    slope = graphmode.grad(lambda x: CUBES[operator](graphmode, x))
    assert graphmode.numpy(graphmode.grad(lambda x: slope(x))(graphmode.tensor(1.5))) == pytest.approx(9.0)


@mutable_modes
def test_gradients_through_nesting_reach_variables_and_closures(graphmode):
    w, c = graphmode.variable(2.0), graphmode.tensor(3.0)

    def loss(x, n):
        def body(i, y):
            return graphmode.cond(i % 2 < 1, lambda y: y * w, lambda y: y * c, y)

        return graphmode.fori_loop(0, n, body, x)

    _, grads = graphmode.value_and_grad(loss, variables=[w])(graphmode.tensor(1.0), graphmode.tensor(3))
    assert graphmode.numpy(grads) == [12.0]  # x w c w


# What only TensorFlow's graphs have: shapes that are not known while tracing.


@variants("tf:graph")
def test_a_shape_that_tracing_lost_is_checked_by_the_graph(graphmode):
    tf = graphmode.lib

    @graphmode.function
    def keep(x, least):
        return graphmode.fori_loop(0, 3, lambda i, x: tf.boolean_mask(x, x > least) + 1, x)

    result = keep(np.arange(3.0), np.float32(-1))
    assert result.shape == (3,)
    np.testing.assert_array_equal(graphmode.numpy(result), [3, 4, 5])
    with pytest.raises(tf.errors.InvalidArgumentError, match="is not compatible with expected shape"):
        keep(np.arange(3.0), np.float32(1))


@variants("tf:graph")
@pytest.mark.parametrize("shape", [[None, 2], None])
def test_loops_over_tensors_of_unknown_shape(graphmode, shape):
    tf = graphmode.lib

    def loops(x):
        x = graphmode.while_loop(lambda x, n: n < 2, lambda x, n: (x * 2, n + 1), (x, 0))[0]
        if shape is None:
            return x
        total, ys = graphmode.scan(lambda total, row: (total + tf.reduce_sum(row), row[0]), 0.0, x)
        return total, ys

    function = graphmode.function(loops, input_signature=[tf.TensorSpec(shape, tf.float32)])
    for rows in (3, 1):
        found = graphmode.numpy(function(np.ones((rows, 2))))
        if shape is None:
            np.testing.assert_array_equal(found, np.full((rows, 2), 4))
        else:
            assert found[0] == rows * 8
            np.testing.assert_array_equal(found[1], np.full(rows, 4))
    assert graphmode.ledger.builds == 1
