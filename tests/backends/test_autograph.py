"""AutoGraph converts what users write, everywhere they hand it to the plugin, in silence, and never the plugin."""

import functools
import logging
import traceback

import numpy as np
import pytest

from pytest_graphmode.backends.numpy import NumPy

tf = pytest.importorskip("tensorflow")
config = pytest.importorskip("tensorflow.python.autograph.core.config")
autograph = pytest.importorskip("pytest_graphmode.backends.tensorflow.autograph")

SYMBOLIC = "Using a symbolic `tf.Tensor` as a Python `bool` is not allowed"

pytestmark = pytest.mark.graphmode(backends="tf:graph")


@pytest.fixture(autouse=True)
def silence():
    """Fails a test in which TensorFlow logged anything."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    yield said
    tf.get_logger().removeHandler(handler)
    assert not said


def collatz(n):
    """Python's while, if, break and early return, all on tensors."""
    if n < 1:
        return n - 1
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
            steps += 1
            continue
        n = 3 * n + 1
        steps += 1
        if steps > 100:
            break
    return steps


def halved_while_even(n):
    while n % 2 == 0:
        n = n // 2
        if n == 6:
            break
    return n


@pytest.mark.graphmode(backends="tf:graph+session")
def test_a_body_of_python_control_flow(graphmode):
    function = graphmode.function(collatz)
    assert [int(graphmode.numpy(function(np.int32(n)))) for n in (1, 6, 27, -3)] == [0, 8, 101, -4]
    assert graphmode.ledger.builds == 1
    assert graphmode.ledger.events[0].control_flow["while"] == 1


CALLBACKS = {
    "while_loop": lambda g, n: g.while_loop(lambda n: n < 90, _twice_odd_up, (n,))[0],
    "while_loop's cond": lambda g, n: g.while_loop(_far_from_7, lambda n: n - 1, (n,))[0],
    "fori_loop": lambda g, n: g.fori_loop(0, 3, lambda i, n: _odd_up(n) + i, n),
    "scan": lambda g, n: g.scan(lambda c, x: (_odd_up(c) + x, c), n, np.arange(3, dtype=np.int32))[0],
    "cond": lambda g, n: g.cond(n > 0, _odd_up, _twice_odd_up, n),
    "switch": lambda g, n: g.switch(n - 12, [_odd_up, halved_while_even], n),
}


def _odd_up(n):
    if n % 2 == 1:
        n = n + 1
    else:
        while n < 60:
            n = n + 2
            if n == 50:
                break
    return n


def _twice_odd_up(n):
    if n > 1000:
        return n
    return 2 * _odd_up(n)


def _far_from_7(n):
    if n < 7:
        return False
    return n != 7


@pytest.mark.slow
@pytest.mark.parametrize("operator", CALLBACKS)
@pytest.mark.parametrize("place", ["in a function", "at top level"])
def test_callbacks(graphmode, operator, place):
    run = functools.partial(CALLBACKS[operator], graphmode)
    function = graphmode.function(run) if place == "in a function" else run
    with graphmode.runtime.running_as(NumPy(), NumPy().mode("eager", "cpu")):
        expected = graphmode.numpy([run(np.int32(n)) for n in (12, 13)])
    assert graphmode.numpy([function(graphmode.tensor(n)) for n in (12, 13)]) == expected


class Halving:
    def __init__(self, stop):
        self.stop = stop

    def __call__(self, n):
        while n > self.stop:
            n = n // 2
        return n

    def method(self, n):
        return self(n)


def _halve(stop, n):
    while n > stop:
        n = n // 2
    return n


@pytest.mark.parametrize("callback", [Halving(10), Halving(10).method, functools.partial(_halve, 10)])
def test_callables_that_are_no_plain_functions(graphmode, callback):
    function = graphmode.function(lambda n: graphmode.cond(n > 0, callback, lambda n: n, n))
    assert graphmode.numpy(function(np.int32(100))) == 6
    assert graphmode.numpy(graphmode.function(callback)(np.int32(100))) == 6


def test_differentiated_functions(graphmode):
    def loss(x, n):
        while n > 0:
            if x > 8.0:
                break
            x = x * 3.0
            n = n - 1
        return x

    n = graphmode.tensor(4)
    assert graphmode.numpy(graphmode.grad(loss)(np.float32(1), n)) == 9.0
    assert graphmode.numpy(graphmode.function(lambda x: graphmode.grad(loss)(x, n))(np.float32(0.1))) == 81.0


def test_lambdas_without_control_flow_share_a_line(graphmode):
    function = graphmode.function(lambda x: graphmode.cond(x > 0, lambda x: x + 1, lambda x: x - 1, x))
    assert graphmode.numpy(function(np.float32(1))) == 2
    double, triple = graphmode.function(lambda x: x * 2), graphmode.function(lambda x: x * 3)
    assert graphmode.numpy([double(np.float32(1)), triple(np.float32(1))]) == [2, 3]
    result = graphmode.while_loop(lambda a, b: a < b, lambda a, b: (a + 2, b + 1), (0, 10))
    assert graphmode.numpy(result) == (20, 20)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((lambda x: x + 1 if x > 0 else x), (lambda x: x - 1 if x > 0 else x)),
        ((lambda x: _odd_up(x)), (lambda x: _odd_up(x) + 1)),
    ],
    ids=["in the lambdas", "in what they call"],
)
def test_lambdas_that_share_a_line_and_have_control_flow_are_reported(graphmode, silence, left, right):
    with pytest.raises(TypeError, match=SYMBOLIC):
        graphmode.function(lambda x: graphmode.cond(x > 0, left, right, x))(np.int32(1))
    assert "could not transform" in silence[0]
    silence.clear()


def test_autograph_stays_off_where_the_user_has_it_off(graphmode):
    off = graphmode.function(lambda n: graphmode.cond(n > 0, _odd_up, lambda n: n, n), autograph=False)
    with pytest.raises(TypeError, match=SYMBOLIC):
        off(np.int32(1))


def test_the_plugin_itself_is_not_converted(graphmode):
    stacks = []

    @tf.autograph.experimental.do_not_convert
    def look():
        stacks.append(traceback.extract_stack())

    def body(x):
        look()
        return x + 1

    def loop(x):
        if x > 1:
            x = x - 1
        return graphmode.while_loop(lambda x: x < 3, body, (x,))[0]

    for function in (graphmode.function(loop), loop):
        assert graphmode.numpy(function(graphmode.tensor(np.float32(1)))) == 3
    converted = [{frame.name for frame in stack if frame.name.startswith("tf__")} for stack in stacks]
    assert converted == [{"tf__loop", "tf__body"}, {"tf__body"}]
    assert all(any(frame.filename.endswith("operators.py") for frame in stack) for stack in stacks)


def test_installing_twice_adds_no_second_rule():
    autograph.install()
    rules, filters = config.CONVERSION_RULES, list(tf.get_logger().filters)
    autograph.install()
    assert rules == config.CONVERSION_RULES
    assert list(tf.get_logger().filters) == filters
    assert [str(rule) for rule in rules[:2]] == [
        f"DoNotConvert rule for {package}" for package in ("pytest_graphmode", "optree")
    ]


def test_a_tensorflow_without_conversion_rules_is_a_clear_error(monkeypatch):
    """What the plugin needs of TensorFlow's private API; see `install` if this fails."""
    monkeypatch.delattr(config, "CONVERSION_RULES")
    with pytest.raises(RuntimeError, match=r"has no CONVERSION_RULES of tensorflow.*install another TensorFlow"):
        autograph.install()


def test_many_functions_and_operators_are_no_retracing(graphmode):
    for step in range(8):
        assert graphmode.numpy(graphmode.fori_loop(0, 2, lambda i, x, step=step: x + step, 0)) == 2 * step
        assert graphmode.numpy(graphmode.grad(lambda x, step=step: x * step)(np.float32(1))) == step
    for fn in (lambda x: x, lambda x: x + 1, lambda x: x + 2, lambda x: x + 3, lambda x: x + 4, lambda x: x + 5):
        graphmode.function(fn)(np.float32(1))
