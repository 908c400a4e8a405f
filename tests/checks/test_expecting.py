"""`expect`: what a block may build, at its end and at once."""

import functools
import sys

import pytest

from pytest_graphmode import expect, watch
from pytest_graphmode.ledger.arguments import tensor_argument
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import BuildReport, Fallback, GraphBreak
from pytest_graphmode.ledger.watcher import watcher

STEP = Identity("step", "/home/me/app/model.py", 42, owner=1)


def build(size=3, backend="tf", mode="graph", identity=STEP, **more):
    watcher.build(BuildReport(backend, mode, identity, (tensor_argument("x", "float32", (size,)),), **more))


def graph_break():
    watcher.graph_break(GraphBreak("torch", "compile", "step", "app/model.py:3", "print", file="/me/app/model.py"))


@pytest.mark.parametrize(
    "counts",
    [
        {"builds": 2},
        {"builds": 2, "rebuilds": 1, "breaks": 0, "fallbacks": 0},
        {"builds": (1, 2)},
        {"builds": (2, None), "rebuilds": (None, 1)},
        {"builds": {"tf": 2, "torch_compile": 0}},
        {"builds": {"tf_graph": (1, 3)}},
        {"seconds": 1},
        {"builds": 2, "within": "app"},
        {"builds": 2, "function": "step"},
        {"builds": 3, "internal": True},
    ],
)
def test_a_block_that_keeps_its_counts_passes(counts):
    with expect(**counts) as ledger:
        build(1, seconds=0.5)
        build(2)
        build(3, identity=Identity("machinery", "data.py", 1), internal=True)
    assert ledger.builds == 2


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"builds": 1}, "2 builds, exactly 1 expected"),
        ({"builds": 0}, "2 builds, at most 0 allowed"),
        ({"builds": 3}, "2 builds, exactly 3 expected"),
        ({"builds": (3, 5)}, "2 builds, 3 to 5 expected"),
        ({"builds": (3, None)}, "2 builds, at least 3 expected"),
        ({"rebuilds": 0}, "1 rebuild, at most 0 allowed"),
        ({"breaks": 0}, "1 break, at most 0 allowed"),
        ({"builds": {"tf_graph": 1}}, "2 builds, exactly 1 expected (tf_graph)"),
        ({"rebuilds": 0, "within": "app"}, "1 rebuild, at most 0 allowed (app)"),
        ({"rebuilds": 0, "function": "step"}, "1 rebuild, at most 0 allowed (step)"),
        ({"seconds": 0.1}, "0.50 s spent building, at most 0.1 allowed"),
    ],
)
def test_a_block_that_does_not_fails_with_the_ledgers_text(counts, text):
    with pytest.raises(AssertionError) as caught, expect(**counts) as ledger:  # noqa: PT012
        build(1, seconds=0.5)
        build(2)
        graph_break()
    lines = str(caught.value).splitlines()
    assert lines[0] == text
    assert "\n".join(lines[1:]) in ledger.explain() or "function" in counts or "within" in counts


def test_what_was_built_before_the_block_in_a_test_makes_a_rebuild_of_it():
    with watch():
        with expect(builds=1, rebuilds=0):
            build(1)
        with pytest.raises(AssertionError, match="1 rebuild, at most 0 allowed"), expect(rebuilds=0):
            build(2)


def test_what_the_framework_held_before_the_block_makes_a_rebuild_of_it():
    earlier = [BuildReport("tf", "graph", STEP, (tensor_argument("x", "float32", (1,)),))]
    with pytest.raises(AssertionError) as caught, expect(rebuilds=0):
        build(2, existing=True, earlier=lambda: earlier)
    assert "1 rebuild, at most 0 allowed" in str(caught.value)
    assert "x changed shape [1] -> [2]" in str(caught.value)


def test_objects_are_told_apart_where_that_is_asked():
    def three():
        for number in (1, 2, 3):
            build(1, identity=Identity("Agent.act", "agent.py", 3, owner=number, bound=number))

    with expect(rebuilds=0, per_object=True):
        three()
    with pytest.raises(AssertionError, match="per_object=True tells them apart"), expect(rebuilds=0):
        three()


def test_at_once_raises_at_the_build_that_is_too_many():
    done = []
    with pytest.raises(AssertionError, match="2 builds, exactly"), expect(builds=1, at_once=True):  # noqa: PT012
        build(1)
        done.append(1)
        build(2)
        done.append(2)
    assert done == [1]
    build(3)  # nobody watches any more
    with expect(builds=3, at_once=True):
        for size in (1, 2, 3):
            build(size)


def test_at_once_points_at_the_users_line():
    with pytest.raises(
        AssertionError, match=r"1 build, at most 0 allowed, at .*checks/test_expecting.py:\d+"
    ) as caught:
        block()
    assert caught.traceback[-1].name == ("build" if sys.version_info >= (3, 11) else "_guard")


def block():
    with expect(builds=0, at_once=True):
        functools.reduce(lambda _, size: build(size), [0, 1])


def test_at_once_too_few_fails_at_the_end():
    with pytest.raises(AssertionError, match="1 build, exactly 2 expected"), expect(builds=2, at_once=True):
        build(1)


def test_a_fallback_fails_an_assertion_of_rebuilds():
    with pytest.raises(AssertionError, match="fell back to eager execution"), expect(rebuilds=0):
        watcher.fallback(Fallback("torch", "compile", "step", "model.py:42", "limit"))
    with pytest.raises(AssertionError, match="1 fallback, at most 0 allowed"), expect(fallbacks=0):
        watcher.fallback(Fallback("torch", "compile", "step", "model.py:42", "limit"))


def test_graphs_that_are_not_counted_fail_the_block():
    with (
        pytest.raises(AssertionError, match=r"the graphs of torch are not counted.*torch 9\.9: gone"),
        expect(builds=0),
    ):
        watcher.not_counted("torch", "torch 9.9: gone")
    with expect(builds=0):
        pass


def test_an_error_of_the_block_is_not_replaced():
    with pytest.raises(ZeroDivisionError), expect(builds=0):  # noqa: PT012
        build(1)
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, r"expect\(\) needs a count: one of builds, rebuilds, breaks, fallbacks, nodes, seconds"),
        ({"builds": -1}, r"expect\(\): builds must be a whole number from 0, not -1"),
        ({"builds": (1, 2, 3)}, "builds must be a number or a pair"),
        ({"builds": 1, "within": 3}, "within must be the name of a package"),
        ({"builds": 1, "function": ""}, "function must be like 'step'"),
        ({"builds": (2, 1)}, "builds must be a pair .least, most., not .2, 1.: 2 is more than 1"),
        ({"builds": {"keras": 1}}, "builds has no key 'keras': the keys are tf, tf_graph, .*torch_compile"),
        (
            {"build": 1},
            "no argument build: did you mean builds. It takes builds, rebuilds, .*within, function, .*at_once",
        ),
        ({"builds": 1, "zzz": 1}, "no argument zzz: It takes builds"),
    ],
)
def test_wrong_arguments_are_told_with_the_legal_ones(counts, message):
    with pytest.raises((TypeError, ValueError), match=message), expect(**counts):
        pytest.fail("the block runs")
