"""TensorFlow 1's graphs and sessions: the mode, and native code whose graph grows."""

import numpy as np
import pytest

from pytest_graphmode import UnsupportedError

pytestmark = pytest.mark.graphmode(backends="tf:session")


def test_a_function_is_built_once_per_signature(graphmode):
    double = graphmode.function(lambda x, times=2: {"y": x * times, "times": times, "none": None})
    result = double(np.ones(3))
    assert isinstance(result["y"], np.ndarray)
    assert result["y"].dtype == np.float32
    np.testing.assert_array_equal(result["y"], [2, 2, 2])
    assert (result["times"], result["none"]) == (2, None)
    double(np.zeros(3))
    assert (graphmode.ledger.builds, graphmode.ledger.calls) == (1, 2)
    double(np.ones(4))
    double(np.ones(4), times=3)
    causes = [event.cause and (event.cause.kind, event.cause.argument) for event in graphmode.ledger.events]
    assert causes == [None, ("shape", "x"), ("python-value", "times")]


def test_symbolic_tensors_of_the_test_are_fed_by_value(graphmode):
    symbolic = graphmode.lib.constant([1.0, 2.0]) * 3
    np.testing.assert_array_equal(graphmode.function(lambda x: x + 1)(symbolic), [4, 7])
    np.testing.assert_array_equal(graphmode.numpy(symbolic), [3, 6])


def test_assign_is_ordered_with_reads(graphmode):
    value = graphmode.variable(1.0)

    @graphmode.function
    def step():
        before = value + 0
        graphmode.assign(value, value * 10)
        between = value + 0
        graphmode.assign(value, value * 10)
        return before, between, value + 0

    assert [float(result) for result in step()] == [1, 10, 100]


def test_a_variable_made_inside_a_function_is_initialized_once(graphmode):
    kept = []

    @graphmode.function
    def step(x):
        if not kept:
            kept.append(graphmode.lib.Variable(5.0))
        kept[0].assign_add(x)
        return kept[0] + 0

    assert [float(step(np.float32(1))) for _ in range(3)] == [6, 7, 8]
    assert [event.cause and event.cause.kind for event in graphmode.ledger.events] == [None, "variable-creation"]
    assert graphmode.ledger.rebuilds == 0


def test_variables_made_in_every_build_are_refused(graphmode):
    step = graphmode.function(lambda x: graphmode.lib.Variable(5.0) + x)
    with pytest.raises(ValueError, match="creates variables whenever it is built"):
        step(np.float32(1))


def test_tensors_compare_by_value_in_functions_as_in_other_modes(graphmode):
    variable = graphmode.variable(3.0)

    @graphmode.function
    def parity(n):
        branch = graphmode.cond(n % 2 == 0, lambda: 0, lambda: 1)
        return branch, n == 4, n != 4, variable == 3.0

    assert [int(value) for value in parity(np.int32(4))] == [0, 1, 0, 1]
    assert [int(value) for value in parity(np.int32(5))] == [1, 0, 1, 1]


def test_native_code_keeps_the_equality_of_tensorflow_1(graphmode):
    tf = graphmode.lib
    one, other = tf.constant(1), tf.constant(1)
    assert (one == one) is True
    assert (one == other) is False


def test_a_build_that_raises_is_marked_failed(graphmode):
    def fail(x):
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        graphmode.function(fail)(np.ones(2))
    assert [event.failed for event in graphmode.ledger.events] == [True]


def test_native_code_runs_in_the_session_of_the_test(graphmode):
    tf1 = graphmode.lib.compat.v1
    x = tf1.placeholder("float32", [2])
    y = x * 2
    for _ in range(5):
        np.testing.assert_array_equal(graphmode.session.run(y, {x: [1, 2]}), [2, 4])
    assert (graphmode.ledger.builds, graphmode.ledger.rebuilds, graphmode.ledger.calls) == (1, 0, 5)


def test_a_growing_graph_is_rebuilt_at_the_line_that_adds_to_it(graphmode):
    tf = graphmode.lib
    x = tf.compat.v1.placeholder("float32", [2])
    for _ in range(3):
        graphmode.session.run(tf.reduce_sum(x) * 2, {x: [1, 2]})
    assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (3, 2)
    cause = graphmode.ledger.events[-1].cause
    assert cause.kind == "structure"
    line = graphmode.ledger.events[-1].call_site
    assert line.startswith("tests/backends/test_tensorflow_session.py:")
    assert f"operations were added at {line} (+" in cause.hint
    assert "graph.finalize()" in graphmode.explain()


def test_runs_of_the_plugin_neither_count_nor_hide_those_of_the_test(graphmode):
    tf = graphmode.lib
    variable = graphmode.variable([1.0, 2.0])
    mine = tf.constant(3.0) * 2
    graphmode.numpy(variable)
    graphmode.assign(variable, [5.0, 6.0])
    assert graphmode.ledger.builds == 0
    assert graphmode.session.run(mine) == 6
    (event,) = graphmode.ledger.events
    assert event.nodes == 3  # two constants and their product, none of the plugin's operations


def in_a_graph_of_its_own(tf1, make):
    with tf1.Graph().as_default(), tf1.Session() as session:
        session.run(make())


def test_a_new_graph_and_session_for_every_prediction_are_rebuilds_unless_other_lines_made_them(graphmode):
    tf = graphmode.lib
    with graphmode.watch() as ledger:
        in_a_graph_of_its_own(tf.compat.v1, lambda: tf.constant(1) + 1)
        in_a_graph_of_its_own(tf.compat.v1, lambda: tf.constant(2.0))
    assert (ledger.builds, ledger.rebuilds) == (2, 0)
    with graphmode.watch() as ledger:
        for value in range(3):
            in_a_graph_of_its_own(tf.compat.v1, lambda value=value: tf.constant(value) + 1)
    assert (ledger.builds, ledger.rebuilds) == (3, 2)
    assert str(ledger.events[-1].cause) == (
        "the same lines built a new graph: make the graph and its session once, before the loop, and feed values "
        "through placeholders"
    )


def test_a_new_session_of_the_same_graph_is_a_rebuild(graphmode):
    tf1 = graphmode.lib.compat.v1
    with graphmode.watch() as ledger, graphmode.lib.Graph().as_default():
        x = tf1.placeholder("float32", [])
        y = x * 2.0
        for value in (1.0, 2.0):
            with tf1.Session() as session:
                assert session.run(y, {x: value}) == 2 * value
    assert (ledger.builds, ledger.rebuilds) == (2, 1)
    assert "the same graph was given to a new session: make the graph and its session once" in ledger.explain()


@pytest.mark.graphmode(backends="tf:graph")
def test_other_modes_have_no_session(graphmode):
    with pytest.raises(AttributeError, match="only tf:session does"):
        _ = graphmode.session


@pytest.mark.graphmode(backends="tf:xla")
@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (
            lambda g: g.function(lambda x: g.lib.strings.as_string(x))(np.ones(2)),
            r"compile AsString \(made at tests/backends/test_tensorflow_session.py:\d+\)",
        ),
        (
            lambda g: g.grad(lambda x: g.while_loop(lambda x: x < 100, lambda x: x * 2, (x,))[0])(np.float32(3)),
            "bounds that are Python ints",
        ),
    ],
    ids=["an operation", "the gradient of a loop of unknown length"],
)
def test_what_xla_can_not_compile_is_named_with_its_line_or_the_cure(graphmode, attempt, message):
    with pytest.raises(UnsupportedError, match=message):
        attempt(graphmode)


@pytest.mark.graphmode(backends="tf:xla")
def test_other_errors_under_xla_pass_unchanged(graphmode):
    tf = graphmode.lib
    checked = graphmode.function(lambda x: tf.ensure_shape(tf.reshape(x, [-1]), [3]))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as caught:
        checked(np.ones(2))
    assert not isinstance(caught.value, UnsupportedError)
