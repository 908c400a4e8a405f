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


@every_mode
def test_while_loop_returns_the_list_it_was_given(graphmode, run):
    result = run(lambda x: graphmode.while_loop(lambda x: x < 8, lambda x: x * 2, [x]), 1)
    assert isinstance(result, list)
    assert result == [8]


@every_mode
@pytest.mark.parametrize(
    ("make", "read"),
    [
        (lambda x, n: Pair(x, n), lambda tree: (tree.first, tree.second)),
        (lambda x, n: State(x, n), lambda tree: (tree.position, tree.steps)),
    ],
    ids=["namedtuple", "dataclass"],
)
def test_while_loop_passes_any_other_tree_whole(graphmode, run, make, read):
    def body(tree):
        x, n = read(tree)
        return make(x * 2, n + 1)

    result = run(lambda x: graphmode.while_loop(lambda tree: read(tree)[1] < 3, body, make(x, 0)), 1.5)
    assert read(result) == (12.0, 3)
    assert type(result) is type(make(0, 0))


@every_mode
def test_a_lone_tensor_is_a_loop_variable(graphmode, run):
    assert run(lambda x: graphmode.while_loop(lambda x: x < 100.0, lambda x: x * 3, x), 1.0) == 243.0


@even_slow_modes
def test_a_condition_may_be_a_python_bool(graphmode, run):
    assert run(lambda x: graphmode.while_loop(lambda x: False, lambda x: x + 1, (x,)), 1.0) == (1.0,)


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


@every_mode
@pytest.mark.parametrize("flag", [True, False, np.True_, np.array(False)])
def test_cond_takes_bools_of_python_and_numpy(graphmode, run, flag):
    assert run(lambda x: graphmode.cond(flag, lambda x: x, lambda x: -x, x), 2.0) == (2.0 if flag else -2.0)


@even_slow_modes
def test_branches_may_return_numbers_and_nothing(graphmode, run):
    assert run(lambda x: graphmode.cond(x > 0, lambda: (1, None), lambda: (0, None)), 2.0) == (1, None)
    assert run(lambda x: graphmode.cond(x > 0, lambda: None, lambda: None), 2.0) is None


@variants("tf:graph", "tf:session", "tf:xla", "torch:compile", "jax:jit")
def test_operators_at_top_level_are_nodes_of_a_graph(graphmode):
    graphmode.while_loop(lambda n: n < 3, lambda n: n + 1, (0,))
    graphmode.scan(lambda c, x: (c + x, c), 0.0, np.ones(3))
    graphmode.cond(True, lambda x: x * 2, lambda x: x * 3, 1.0)
    graphmode.switch(1, [lambda x: x * 2, lambda x: x * 3, lambda x: x * 4], 1.0)
    names = [event.function for event in graphmode.ledger.events]
    assert [name.partition("(")[0] for name in names] == ["while_loop", "scan", "cond", "switch"]
    loops = [
        event.control_flow.get("while", 0) + event.control_flow.get("scan", 0) for event in graphmode.ledger.events
    ]
    branches = [
        event.control_flow.get("cond", 0) + event.control_flow.get("switch", 0) for event in graphmode.ledger.events
    ]
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


def second(graphmode, fn, x):
    return graphmode.numpy(graphmode.grad(lambda x: graphmode.grad(fn)(x))(graphmode.tensor(x)))


def powers(graphmode):
    """x cubed, by each operator."""

    def by_while(x):
        return graphmode.while_loop(lambda y, n: n < 3, lambda y, n: (y * x, n + 1), (x * 0 + 1, 0))[0]

    def by_scan(x):
        return graphmode.scan(lambda y, z: (y * z, y), x * 0 + 1, graphmode.xp.stack([x, x, x]))[0]

    def by_cond(x):
        return graphmode.cond(x > 0, lambda x: x * x * x, lambda x: x, x)

    return {"while": by_while, "scan": by_scan, "cond": by_cond}


@pytest.mark.slow
@mutable_modes
@pytest.mark.parametrize("operator", ["while", "scan", "cond"])
def test_second_derivatives(graphmode, operator):
    assert second(graphmode, powers(graphmode)[operator], 1.5) == pytest.approx(9.0)


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
