import threading
from dataclasses import replace

import pytest

from pytest_graphmode import watch
from pytest_graphmode.ledger.arguments import tensor_argument
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import BuildReport, Fallback, GraphBreak
from pytest_graphmode.ledger.watcher import watcher

STEP = Identity("step", "/home/me/model.py", 42, owner=1)


def built(size=3, **more):
    return BuildReport("tf", "graph", STEP, arguments=(tensor_argument("x", "float32", (size,)),), **more)


def test_a_block_sees_what_is_reported_while_it_runs():
    watcher.build(built(1))
    with watch() as ledger:
        watcher.build(built(2))
        watcher.call("tf", "graph")
        watcher.eager_call("torch", "eager", STEP, 3, lambda: None)
        watcher.graph_break(GraphBreak("torch", "compile", "step", "model.py:1", "print"))
        watcher.fallback(Fallback("torch", "compile", "step", "model.py:1", "limit"))
        assert ledger.builds == 2
    watcher.build(built(3))
    watcher.call("tf", "graph")
    watcher.eager_call("torch", "eager", STEP, 3, lambda: None)
    assert (ledger.builds, ledger.calls, ledger.breaks, ledger.fallbacks) == (2, 2, 1, 1)


def test_what_was_built_before_the_outermost_block_does_not_count():
    with watch():
        watcher.build(built(1))
    with watch() as ledger:
        watcher.build(built(2))
    assert (ledger.builds, ledger.rebuilds) == (1, 0)
    assert ledger.events[0].cause is None


def test_an_inner_block_shares_the_history_of_the_outer():
    with watch() as outer:
        watcher.build(built(1))
        with watch() as inner:
            watcher.build(built(2))
        watcher.build(built(3))
    assert (outer.builds, outer.rebuilds) == (3, 2)
    assert (inner.builds, inner.rebuilds) == (1, 1)
    assert inner.events[0].number == 2
    assert str(inner.events[0].cause) == "x changed shape [1] -> [2]"


def test_structures_are_watched_in_the_block_that_asks_for_them():
    def call(ledger):
        before = ledger.structures
        for fingerprint in ("a", "b"):
            watcher.eager_call("torch", "eager", STEP, 3, lambda fingerprint=fingerprint: fingerprint)
        return ledger.structures - before

    with watch() as outer:
        assert call(outer) == 1
        with watch(structures=True) as inner:
            assert call(inner) == 2
            with watch() as innermost:
                assert call(innermost) == 2
        assert call(outer) == 0


def test_a_block_that_raises_is_closed():
    def work():
        with watch() as ledger:
            ledgers.append(ledger)
            watcher.build(built(1))
            raise ValueError("no")

    ledgers = []
    with pytest.raises(ValueError, match="no"):
        work()
    watcher.build(built(2))
    assert ledgers[0].builds == 1
    assert watcher.current is None


def test_builds_and_calls_in_threads_are_counted():
    def work():
        for size in range(100):
            watcher.build(built(size))
            watcher.call("tf", "graph")

    with watch() as ledger:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (ledger.builds, ledger.rebuilds, ledger.calls) == (800, 799, 800)


def test_what_a_thread_pauses_others_still_hear():
    heard = []

    def work():
        watcher.build(built(2))
        heard.append(True)

    with watch() as ledger:
        with watcher.paused():
            watcher.build(built(1))
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        watcher.build(built(3))
    assert heard
    assert [event.arguments[0].shape for event in ledger.events] == [(2,), (3,)]


def test_a_block_in_a_thread_that_outlives_the_outer_one_still_hears():
    begun, go_on = threading.Event(), threading.Event()
    ledgers = []

    def work():
        with watch() as ledger:
            ledgers.append(ledger)
            begun.set()
            go_on.wait(10)
            watcher.build(built(2))

    thread = threading.Thread(target=work)
    with watch() as outer:
        watcher.build(built(1))
        thread.start()
        begun.wait(10)
    go_on.set()
    thread.join()
    watcher.build(built(3))
    assert (outer.builds, ledgers[0].builds, ledgers[0].rebuilds) == (1, 1, 1)
    assert watcher.current is None


def test_graphs_of_the_plugins_own_checks_are_in_no_count_and_are_graphs():
    with watch() as ledger:
        with watcher.only():
            watcher.build(built(1))
            watcher.call("tf", "graph")
        with watcher.only(told=False):
            watcher.build(built(1))
    assert (ledger.builds, ledger.calls, ledger.hidden_graphs) == (0, 0, 2)


@pytest.mark.parametrize(("before", "rebuilds"), [(False, 0), (True, 1)])
def test_a_graph_that_only_a_check_has_built_before_makes_no_rebuild(before, rebuilds):
    with watch() as ledger:
        with watcher.only():
            watcher.build(replace(built(1), existing=before))
            watcher.build(replace(built(2), existing=True))
        watcher.build(replace(built(3), existing=True))
    assert (ledger.builds, ledger.rebuilds, bool(ledger.events[0].causes)) == (1, rebuilds, before)
