"""Cases that fool TensorFlow's own counter, or any counter of one's own: the ledger is shown to be right in each.

`naive` is what `experimental_get_tracing_count` says, which each test first shows to be wrong where it is.
"""

import random
import threading

import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of

tf = pytest.importorskip("tensorflow")


def ones(*shape, dtype=tf.float32):
    return tf.ones(shape, dtype)


def naive(function):
    return function.experimental_get_tracing_count()


def test_a_trace_that_raises_leaves_the_users_traceback_alone():
    def fail(x):
        raise ValueError("no")

    with watch(), pytest.raises(ValueError, match="no") as caught:
        tf.function(fail, autograph=False)(ones(3))
    shown = [str(entry.path) for entry in caught.traceback if not entry.frame.f_locals.get("__tracebackhide__")]
    assert not any("pytest_graphmode" in path for path in shown)


def test_relaxed_shapes_are_told_by_the_actual_ones():
    compute = tf.function(lambda x: x + 1.0, reduce_retracing=True)
    ledger = ledger_of(compute, *map(ones, (1, 2, 3, 4)))
    assert naive(compute) == 2
    assert [event.signature for event in ledger.events] == ["x: float32[1]", "x: float32[2]"]
    assert str(ledger.events[1].cause).startswith(
        "x changed shape [1] -> [2]: reduce_retracing is on and relaxes this dimension from here on"
    )
    assert ledger.calls == 4


def test_builds_in_threads_are_counted():
    compute = tf.function(lambda x: x + 1.0)

    def work(size):
        compute(ones(size))
        tf.function(lambda x: x * 2.0)(ones(size))

    with watch() as ledger:
        threads = [threading.Thread(target=work, args=(size,)) for size in range(1, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert naive(compute) == 5
    assert (ledger.builds, ledger.rebuilds, ledger.calls) == (10, 8, 10)
    assert all(event.call_site.startswith("tests/backends/test_traps_tensorflow.py:") for event in ledger.events)


def test_functions_in_functions_are_counted():
    inner = tf.function(lambda x, n: x * n)

    @tf.function
    def outer(x, n):
        return inner(x, n) + inner(x, n + 1)

    ledger = ledger_of(outer, (ones(3), 1), (ones(3), 2))
    assert (naive(outer), naive(inner)) == (2, 3)
    assert [(event.function, event.number) for event in ledger.events] == [
        ("<lambda>", 1),
        ("<lambda>", 2),
        ("outer", 1),
        ("<lambda>", 3),
        ("outer", 2),
    ]
    assert (ledger.builds, ledger.rebuilds, ledger.calls) == (5, 3, 2)


def test_concrete_functions_are_builds():
    compute = tf.function(lambda x: x + 1.0)
    with watch() as ledger:
        concrete = compute.get_concrete_function(tf.TensorSpec([None]))
        compute.get_concrete_function(tf.TensorSpec([None]))
        concrete(ones(3))
        compute(ones(3))
    assert (ledger.builds, ledger.rebuilds, ledger.calls) == (1, 0, 2)


def test_modules_of_different_classes_are_different_functions():
    def step(self, x):
        return x

    first, second = (type(name, (tf.Module,), {"step": tf.function(step)}) for name in ("First", "Second"))
    with watch() as ledger:
        first().step(ones(3)), second().step(ones(3))
    assert (ledger.builds, ledger.rebuilds) == (2, 0)
    with watch() as ledger:
        kept = first()
        kept.step(ones(3)), first().step(ones(3))
    assert (ledger.builds, ledger.rebuilds) == (2, 1)


# Generated calls: the ledger agrees with TensorFlow's counter wherever that is not fooled.


def arguments(dice):
    def tensor():
        shape = tuple(dice.choice((1, 2, 3)) for _ in range(dice.choice((0, 1, 1, 2))))
        return tf.ones(shape, dice.choice((tf.float32, tf.float64)))

    value = dice.choice((tensor, lambda: dice.choice((1, 2, 0.5)), lambda: {"a": tensor(), "b": tensor()}))
    return tensor(), value(), dice.choice((True, False, None))


@pytest.mark.parametrize("relaxed", [False, True])
def test_generated_calls_agree_with_the_counter_of_tensorflow(relaxed):
    for seed in range(8):
        dice = random.Random(seed)

        @tf.function(reduce_retracing=relaxed, autograph=False)
        def compute(x, value, flag=True):
            return x

        sequence = [arguments(dice) for _ in range(8)]
        sequence += [dice.choice(sequence) for _ in range(8)]
        with watch() as ledger:
            for x, value, flag in sequence:
                compute(x, value, flag=flag) if flag is not None else compute(x, value)
        assert ledger.builds == naive(compute)
        assert ledger.rebuilds == naive(compute) - 1
        assert ledger.calls == len(sequence)
        assert all(event.causes for event in ledger.events[1:])
        assert not any(cause.kind == "cache-reset" for event in ledger.events for cause in event.causes)
