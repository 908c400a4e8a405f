"""What goes into TensorFlow's functions and comes out: Keras' variables, dataclasses, errors of the user's code."""

import dataclasses
import traceback

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

EVERY_MODE = pytest.mark.graphmode(backends="tf:graph+session+eager+xla")
NOT_SESSION = pytest.mark.graphmode(backends="tf:graph+eager+xla")


# Variables of Keras.


@pytest.fixture
def layer():
    keras = pytest.importorskip("keras")
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    return layer


@NOT_SESSION
def test_keras_variables_have_values_and_are_arguments(graphmode, layer):
    graphmode.assign(layer.kernel, np.full((3, 2), 2.0, "float32"))
    kernel, tree = graphmode.numpy(layer.kernel), graphmode.numpy({"w": layer.trainable_variables})
    assert (type(kernel), kernel.dtype, kernel.tolist()) == (np.ndarray, np.float32, [[2.0, 2.0]] * 3)
    assert [type(leaf) for leaf in tree["w"]] == [np.ndarray, np.ndarray]
    assert graphmode.numpy(graphmode.tensor(layer.kernel, "float64")).dtype == np.float64
    total = graphmode.function(lambda w: graphmode.xp.sum(w * 2.0))
    assert graphmode.numpy(total(layer.kernel)) == 24.0
    assert graphmode.numpy(graphmode.grad(lambda w: graphmode.xp.sum(w**2))(layer.kernel)).tolist() == [[4.0, 4.0]] * 3


@NOT_SESSION
def test_keras_variables_are_assigned_in_a_graph_and_loop_variables(graphmode, layer):
    @graphmode.function
    def step(x):
        graphmode.assign(layer.bias, x)
        return layer.bias + 1.0

    assert graphmode.numpy(step(np.ones(2, "float32"))).tolist() == [2.0, 2.0]
    assert graphmode.numpy(layer.bias).tolist() == [1.0, 1.0]
    (result,) = graphmode.while_loop(lambda b: graphmode.xp.sum(b) < 10.0, lambda b: (b + 1.0,), (layer.bias,))
    assert graphmode.numpy(result).tolist() == [5.0, 5.0]


@EVERY_MODE
def test_a_variable_passed_once_stays_a_variable(graphmode):
    seen = []

    def square(a):
        seen.append(type(a))
        return graphmode.xp.sum(a * a)

    graphmode.grad(square)(graphmode.variable([3.0]))
    assert not any(issubclass(cls, tf.Tensor) for cls in seen)


# Dataclasses.


@dataclasses.dataclass
class Point:
    x: object
    scale: float = 2.0


@pytest.mark.graphmode(backends="tf:graph")
def test_a_field_that_changes_is_named(graphmode):
    scaled = graphmode.function(lambda point: point.x * point.scale)
    scaled(Point(graphmode.tensor(1.0), 2.0))
    scaled(Point(graphmode.tensor(1.0), 3.0))
    assert graphmode.ledger.events[1].signature == "point.x: float32[], point.scale: 3.0"
    assert (graphmode.ledger.rebuilds, graphmode.ledger.events[1].cause.argument) == (1, "point.scale")


@EVERY_MODE
def test_a_class_that_says_how_it_is_taken_apart_is_believed(graphmode):
    @dataclasses.dataclass
    class Own(Point):
        def __tf_flatten__(self):
            return (self.scale,), (self.x,)

        @classmethod
        def __tf_unflatten__(cls, metadata, components):
            return cls(*components, *metadata)

    result = graphmode.function(lambda point: point.x * point.scale)(Own(graphmode.tensor(2.0)))
    assert graphmode.numpy(result) == 4.0


# Errors of the user's code.


def inner(x):
    if x > 0:
        raise ValueError("the user's fault")
    return x


FAULTS = {
    "in a function": lambda g: g.function(lambda x: inner(3) + x)(1.0),
    "in a gradient": lambda g: g.grad(lambda x: g.xp.sum(inner(3) + x))(g.tensor([1.0])),
    "in a callback": lambda g: g.function(lambda x: g.while_loop(lambda x: x < 3, lambda x: inner(3), (x,)))(1.0),
    "at top level": lambda g: g.while_loop(lambda x: x < 3, lambda x: inner(3), (1.0,)),
}


def shown(caught):
    """The files of the frames that pytest shows of an exception and of what it came from."""
    files, error = [], caught.value
    while error is not None:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        files += [
            frame.f_code.co_filename
            for frame in frames
            if not (frame.f_locals.get("__tracebackhide__") or frame.f_globals.get("__tracebackhide__"))
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return files


@EVERY_MODE
@pytest.mark.parametrize("fault", FAULTS)
def test_errors_of_the_users_code_show_the_users_frames(graphmode, fault):
    with pytest.raises(ValueError, match=r"the user's fault") as caught:
        FAULTS[fault](graphmode)
    assert set(shown(caught)) == {__file__}


@pytest.mark.graphmode(backends="tf:graph")
def test_all_frames_are_shown_where_tensorflows_filter_is_off(graphmode):
    tf.debugging.disable_traceback_filtering()
    try:
        with pytest.raises(ValueError, match=r"the user's fault") as caught:
            FAULTS["in a function"](graphmode)
    finally:
        tf.debugging.enable_traceback_filtering()
    assert any("autograph" in file for file in shown(caught))
