"""How taps leave traced functions, without a framework: what third-party modes get by default."""

import pytest

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.tapping import Tap, Tapped


@pytest.fixture
def received():
    """What has left all graphs."""
    found = []
    with tapping.received_by(lambda name, value: found.append((name, value))):
        yield found


def test_a_function_that_taps_returns_them_with_its_result(received):
    traced = tapping.carrying(lambda x: (tapping.emit("h", x + 1), x * 2)[1])
    result = traced(1)
    assert isinstance(result, Tapped)
    assert received == []
    assert tapping.received(result, tapping.untappable) == 2
    assert received == [("h", 2)]


def test_a_function_that_taps_nothing_returns_its_result_alone(received):
    result = object()
    assert tapping.carrying(lambda: result)() is result
    assert tapping.received(result, tapping.untappable) is result
    assert received == []


def test_the_taps_are_a_tree_whose_names_are_structure():
    leaves, spec = trees.flatten(Tapped([1, 2], [Tap("h", {"a": 3}), Tap("k", 4)]))
    assert leaves == [1, 2, 3, 4]
    rebuilt = trees.unflatten(spec, [leaf * 10 for leaf in leaves])
    assert (rebuilt.result, rebuilt.taps) == ([10, 20], [Tap("h", {"a": 30}), Tap("k", 40)])
    assert trees.flatten(Tapped([1, 2], [Tap("other", {"a": 3}), Tap("k", 4)]))[1] != spec


def test_taps_of_a_function_within_a_function_are_the_outer_ones(received):
    inner = tapping.carrying(lambda: tapping.emit("inner", 1))
    outer = tapping.carrying(lambda: tapping.received(inner(), tapping.untappable))
    result = outer()
    assert received == []
    tapping.received(result, tapping.untappable)
    assert received == [("inner", 1)]


def test_a_function_with_taps_can_not_be_called_in_a_loop(received):
    traced = tapping.carrying(lambda: tapping.emit("h", 1))()
    with pytest.raises(TypeError, match=r"graphmode.tap\('h'\) is inside of a scan: a graph gives nothing of what"):
        tapping.operating("scan", lambda: tapping.received(traced, tapping.untappable))
    assert tapping.untappable() is None


def test_checks_drop_taps(received):
    with tapping.received_by(None):
        tapping.emit("h", 1)
    tapping.emit("k", 2)
    assert received == [("k", 2)]


def test_gradients_come_in_the_order_of_computation_and_series_in_that_of_the_code():
    found = tapping.as_computed([Tap("a", 1), Tap("b", 2), Tap("a", 3)])
    assert found == [Tap("grad(b)", 2), Tap("grad(a)", 1), Tap("grad(a)", 3)]


def test_a_gradient_does_not_see_into_a_function_with_a_graph_of_its_own():
    tapped = []
    with tapping.differentiating(tapped):
        assert tapping.differentiated() is tapped
        with tapping.collecting():
            assert tapping.differentiated() is None
    assert tapping.differentiated() is None
