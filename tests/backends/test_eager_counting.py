"""What counts as a build where nothing is static: calls that recorded autograd nodes, on tf:eager and torch:eager."""

import gc
import threading
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

pytestmark = pytest.mark.graphmode(backends="tf:eager,torch:eager")


@pytest.fixture
def weight(graphmode):
    return graphmode.variable(np.ones(3))


@pytest.fixture
def loss(graphmode, weight):
    """A net whose hidden layer, with shared weights, is applied `depth` times."""

    def loss(x, depth=1):
        xp = graphmode.xp
        hidden = x * weight
        for _ in range(depth):
            hidden = xp.tanh(hidden * weight)
        return xp.sum(hidden)

    return loss


def calling(scope):
    def call(function, *args):
        with scope():
            return function(*args)

    return call


@pytest.fixture
def taped(graphmode):
    """Calls a function as it is called in training: under a tape where the framework has tapes."""
    return calling(nullcontext if graphmode.backend == "torch" else graphmode.lib.GradientTape)


@pytest.fixture
def untaped(graphmode):
    """Calls a function as it is called when no gradients are wanted."""
    return calling(nullcontext if graphmode.backend == "tf" else graphmode.lib.no_grad)


X = np.ones(3)


def test_a_call_that_records_is_a_build_and_one_for_inference_is_none(graphmode, loss, taped, untaped):
    run, ledger = graphmode.function(loss), graphmode.ledger
    for _ in range(5):
        untaped(run, X)
    assert (ledger.calls, ledger.builds) == (5, 0)
    for _ in range(5):
        taped(run, X)
    assert (ledger.calls, ledger.builds, ledger.rebuilds, ledger.nodes) == (10, 5, 4, 20)
    (event,) = ledger.events
    assert (event.function, event.number, event.nodes, event.recorded) == ("loss", 1, 4, True)
    assert event.call_site.startswith("tests/backends/test_eager_counting.py:")


def test_differentiating_at_top_level_is_a_call(graphmode, loss):
    step = graphmode.value_and_grad(loss)
    for _ in range(3):
        step(X)
    graphmode.grad(loss)(X)
    assert (graphmode.ledger.calls, graphmode.ledger.builds, graphmode.ledger.rebuilds) == (4, 4, 2)
    assert [event.function for event in graphmode.ledger.events] == ["value_and_grad(loss)", "grad(loss)"]


def test_a_function_in_a_function_is_part_of_the_outer_call(graphmode, loss, taped):
    inner = graphmode.function(loss)
    taped(graphmode.function(lambda x: inner(x) + inner(x)), X)
    assert (graphmode.ledger.calls, graphmode.ledger.builds, graphmode.ledger.nodes) == (1, 1, 9)


def test_a_native_training_step(graphmode, loss, weight):
    if graphmode.backend == "torch":

        def step(x):
            loss(x).backward()
    else:

        def step(x):
            with graphmode.lib.GradientTape() as tape:
                value = loss(x)
            return tape.gradient(value, weight)

    run = graphmode.function(step)
    for _ in range(3):
        run(X)
    assert (graphmode.ledger.builds, graphmode.ledger.rebuilds, graphmode.ledger.nodes) == (3, 2, 12)


def test_depths_of_a_net_are_so_many_structures(graphmode, loss, taped):
    run = graphmode.function(loss)
    depths = [0, 1, 2, 3] * 25
    with graphmode.watch(structures=True) as ledger:
        for depth in depths:
            taped(run, X, depth)
    assert (ledger.builds, ledger.rebuilds, ledger.structures) == (100, 99, 4)
    assert [event.nodes for event in ledger.events] == [2, 4, 6, 8]
    assert len({event.structure for event in ledger.events}) == 4
    assert {event.cause.kind for event in ledger.events[1:]} == {"structure"}


def test_structures_do_not_depend_on_values_or_sizes(graphmode, taped):
    run = graphmode.function(lambda x, w: graphmode.xp.sum(graphmode.xp.tanh(x * w)))
    with graphmode.watch(structures=True) as ledger:
        for size in (3, 4, 3):
            taped(run, np.full(size, float(size)), graphmode.variable(np.ones(size)))
    assert (ledger.builds, ledger.structures) == (3, 1)


def test_the_message_of_a_rebuild_says_what_eager_frameworks_do(graphmode, loss, taped):
    run = graphmode.function(loss)
    taped(run, X)
    taped(run, X, 2)
    text = graphmode.explain()
    assert "recorded a graph 2 times" in text
    assert "the recorded graph changed structure 4 nodes -> 6 nodes" in text
    assert "an eager framework records a graph on every call" in text


def test_nothing_is_kept_alive(graphmode, loss, taped):
    def make():
        variable = graphmode.variable(np.ones(3))
        return variable, lambda x: graphmode.xp.sum(x * variable)

    with graphmode.watch(structures=True) as ledger:
        variable, compute = make()
        result = taped(graphmode.function(compute), X)
        references = [weakref.ref(variable), weakref.ref(compute), weakref.ref(result)]
        assert ledger.builds == 1
        del variable, compute, result
        gc.collect()
        assert [reference() for reference in references] == [None, None, None]


def test_calls_in_threads_are_counted(graphmode, loss, taped):
    run = graphmode.function(loss)
    threads = [threading.Thread(target=lambda: [taped(run, X) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (graphmode.ledger.calls, graphmode.ledger.builds, graphmode.ledger.nodes) == (80, 80, 320)


@pytest.mark.graphmode(backends="tf:eager")
def test_a_call_of_a_graph_under_a_tape_is_recorded(graphmode, weight):
    tf = graphmode.lib
    graph = tf.function(lambda x: x * weight)
    run = graphmode.function(lambda x: graph(x) * 2.0)
    with tf.GradientTape() as tape:
        value = run(X)
    assert tape.gradient(value, weight) is not None
    assert graphmode.ledger.select("tf", "eager").builds == 1
    assert graphmode.ledger.select("tf", "eager").nodes == 2


@pytest.mark.graphmode(backends="tf:eager")
def test_the_tapes_are_given_back(graphmode):
    from tensorflow.python.eager import context, record

    from pytest_graphmode.backends.tensorflow.eager import TapeCounter

    tf = graphmode.lib

    def hooks():
        return tf.GradientTape.__enter__, tf.GradientTape.__exit__, record.record_operation

    before = hooks()
    with TapeCounter().installed():
        assert hooks() != before
        with tf.GradientTape():
            assert context.context().op_callbacks
    assert hooks() == before
    assert not context.context().op_callbacks


def test_a_tensorflow_without_the_hooks_is_a_clear_error(monkeypatch):
    pytest.importorskip("tensorflow")
    from tensorflow.python.eager import record

    from pytest_graphmode import UnsupportedError
    from pytest_graphmode.backends.tensorflow.eager import TapeCounter

    monkeypatch.delattr(record, "record_operation")
    with (
        pytest.raises(UnsupportedError, match=r"has no .*record\.record_operation, by which graphs are counted"),
        TapeCounter().installed(),
    ):
        pass


@pytest.mark.graphmode(backends="torch:eager")
def test_torch_counts_nodes_by_a_number_that_every_node_takes(graphmode):
    torch = graphmode.lib
    number = torch.autograd._get_sequence_nr
    weight = torch.ones(3, requires_grad=True)
    before = number()
    weight * weight
    assert number() - before == 1
    with torch.no_grad():
        weight * weight
    weight.detach() * 2.0
    assert number() - before == 1
