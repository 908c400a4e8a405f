"""What `graphmode.agree` takes, keeps and refuses."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from pytest_graphmode.records.recording import Recording, record


class Native:
    """A tensor of a framework; one without a value is a symbol of a graph."""

    def __init__(self, value=None):
        self.value = value


class StandIn:
    """As much of a runtime as recording uses; its tensors are `Native`."""

    def __init__(self, static=False, inside=False):
        self.mode = self
        self.static = static
        self.inside = lambda: inside

    def numpy(self, leaf):
        if isinstance(leaf, Native):
            if leaf.value is None:
                raise NotImplementedError("a symbolic tensor has no value")
            return np.array(leaf.value)
        return leaf


@pytest.fixture
def kept():
    return Recording()


def test_a_value_becomes_its_leaves_by_path(kept):
    Pair = namedtuple("Pair", "w b")

    @dataclass
    class State:
        step: int

    record(StandIn(), kept, {"loss": Native(1.5), "tree": {"a": [Native([1, 2]), Pair(2.0, None)], "s": State(3)}})
    assert list(kept.values) == ["loss", "tree"]
    (step,) = kept.values["tree"]
    assert list(step) == ["tree['a'][0]", "tree['a'][1].w", "tree['a'][1].b", "tree['s'].step"]
    np.testing.assert_array_equal(step["tree['a'][0]"], [1, 2])


def test_a_name_recorded_again_grows_into_a_series(kept):
    for step in range(3):
        record(StandIn(), kept, {"loss": Native(step)})
    assert [entry["loss"].item() for entry in kept.values["loss"]] == [0, 1, 2]


def test_arrays_are_copied_at_once(kept):
    weights = np.zeros(2)
    record(StandIn(), kept, {"w": weights})
    weights += 1
    np.testing.assert_array_equal(kept.values["w"][0]["w"], [0, 0])


@pytest.mark.parametrize("value", [True, 3, 2.5, 1j, "text", b"bytes", None])
def test_python_values_stay_what_they_are(kept, value):
    record(StandIn(), kept, {"value": value})
    assert kept.values["value"] == [{"value": value}]
    assert type(kept.values["value"][0]["value"]) is type(value)


@pytest.mark.parametrize("value", [object(), iter([1.0]), np.array([Native(1.0)])])
def test_what_can_not_be_compared_is_refused_by_its_path(kept, value):
    with pytest.raises(TypeError, match=rf"x\['a'\]\[0\] is a {type(value).__name__}$"):
        record(StandIn(), kept, {"x": {"a": [value]}})


def test_nothing_of_a_refused_call_is_kept(kept):
    with pytest.raises(TypeError):
        record(StandIn(), kept, {"fine": 1.0, "wrong": object()})
    assert not kept


def test_no_values_is_a_wrong_call(kept):
    with pytest.raises(TypeError, match=r"needs the values to compare, each by a name: graphmode\.agree\(loss=loss\)"):
        record(StandIn(), kept, {})


def test_without_an_item_the_marker_is_named():
    with pytest.raises(AssertionError, match=r"mark it \(or its class or module\) with @pytest\.mark\.graph_agree"):
        record(StandIn(), None, {"loss": 1.0})


def test_a_symbolic_tensor_is_explained(kept):
    with pytest.raises(RuntimeError) as raised:
        record(StandIn(), kept, {"x": [Native()]})
    assert str(raised.value) == (
        "graphmode.agree can't read the value of x[0], a Native (a symbolic tensor has no value): "
        "inside a traced function tensors are symbols of the graph that have no values yet. "
        "Return it from the function and record what a call of the function gives"
    )
    assert isinstance(raised.value.__cause__, NotImplementedError)


def test_inside_a_graph_even_a_constant_is_refused():
    with pytest.raises(RuntimeError, match="can't read the value of step: inside a traced function"):
        record(StandIn(static=True, inside=True), Recording(), {"step": 3})
    for runtime in (StandIn(static=True), StandIn(inside=True)):
        kept = Recording()
        record(runtime, kept, {"step": 3})
        assert kept.values == {"step": [{"step": 3}]}
