"""Taps in every mode: what they record, what that costs, and where there can be none."""

import collections

import numpy as np
import pytest

from tests.backends.variants import variants

EVERY_MODE = ("tf:graph", "tf:session", "tf:eager", "tf:xla", "torch:eager", "torch:compile", "jax:jit", "jax:eager")
every_mode = variants(*EVERY_MODE, "numpy")
differentiating = variants(*EVERY_MODE)
static = variants("tf:graph", "tf:session", "tf:xla", "torch:compile", "jax:jit")
X = np.array([0.0, 1.0, 2.0], np.float32)

pytestmark = pytest.mark.graph_agree(rtol=1e-5, atol=1e-5)


def recorded(graphmode):
    """The names with the values of every step, trees as their first leaf."""
    return {
        name: [np.asarray(next(iter(step.values()))).tolist() for step in steps]
        for name, steps in graphmode.recording.taps.items()
    }


@every_mode
def test_a_tap_is_recorded_from_inside_of_a_function_and_grows_into_a_series(graphmode):
    def body(x):
        h = graphmode.tap("h", x * 2)
        k = graphmode.tap("k", h + 1)
        return graphmode.tap("h", k * k)

    run = graphmode.function(body)
    with graphmode.expect(builds=(0, 1), breaks=0):
        run(X)
        run(X + 1)
    assert recorded(graphmode) == {
        "h": [[0, 2, 4], [1, 9, 25], [2, 4, 6], [9, 25, 49]],
        "k": [[1, 3, 5], [3, 5, 7]],
    }


@static
def test_a_tap_is_one_more_output_of_the_graph(graphmode):
    def body(x, tap):
        return graphmode.xp.sum(tap("h", graphmode.xp.sin(x)))

    with graphmode.watch() as plain:
        graphmode.function(lambda x: body(x, lambda _, value: value))(X)
    with graphmode.watch() as tapped:
        run = graphmode.function(lambda x: body(x, graphmode.tap))
        run(X)
        run(X)
    assert (tapped.builds, tapped.breaks, tapped.fallbacks) == (plain.builds, 0, 0)
    calls = ("py_func", "PyFunc", "callback", "host")
    assert not [name for event in tapped.events for name in event.operations if any(map(name.count, calls))]
    assert len(recorded(graphmode)["h"]) == 2


@every_mode
def test_a_tap_is_recorded_outside_of_functions_too(graphmode):
    assert graphmode.tap("number", 3) == 3
    graphmode.tap("array", X)
    value = graphmode.tensor(X)
    assert graphmode.tap("tensor", value) is value
    assert recorded(graphmode) == {"number": [3], "array": [X.tolist()], "tensor": [X.tolist()]}


@every_mode
def test_a_function_within_a_function_hands_its_taps_on(graphmode):
    inner = graphmode.function(lambda x: graphmode.tap("inner", x * 2))

    @graphmode.function
    def outer(x):
        x = inner(graphmode.tap("before", x + 1))
        return graphmode.tap("after", inner(x))

    for _ in range(2):
        outer(np.float32(1))
    inner(graphmode.tensor(np.float32(5)))
    assert recorded(graphmode) == {"before": [2, 2], "inner": [4, 8, 4, 8, 10], "after": [8, 8]}


@every_mode
def test_a_tree_is_recorded_leaf_by_leaf(graphmode):
    graphmode.function(lambda x: graphmode.tap("h", {"a": (x, x + 1), "b": [x * 2]})["a"][0])(np.float32(1))
    (step,) = graphmode.recording.taps["h"]
    assert {path: float(leaf) for path, leaf in step.items()} == {"h['a'][0]": 1, "h['a'][1]": 2, "h['b'][0]": 2}


@every_mode
def test_a_variable_is_recorded_as_it_was_when_it_was_tapped(graphmode):
    variable = graphmode.variable(1.0)

    @graphmode.function
    def step():
        graphmode.tap("before", variable)
        graphmode.assign(variable, variable + 1)
        graphmode.tap("after", variable)

    step()
    step()
    assert recorded(graphmode) == {"before": [1, 2], "after": [2, 3]}


@variants("torch:eager", "torch:compile")
def test_what_is_modified_in_place_later_on_is_recorded_as_it_was(graphmode):
    def loss(x):
        h = graphmode.tap("h", x - 1)
        return graphmode.xp.sum(h.relu_() * 3)

    def step(x):
        return graphmode.value_and_grad(loss)(x)

    graphmode.value_and_grad(loss)(X)
    graphmode.function(step)(X)
    assert recorded(graphmode) == {"h": [[-1, 0, 1]] * 2, "grad(h)": [[0, 0, 3]] * 2}


# Loops and branches.


TAPPING = {
    "while_loop": lambda g, body, x: g.while_loop(lambda x: g.xp.sum(x) < 9, body, (x,)),
    "fori_loop": lambda g, body, x: g.fori_loop(0, 3, lambda i, x: body(x), x),
    "scan": lambda g, body, x: g.scan(lambda carry, row: (body(carry), row), x, x),
    "cond": lambda g, body, x: g.cond(g.xp.sum(x) > 0, body, lambda x: x, x),
    "switch": lambda g, body, x: g.switch(g.xp.astype(x[0], "int32"), [body, body], x),
}


@variants("tf:graph", "tf:session", "torch:eager", "torch:compile", "jax:jit", "numpy")
@pytest.mark.parametrize("operator", TAPPING)
def test_a_tap_inside_of_a_loop_or_branch_is_refused(graphmode, operator):
    def call(x):
        return TAPPING[operator](graphmode, lambda x: graphmode.tap("h", x + 1), x)

    refused = rf"graphmode.tap\('h'\) is inside of a ({operator}|loop or branch): .* tap what comes out of it"
    for run in (graphmode.function(call), lambda x: call(graphmode.tensor(x))):
        with pytest.raises(TypeError, match=refused):
            run(X)
    graphmode.tap("x", 1)


@every_mode
def test_taps_before_between_and_after_loops_and_branches_are_recorded(graphmode):
    @graphmode.function
    def run(x):
        x = graphmode.tap("before", x + 1)
        x = graphmode.fori_loop(0, 3, lambda i, x: x + 1, x)
        x = graphmode.tap("between", x)
        x = graphmode.cond(graphmode.xp.sum(x) > 0, lambda x: x * 2, lambda x: x, x)
        return graphmode.tap("after", x)

    run(X)
    assert recorded(graphmode) == {"before": [[1, 2, 3]], "between": [[4, 5, 6]], "after": [[8, 10, 12]]}


@variants("tf:graph", "tf:session")
def test_a_tap_in_a_loop_or_branch_of_autographs_is_refused(graphmode):
    tf = graphmode.lib
    inner = graphmode.function(lambda x: graphmode.tap("inner", x * 2))

    def loop(x):
        for _ in tf.range(3):
            x = graphmode.tap("h", x + 1)
        return x

    def branch(x):
        if tf.reduce_sum(x) > 0:
            x = graphmode.tap("h", x + 1)
        return x

    def function_in_loop(x):
        for _ in tf.range(3):
            x = inner(x)
        return x

    def unrolled(x):
        for _ in range(3):
            x = graphmode.tap("unrolled", x + 1)
        return x

    for refused in (loop, branch, function_in_loop):
        with pytest.raises(TypeError, match=r"is inside of a loop or branch of TensorFlow's"):
            graphmode.function(refused)(X)
    graphmode.function(unrolled)(X)
    assert len(recorded(graphmode)["unrolled"]) == 3


@variants("tf:graph", "tf:eager")
def test_a_tap_in_a_tf_function_of_the_tests_own_is_refused(graphmode):
    native = graphmode.lib.function(lambda x: graphmode.tap("h", x * 2))
    for run in (native, graphmode.function(lambda x: native(x))):
        if run is native or graphmode.mode == "graph":
            with pytest.raises(TypeError, match=r"inside of a tf.function that is not graphmode.function's"):
                run(graphmode.tensor(X))
    graphmode.tap("x", 1)


@variants("jax:jit", "jax:eager")
def test_a_tap_in_a_transformation_of_jax_s_own_is_refused(graphmode):
    jax = graphmode.lib
    taps = {
        "jit": jax.jit(lambda x: graphmode.tap("h", x)),
        "grad": jax.grad(lambda x: graphmode.tap("h", x).sum()),
        "scan": lambda x: jax.lax.scan(lambda carry, _: (graphmode.tap("h", carry), 0), x, None, length=2),
    }
    if not hasattr(jax.extend.core if hasattr(jax, "extend") else jax.core, "get_opaque_trace_state"):
        pytest.importorskip("jax", minversion="0.4.36")
    for native in taps.values():
        with pytest.raises(TypeError, match="inside of a loop, branch or transformation of JAX's own"):
            graphmode.function(lambda x, native=native: native(x))(X)
    graphmode.tap("x", 1)


# Gradients.


@differentiating
def test_gradients_with_respect_to_taps_are_recorded_and_change_nothing(graphmode):
    def loss(x, tap):
        h = tap("h", x * 2)
        k = tap("k", h * h)
        tap("aside", h + 1)
        return graphmode.xp.sum(tap("h", k * 3))

    def tapped(x):
        return loss(x, graphmode.tap)

    plain = graphmode.value_and_grad(lambda x: loss(x, lambda _, value: value))(X)
    with graphmode.watch() as ledger:
        value, gradient = graphmode.value_and_grad(tapped)(X)
        graphmode.function(lambda x: graphmode.value_and_grad(tapped)(x))(X)
    np.testing.assert_array_equal(graphmode.numpy(value), graphmode.numpy(plain[0]))
    np.testing.assert_array_equal(graphmode.numpy(gradient), graphmode.numpy(plain[1]))
    assert ledger.builds <= 2
    assert ledger.breaks == 0
    found = recorded(graphmode)
    assert list(found) == ["h", "k", "aside", "grad(k)", "grad(h)"]
    assert found["grad(k)"] == [[3, 3, 3]] * 2
    assert found["grad(h)"] == [[0, 12, 24], [1, 1, 1]] * 2
    graphmode.agree(value=value, gradient=gradient)


@differentiating
def test_gradients_by_variables_go_through_taps_too(graphmode):
    weight = graphmode.variable(2.0)
    gradient = graphmode.grad(lambda: graphmode.tap("h", weight * 3) ** 2, variables=[weight])
    assert float(graphmode.numpy(gradient()[0])) == 36
    assert recorded(graphmode) == {"h": [6], "grad(h)": [12]}


@variants("tf:graph", "tf:eager", "torch:eager", "jax:jit", "jax:eager")
def test_a_second_derivative_is_the_same_through_a_tap(graphmode):
    def inner(x, tap):
        return graphmode.xp.sum(graphmode.xp.sin(tap("h", x * x)))

    def curvature(tap):
        gradient = graphmode.grad(lambda x: inner(x, tap))
        return graphmode.function(graphmode.grad(lambda x: graphmode.xp.sum(gradient(x) ** 2)))

    expected = graphmode.numpy(curvature(lambda _, value: value)(X))
    np.testing.assert_allclose(graphmode.numpy(curvature(graphmode.tap)(X)), expected, rtol=1e-6)


@variants("tf:graph", "torch:eager", "torch:compile", "jax:jit")
def test_checks_record_no_taps_of_their_own_runs(graphmode):
    def function(x):
        return graphmode.xp.sum(graphmode.xp.sin(graphmode.tap("h", x * 2)))

    made = graphmode.function(function)
    graphmode.check_grads(function, X)
    graphmode.check_grads(function, X, order=2)
    graphmode.check_grads(made, X)
    graphmode.check_control_flow(function, [(X,), (X + 1,)])
    graphmode.check_not_frozen(function, X)
    assert graphmode.recording.taps == {}
    made(X)
    assert recorded(graphmode) == {"h": [[0, 2, 4]]}


@variants("torch:compile")
def test_taps_around_a_graph_break_are_recorded_without_a_rebuild(graphmode):
    def step(x):
        x = graphmode.tap("before", x + 1)
        graphmode.lib._dynamo.graph_break()
        return graphmode.tap("after", x * 2)

    def run(x):
        for _ in range(4):
            x = step(x)
        return x

    made = graphmode.function(run)
    made(X)
    with graphmode.expect(builds=0):
        made(X)
    assert [len(steps) for steps in graphmode.recording.taps.values()] == [8, 8]


class Alike(collections.namedtuple("Alike", "a b")):
    def __new__(cls, a, b):
        assert a.shape == b.shape
        return super().__new__(cls, a, b)


@variants("torch:compile", "torch:eager", "tf:graph", "jax:jit")
def test_a_namedtuple_that_looks_at_its_fields(graphmode):
    graphmode.function(lambda x: graphmode.tap("h", Alike(x + 1, x * 2)).a)(np.ones(2))
    (step,) = graphmode.recording.taps["h"]
    assert [list(leaf) for leaf in step.values()] == [[2, 2], [2, 2]]


@every_mode
def test_wrong_calls_say_what_is_right(graphmode):
    with pytest.raises(TypeError, match=r"takes a name and a value, graphmode.tap\('h', h\); the name was 3"):
        graphmode.tap(3, X)
    with pytest.raises(TypeError, match=r"graphmode.tap records numbers, .*; h is a object"):
        graphmode.tap("h", object())
    assert not graphmode.recording.taps
    graphmode.tap("x", 1)


@variants("tf:graph", "jax:jit", "torch:compile", "torch:eager")
def test_a_gradient_by_a_tap_in_a_function_of_its_own_graph_is_there_or_said_to_be_missing(graphmode):
    inner = graphmode.function(lambda x: graphmode.tap("h", graphmode.xp.sin(x)) * 2)
    graphmode.grad(lambda x: graphmode.xp.sum(graphmode.tap("out", inner(x))))(X)
    taps, missing = graphmode.recording.taps, graphmode.recording.left_out
    assert {"h", "out", "grad(out)"} <= set(taps)
    if graphmode.backend == "torch":
        assert ("grad(h)" in taps, missing) == (True, {})
    else:
        where = "inside of a graphmode.function that the differentiated function calls"
        assert ("grad(h)" in taps, missing) == (False, {"grad(h)": where})
