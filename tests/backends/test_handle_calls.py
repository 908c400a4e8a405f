"""Wrong calls of the handle's own methods, in the same words in every mode, and the right ones beside them."""

import dataclasses
import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.backends.variants import variants

MODES = ("tf:graph", "tf:eager", "tf:session", "torch:eager", "torch:compile", "jax:jit", "jax:eager", "numpy:eager")
every_mode = variants(*MODES)
with_variables = variants(*(mode for mode in MODES if mode != "numpy:eager"))


class Frame:
    """What NumPy takes for an array, and what drops its names then."""

    columns = ("a", "b")
    shape = (2, 2)

    def __array__(self, dtype=None, copy=None):
        return np.ones((2, 2))

    def to_numpy(self):
        return np.ones((2, 2))

    def __repr__(self):
        return "   a  b\n0  1  1\n1  1  1"


@every_mode
def test_a_data_frame_is_no_tensor(graphmode):
    message = (
        "a tensor is made from numbers, NumPy arrays or trees of them, not from Frame: its numbers are value.to_numpy()"
    )
    for make in (graphmode.tensor, graphmode.variable):
        with pytest.raises(TypeError, match=re.escape(message)):
            make({"x": Frame()})
    assert graphmode.numpy(graphmode.tensor(Frame().to_numpy())).shape == (2, 2)


@every_mode
def test_ranges_and_buffers_of_numbers_are_tensors(graphmode):
    for value in (range(3), memoryview(np.arange(3.0))):
        np.testing.assert_array_equal(graphmode.numpy(graphmode.tensor(value)), [0, 1, 2])


@with_variables
@pytest.mark.parametrize("kind", ["tensor", "computed", "number", "list"])
def test_only_variables_can_be_assigned(graphmode, kind):
    target, what = {
        "tensor": lambda: (graphmode.tensor(np.ones(2)), "float32[2]"),
        "computed": lambda: (graphmode.variable(np.ones(2)) + 1.0, "float32[2]"),
        "number": lambda: (1.0, "the Python float 1.0"),
        "list": lambda: ([graphmode.variable(1.0)], "the Python list ["),
    }[kind]()
    if graphmode.mode == "session" and kind == "computed":
        what = ""
    with pytest.raises(TypeError, match=re.escape(f"graphmode.assign sets variables, and it got {what}")):
        graphmode.assign(target, 2.0)


@variants("torch:eager")
def test_leaves_that_torch_s_autograd_tracks_are_variables(graphmode):
    leaf = graphmode.lib.zeros(2, requires_grad=True)
    graphmode.assign(leaf, np.ones(2))
    assert leaf.tolist() == [1, 1]


@with_variables
def test_a_variable_twice_in_one_argument_or_named_twice_has_two_gradients(graphmode):
    w = graphmode.variable([3.0])
    found = graphmode.grad(lambda p: graphmode.xp.sum(p["a"] * p["a"] * p["b"]))({"a": w, "b": w})
    assert graphmode.numpy(found) == {"a": 18.0, "b": 9.0}
    assert graphmode.numpy(graphmode.grad(lambda: graphmode.xp.sum(w * w), variables=[w, w])()) == [6.0, 6.0]


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass
class Point:
    x: Any
    scale: float = 2.0


@dataclasses.dataclass
class Line:
    start: Point
    width: int


@every_mode
def test_dataclasses_and_namedtuples_go_in_and_come_out_and_their_classes_are_left_alone(graphmode):
    before = set(vars(Point)), set(vars(Line))

    @graphmode.function
    def moved(line, by, *, twice):
        assert type(line) is Line
        assert type(line.start) is Point
        x = line.start.x * line.start.scale + by[0].first
        return {"line": Line(Point(x, line.start.scale), line.width), "twice": Pair(twice, by[0].second)}

    line = Line(Point(graphmode.tensor([1.0, 2.0])), 3)
    for _ in range(2):
        found = moved(line, [Pair(graphmode.tensor(1.0), np.ones(2))], twice=Point(graphmode.tensor(0.0)))
    assert (type(found["line"]), type(found["twice"]), type(found["twice"].first)) == (Line, Pair, Point)
    assert int(found["line"].width) == 3
    assert graphmode.numpy([found["line"].start.x, found["twice"].second])[0].tolist() == [3.0, 5.0]
    assert (set(vars(Point)), set(vars(Line))) == before
    assert graphmode.ledger.graph_builds == (0 if graphmode.mode == "eager" else 1)


@every_mode
def test_what_is_no_function(graphmode):
    for name in ("function", "grad", "value_and_grad", "check_grads", "check_not_frozen"):
        message = f"graphmode.{name} takes a function or another callable, not the float 3.0"
        with pytest.raises(TypeError, match=re.escape(message)):
            getattr(graphmode, name)(3.0)
    with pytest.raises(TypeError, match=r"graphmode.check_control_flow takes a function .* not the float 3.0"):
        graphmode.check_control_flow(3.0, [(1.0,)])


@every_mode
def test_pick_names_the_legal_keys(graphmode):
    message = "graphmode.pick has no backend or mode tensorflow, pytorch: the names are tf, tf_graph,"
    with pytest.raises(TypeError, match=re.escape(message)):
        graphmode.pick(tensorflow=1, pytorch=2)
    assert graphmode.pick(tf=1, torch=1, jax=1, numpy=1) == 1


@variants("torch:eager", "torch:compile", "tf:graph", "tf:session", "jax:jit", "numpy:eager")
def test_options_of_one_mode(graphmode):
    double = graphmode.function(lambda x: x * 2, torch_compile={"dynamic": True}, tf_graph={"reduce_retracing": True})
    for size in (2, 3, 4):
        assert graphmode.numpy(double(np.ones(size))).tolist() == [2.0] * size
    assert graphmode.ledger.rebuilds == {"compile": 0, "graph": 1}.get(graphmode.mode, graphmode.ledger.rebuilds)


@every_mode
def test_an_option_that_the_mode_does_not_have(graphmode):
    with pytest.raises(TypeError, match=r"(?s)in .*-cpu: .*goes under its name.*torch_compile=dict\(dynamic=True\)"):
        graphmode.function(lambda x: x, no_such_option=True)
    with pytest.raises(TypeError, match=r"graphmode.function: jax takes the options of that backend or mode as a dict"):
        graphmode.function(lambda x: x, jax=True)


@variants("tf:graph", "tf:xla", "tf:session", "jax:jit")
def test_the_numbers_of_a_tensor_that_is_traced_are_refused(graphmode):
    def traced(x):
        graphmode.numpy(x * 2)
        return x

    message = f"graphmode.numpy: in {graphmode.backend}:{graphmode.mode} a tensor has no numbers while the function"
    with pytest.raises(TypeError, match=re.escape(message)):
        graphmode.function(traced)(graphmode.tensor([1.0]))
    np.testing.assert_array_equal(graphmode.numpy(graphmode.function(lambda x: x)(graphmode.tensor([1.0]))), [1.0])
