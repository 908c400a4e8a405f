import dataclasses
import pickle

import pytest

from pytest_graphmode.ledger.arguments import tensor_argument
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import BuildReport, Cause, GraphBreak, GraphLedger
from pytest_graphmode.ledger.recorder import Recorder

STEP = Identity("step", "model.py", 42, owner=1)
LOSS = Identity("loss", "model.py", 50, owner=2)


def built(shape=(3,), identity=STEP, backend="tf", mode="graph", **more):
    arguments = (tensor_argument("x", "float32", shape),)
    return BuildReport(backend, mode, identity, arguments=arguments, **{"nodes": 4, "seconds": 0.5, **more})


def recorded(*reports):
    recorder = Recorder()
    for report in reports:
        recorder.build(report)
    return recorder.ledger


def test_counts_of_static_builds():
    ledger = recorded(built((1,)), built((2,)), built((1,), LOSS))
    assert (ledger.builds, ledger.rebuilds, ledger.nodes, ledger.seconds, ledger.structures) == (3, 1, 12, 1.5, 3)
    assert [(event.function, event.number, event.rebuild) for event in ledger.events] == [
        ("step", 1, False),
        ("step", 2, True),
        ("loss", 1, False),
    ]


def test_a_trace_repeated_for_its_variables_is_a_build_and_no_rebuild():
    ledger = recorded(built(), built(causes=(Cause("variable-creation"),)), built((4,)))
    assert (ledger.builds, ledger.rebuilds) == (3, 1)
    assert [event.rebuild for event in ledger.events] == [False, False, True]


def test_failed_builds_count():
    ledger = recorded(built(failed=True), built((4,), failed=True))
    assert (ledger.builds, ledger.rebuilds) == (2, 1)
    assert all(event.failed for event in ledger.events)


def test_the_frameworks_own_builds_are_apart():
    ledger = recorded(built(internal=True), built((2,), internal=True), built((1,), LOSS))
    assert (ledger.builds, ledger.rebuilds, ledger.nodes) == (1, 0, 4)
    assert [event.function for event in ledger.internal] == ["step", "step"]


def test_builds_and_causes_are_frozen():
    (event,) = recorded(built()).events
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.nodes = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cause("shape").kind = "dtype"


def test_builds_can_be_pickled_and_hashed():
    (event,) = recorded(built(control_flow={"while": 1})).events
    assert pickle.loads(pickle.dumps(event)) == event
    assert hash(event)
    assert event.control_flow == {"while": 1}


def test_breaks_are_counted_by_line():
    ledger = GraphLedger()
    for where in ("model.py:1", "model.py:1", "model.py:2"):
        ledger.add_break(GraphBreak("torch", "compile", "step", where, "print"))
    ledger.add_break(GraphBreak("torch", "compile", "step", "model.py:1", "another reason"))
    assert ledger.breaks == 2
    assert len(ledger.graph_breaks) == 3


def eager(recorder, *sizes, identity=STEP, fingerprint=None):
    for nodes in sizes:
        recorder.eager_call("torch", "eager", identity, nodes, lambda: fingerprint)


def test_eager_builds_are_counted_without_an_event_each():
    recorder = Recorder()
    eager(recorder, 3, 3, 0, 5, 3)
    ledger = recorder.ledger
    assert (ledger.calls, ledger.builds, ledger.rebuilds, ledger.nodes, ledger.structures) == (5, 4, 3, 14, 2)
    assert [(event.number, event.nodes, event.rebuild) for event in ledger.events] == [(1, 3, False), (3, 5, True)]
    assert ledger.events[1].cause.kind == "structure"


def test_fingerprints_are_asked_for_only_while_structures_are_watched():
    recorder = Recorder()
    recorder.eager_call("torch", "eager", STEP, 3, lambda: pytest.fail("asked"))
    recorder.structures = True
    for fingerprint in ("a", "b", "a", None):
        eager(recorder, 3, fingerprint=fingerprint)
    assert recorder.ledger.structures == 3
    assert [event.structure for event in recorder.ledger.events] == ["3", "a", "b"]


def test_structures_of_one_size_are_said_to_differ():
    recorder = Recorder(structures=True)
    eager(recorder, 3, fingerprint="a")
    eager(recorder, 3, fingerprint="b")
    assert str(recorder.ledger.events[1].cause).startswith(
        "the recorded graph changed structure 3 nodes -> 3 nodes of another structure: "
    )


def test_parts_of_a_ledger_have_its_counts():
    recorder = Recorder()
    for report in (built(), built((4,)), built(mode="xla"), built(identity=LOSS, backend="my_jax", mode="jit")):
        recorder.build(report)
    recorder.call("tf", "xla")
    eager(recorder, 2, 2)
    recorder.graph_break(GraphBreak("torch", "compile", "step", "model.py:1", "print"))
    ledger = recorder.ledger
    assert ledger.backends == (
        ("tf", "graph"),
        ("tf", "xla"),
        ("my_jax", "jit"),
        ("torch", "eager"),
        ("torch", "compile"),
    )
    assert (ledger.select("tf").builds, ledger.select("tf").rebuilds, ledger.select("tf").calls) == (3, 1, 1)
    assert (ledger.select("tf", "xla").builds, ledger.select("tf", "xla").calls) == (1, 1)
    assert (ledger.select("torch").builds, ledger.select("torch").rebuilds, ledger.select("torch").breaks) == (2, 1, 1)
    assert ledger.select("torch", "compile").builds == 0
    assert ledger.part(lambda backend, mode: backend == "my_jax").builds == 1
    assert ledger.select().builds == ledger.builds


def test_a_block_shares_the_history_of_what_is_around_it():
    recorder = Recorder()
    recorder.build(built((1,)))
    eager(recorder, 3)
    block = recorder.open_ledger()
    recorder.build(built((2,)))
    eager(recorder, 3, 3)
    recorder.close_ledger(block)
    recorder.build(built((3,)))
    eager(recorder, 3, 4)
    assert (block.builds, block.rebuilds, block.calls, block.nodes, block.structures) == (3, 3, 2, 10, 2)
    assert (recorder.ledger.builds, recorder.ledger.rebuilds) == (8, 6)
    assert block.explain().splitlines()[0] == "  step (model.py:42) built once in 0.50 s"


def test_a_function_first_met_in_a_block_is_built_and_not_rebuilt_there():
    recorder = Recorder()
    block = recorder.open_ledger()
    eager(recorder, 3, 3)
    assert (block.builds, block.rebuilds) == (2, 1)


def test_what_was_before_the_test_began_does_not_count():
    recorder = Recorder()
    recorder.build(built((1,)))
    recorder.call("tf", "graph")
    eager(recorder, 3, 3)
    recorder.restart()
    ledger = recorder.ledger
    assert (ledger.builds, ledger.calls, ledger.events, ledger.nodes) == (0, 0, (), 0)
    recorder.build(built((2,)))
    eager(recorder, 3)
    assert (ledger.builds, ledger.rebuilds) == (2, 0)
    assert [event.cause for event in ledger.events] == [None, None]


def test_a_function_seen_before_the_test_began_keeps_its_counter():
    recorder = Recorder()
    counter = recorder.counter(STEP, "torch", "eager")
    recorder.restart()
    assert recorder.counter(STEP, "torch", "eager") is counter


def test_nothing_grows_with_the_number_of_eager_calls():
    recorder = Recorder(structures=True)

    def size():
        (counter,) = recorder._counters.values()
        return (len(counter.tally), len(counter.sizes), len(recorder.ledger.events))

    eager(recorder, 3, 5)
    before = size()
    eager(recorder, *[3, 5] * 500)
    assert size() == before
    assert recorder.ledger.builds == 1002
