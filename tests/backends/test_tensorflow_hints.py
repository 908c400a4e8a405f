"""Each hint about tf.functions, done to the letter: what it is printed for is gone, or as rare as it says.

The causes are in the words of the user's code: no name that only TensorFlow or Keras knows.
"""

import contextlib
import enum
import functools

import numpy as np
import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of

tf = pytest.importorskip("tensorflow")


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = 2


class Settings:
    def __init__(self, rate):
        self.rate = rate

    def step(self, x):
        return x * self.rate


X, MODEL, PAIR = tf.ones(2), Settings(0.1), [Settings(0.1), Settings(0.2)]
VARIABLES = [tf.Variable([1.0]), tf.Variable([2.0])]


def summed(x, n):
    total = x
    for _ in range(n):
        total = total + x
    return total


def each(*values):
    """What calls a function with one of the values each time."""
    return lambda f: [f(value) for value in values]


def with_x(*values):
    return lambda f: [f(X, value) for value in values]


def fresh(make):
    """What calls a function twice, with something that nobody keeps."""
    return lambda f: [f(X, make()) for _ in range(2)]


def in_a_graph_then(f):
    f(X)
    with tf.Graph().as_default():
        f(tf.ones(2))


def scaled(x, by):
    return x * by


def sparse(size):
    return tf.sparse.from_dense(tf.ones([size, 2]))


def ragged(size):
    return tf.RaggedTensor.from_tensor(tf.ones([size, 2]))


SIZES = each(*map(tf.ones, (1, 2, 3, 4)))
SIGNED = "tf.function(input_signature=[tf.{}TensorSpec(...)]) with None for what varies, or"
RELAXED = "tf.function(reduce_retracing=True), which builds once more and then no more"
BOOL = "accept one build per value (at_most=1), or pass a tensor, tf.constant(by), where only an `if` of the function"
SAME = "with the same keys, length and types each time"


# What is called, how and with how many rebuilds; the hint; what it says done, with the rebuilds that are left.
ROWS = {
    "shape": (tf.reduce_sum, SIZES, 3, SIGNED.format(""), {"input_signature": [tf.TensorSpec([None])]}, SIZES, 0),
    "relaxed": (tf.reduce_sum, SIZES, 3, RELAXED, {"reduce_retracing": True}, SIZES, 1),
    "sparse": (
        *(lambda x: x * 2.0, each(*map(sparse, (1, 2))), 1, SIGNED.format("Sparse")),
        *({"input_signature": [tf.SparseTensorSpec([None, 2])]}, each(*map(sparse, (1, 2))), 0),
    ),
    "ragged": (
        *(lambda x: x * 2.0, each(*map(ragged, (1, 2))), 1, SIGNED.format("Ragged")),
        *({"input_signature": [tf.RaggedTensorSpec([None, None])]}, each(*map(ragged, (1, 2))), 0),
    ),
    "rank": (
        *(lambda x: x + 1.0, each(X, tf.ones([2, 2])), 1, "tf.function(input_signature=[tf.TensorSpec(None)])"),
        *({"input_signature": [tf.TensorSpec(None)]}, each(X, tf.ones([2, 2])), 0),
    ),
    "ranks of ragged tensors": (
        *(lambda x: x.flat_values, each(tf.ragged.constant([[1.0]]), tf.ragged.constant([[[1.0]]])), 1),
        *("pass ragged tensors of one rank", {}, each(*map(tf.ragged.constant, ([[1.0]], [[2.0]]))), 0),
    ),
    "dtype": (
        *(lambda x: x * 2, each(np.ones(2, "float32"), np.ones(2)), 1, "cast x to one dtype before the call, or"),
        *({}, each(X, tf.cast(np.ones(2), tf.float32)), 0),
    ),
    "number": (scaled, with_x(0.1, 0.2), 1, "pass a tensor, tf.constant(by), where it is", {}, with_x(X, X + 1), 0),
    "loop bound": (summed, with_x(2, 3), 1, "tf.constant(n)", {}, with_x(tf.constant(2), tf.constant(3)), 0),
    "bool": (
        *(lambda x, by: x * 2.0 if by else x, with_x(True, False, True, False), 1, BOOL),
        *({}, with_x(tf.constant(True), tf.constant(False)), 0),
    ),
    "text": (
        *(lambda x, how: x if how == "sum" else -x, with_x("sum", "mean"), 1, "pass an equal value each time, or"),
        *({}, with_x("sum", "".join(["su", "m"])), 0),
    ),
    "member": (
        *(lambda x, mode: x, with_x(Mode.TRAIN, Mode.EVAL, Mode.EVAL), 1, "pass the same member each time"),
        *({}, with_x(Mode.EVAL, Mode.EVAL), 0),
    ),
    "object": (
        *(lambda x, one: x * one.rate, fresh(lambda: Settings(0.1)), 1, "is gone: make it once, keep it and pass that"),
        *({}, with_x(MODEL, MODEL), 0),
    ),
    "method": (
        *(lambda x, step: step(x), lambda f: [f(X, MODEL.step) for _ in range(2)], 1, "keep one (`step = model.step`)"),
        *({}, with_x(*[MODEL.step] * 2), 0),
    ),
    "lambda": (
        *(lambda x, loss: loss(x), fresh(lambda: lambda x: x), 1, "define it once, outside the loop, and pass that"),
        *({}, with_x(*[lambda x: x] * 2), 0),
    ),
    "structure": (
        *(lambda batch: batch["x"], each({"x": X}, {"x": X, "y": X}), 1, f"pass batch {SAME}"),
        *({}, each({"x": X}, {"x": X + 1}), 0),
    ),
    "one variable twice": (
        *(lambda v, w: v * w, lambda f: [f(*VARIABLES), f(*VARIABLES[:1] * 2)], 1, "no variable as two arguments"),
        *({}, lambda f: [f(*VARIABLES), f(*reversed(VARIABLES))], 0),
    ),
    "call form": (
        *(lambda *args, **kwargs: scaled(*args, **kwargs), with_x(X, X + 1), 0, ""),
        *({}, lambda f: [f(X, by=X), f(X, by=X + 1)], 0),
    ),
    "scope": (
        *(lambda x: x + 1.0, in_a_graph_then, 1, "call the function only inside or only outside of it"),
        *({}, each(X, X + 1), 0),
    ),
}


@pytest.mark.parametrize(("fn", "use", "rebuilds", "hint", "options", "done", "left"), ROWS.values(), ids=list(ROWS))
def test_what_a_hint_says_ends_the_rebuilds(fn, use, rebuilds, hint, options, done, left):
    ledger = ledger_of(use, tf.function(fn))
    assert ledger.rebuilds == rebuilds
    assert hint in (ledger.events[-1].cause.hint if rebuilds else "")
    assert ledger_of(done, tf.function(fn, **options)).rebuilds == left


def test_shape_under_reduce_retracing_padding_ends_it():
    batches = tf.data.Dataset.range(5).map(lambda x: tf.cast(x, tf.float32))
    for padded in (False, True):
        relaxed = tf.function(lambda x: tf.reduce_sum(x), reduce_retracing=True)
        ledger = ledger_of(relaxed, *batches.batch(2, drop_remainder=padded))
        assert ledger.rebuilds == (not padded)
        assert padded or "drop_remainder=True" in ledger.events[-1].cause.hint


def test_objects_that_differ_the_attribute_is_named_and_a_tensor_ends_it():
    function, alike = tf.function(lambda x, settings: x * settings.rate), Settings(0.2)
    ledger = ledger_of(function, *((X, one) for one in (*PAIR, alike)))
    assert "settings is a Python Settings that changed Settings(rate=0.1) -> Settings(rate=0.2)" in ledger.explain()
    assert "settings is another Settings object, made anew (Settings(rate=0.2)): TensorFlow knows" in ledger.explain()
    assert "give what differs as a tensor, or accept one build per object" in ledger.events[-1].cause.hint
    assert ledger_of(tf.function(scaled), *((X, tf.constant(one.rate)) for one in PAIR)).rebuilds == 0


def test_bools_that_reach_dropout_are_two_builds_and_no_more():
    """What the hint says of Keras' Dropout: there a tensor is no way out."""
    layer = tf.keras.layers.Dropout(0.5)
    step = tf.function(lambda x, training: layer(x, training=training))
    assert ledger_of(step, *((X, training) for training in (True, False, True, False))).rebuilds == 1
    with pytest.raises((TypeError, tf.errors.OperatorNotAllowedInGraphError)):
        step(X, tf.constant(True))


# Functions and objects made anew.


class Agent:
    @tf.function
    def act(self, x):
        return x * 2.0


class Scale(tf.keras.layers.Layer):
    def __init__(self, rate):
        super().__init__()
        self._rate = rate

    def call(self, x):
        return x * self._rate


def training(optimizer):
    optimizer.build([VARIABLES[0]])

    @tf.function
    def train(x):
        optimizer.apply_gradients([(x[:1], VARIABLES[0])])

    return train


BY = "make and wrap the function once, outside the loop, and pass it by as an argument, a number as a tensor"
ANEW = {
    "function": (lambda number: tf.function(lambda x: x), "", "wrap the function once, outside the loop, and call"),
    "closure": (lambda by: tf.function(lambda x: x * by), "by, which the function closes over, changed 1 -> 2", BY),
    "partial": (lambda by: tf.function(functools.partial(scaled, by=by)), "by", BY),
    "object": (
        *(lambda number: Agent().act, "another Agent object"),
        "make one object and keep it, or allow a build for each with per_object=True",
    ),
    "layer": (
        *(lambda rate: tf.function(Scale(rate)), "another Scale object, whose _rate changed 1 -> 2"),
        "make one object and keep it, or allow a build for each with per_object=True",
    ),
    "optimizer": (
        *(lambda rate: training(tf.keras.optimizers.SGD(0.1)), "optimizer.name, which the function closes over, chang"),
        "make optimizer and the function that closes over it once, outside the loop, and keep both",
    ),
}


@pytest.mark.parametrize(("make", "what", "hint"), ANEW.values(), ids=list(ANEW))
def test_what_is_made_once_is_built_once(make, what, hint):
    ledger = ledger_of(lambda number: make(number)(X), 1, 2)
    assert ledger.rebuilds == 1
    cause = ledger.events[-1].causes[0]
    assert what in cause.what
    assert cause.hint.startswith(hint)
    assert ledger_of(make(1), X, X).rebuilds == 0


# Rarer ones.


def scopes(strategy):
    return {"graph": lambda: tf.Graph().as_default(), "strategy": strategy.scope}


@pytest.mark.parametrize(
    ("scope", "what"),
    [
        ("graph", "the graph around the call changed none -> tf.Graph "),
        ("strategy", "the cross-replica context of tf.distribute changed False -> True"),
    ],
)
def test_calls_only_inside_or_only_outside_of_a_scope_end_it(scope, what):
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")

    def called(*inside):
        function = tf.function(lambda x: x * 2.0)
        with watch() as ledger, contextlib.ExitStack() as stack:
            if all(inside):
                stack.enter_context(scopes(strategy)[scope]())
            for one in inside:
                with scopes(strategy)[scope]() if one and not all(inside) else contextlib.nullcontext():
                    function(tf.ones(2))
        return ledger

    ledger = called(False, True)
    (cause,) = ledger.events[-1].causes
    assert ledger.rebuilds == 1
    assert cause.what.startswith(what)
    assert "object at 0x" not in ledger.explain()
    assert cause.hint == (
        "enter the scope before the first call, and call the function only inside or only outside of it"
    )
    assert called(True, True).rebuilds == 0
    assert called(False, False).rebuilds == 0


DEVICES = """
import pytest, tensorflow as tf
from pytest_graphmode import watch

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def replicated(*devices):
    double = tf.function(lambda x: x * 2.0)
    strategy = tf.distribute.MirroredStrategy(devices)
    with watch() as ledger:
        for _ in range(2):
            strategy.run(lambda: double(tf.ones(2)))
    return ledger

def test_calls_on_one_device_end_it():
    ledger = replicated("/CPU:0", "/CPU:1")
    assert ledger.rebuilds == 1
    (cause,) = ledger.events[-1].causes
    assert (cause.kind, {cause.before, cause.after}) == ("device", {"CPU:0", "CPU:1"})
    assert cause.what.startswith("the call changed device CPU:")
    assert cause.hint == "call the function on one device, or accept one build per device"
    assert replicated("/CPU:1").rebuilds == 0
"""


@pytest.mark.slow
def test_what_needs_two_devices(run_tests):
    run_tests(DEVICES, fresh=True, passed=1)
