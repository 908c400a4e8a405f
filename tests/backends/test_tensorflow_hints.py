"""Each hint about tf.functions, done to the letter: what it is printed for is gone, or as rare as it says."""

import functools

import numpy as np
import pytest

from pytest_graphmode import watch

tf = pytest.importorskip("tensorflow")


def hint(ledger):
    """The hint of the last build's first cause."""
    return ledger.events[-1].cause.hint


def scaled(x, by):
    return x * by


def rebuilds(function, *calls):
    """How many rebuilds the calls take; each is a tuple of arguments."""
    with watch() as ledger:
        for arguments in calls:
            function(*arguments)
    return ledger


SIZES = [(tf.ones(size),) for size in (1, 2, 3, 4)]


def test_shape_an_input_signature_ends_it():
    ledger = rebuilds(tf.function(tf.reduce_sum), *SIZES)
    assert ledger.rebuilds == 3
    first, second = hint(ledger).split(", or ")
    assert first.startswith("tf.function(input_signature=[tf.TensorSpec(...)]) with None for what varies")
    assert second.startswith("tf.function(reduce_retracing=True), which builds once more and then no more")
    signed = tf.function(lambda x: tf.reduce_sum(x), input_signature=[tf.TensorSpec([None])])
    assert rebuilds(signed, *SIZES).rebuilds == 0
    assert rebuilds(tf.function(lambda x: tf.reduce_sum(x), reduce_retracing=True), *SIZES).rebuilds == 1


def test_shape_under_reduce_retracing_padding_ends_it():
    batches = tf.data.Dataset.range(5).map(lambda x: tf.cast(x, tf.float32))
    relaxed = tf.function(lambda x: tf.reduce_sum(x), reduce_retracing=True)
    ledger = rebuilds(relaxed, *((batch,) for batch in batches.batch(2)))
    assert (ledger.rebuilds, "drop_remainder=True" in hint(ledger)) == (1, True)
    relaxed = tf.function(lambda x: tf.reduce_sum(x), reduce_retracing=True)
    assert rebuilds(relaxed, *((batch,) for batch in batches.batch(2, drop_remainder=True))).rebuilds == 0


def test_rank_a_signature_of_unknown_rank_ends_it():
    calls = [(tf.ones([2]),), (tf.ones([2, 2]),)]
    ledger = rebuilds(tf.function(lambda x: x + 1.0), *calls)
    assert (ledger.rebuilds, hint(ledger).startswith("tf.function(input_signature=[tf.TensorSpec(None)])")) == (1, True)
    assert rebuilds(tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec(None)]), *calls).rebuilds == 0


def test_dtype_a_cast_before_the_call_ends_it():
    values = [np.ones(2, "float32"), np.ones(2)]
    ledger = rebuilds(tf.function(lambda x: x * 2), *((value,) for value in values))
    assert (ledger.rebuilds, hint(ledger)) == (
        1,
        "cast x to one dtype before the call, or accept one build per dtype",
    )
    assert rebuilds(tf.function(lambda x: x * 2), *((tf.cast(value, tf.float32),) for value in values)).rebuilds == 0


def test_python_numbers_a_tensor_ends_it():
    ledger = rebuilds(tf.function(scaled), (tf.ones(2), 0.1), (tf.ones(2), 0.2))
    assert (ledger.rebuilds, hint(ledger).startswith("pass a tensor, tf.constant(by), where it is comput")) == (1, True)
    calls = [(tf.ones(2), tf.constant(by)) for by in (0.1, 0.2)]
    assert rebuilds(tf.function(lambda x, by: x * by), *calls).rebuilds == 0


def test_loop_bounds_a_tensor_ends_it():
    @tf.function
    def summed(x, n):
        total = x
        for _ in range(n):
            total = total + x
        return total

    assert rebuilds(summed, (tf.ones(2), 2), (tf.ones(2), 3)).rebuilds == 1
    ledger = rebuilds(summed, (tf.ones(2), tf.constant(2)), (tf.ones(2), tf.constant(3)))
    assert ledger.events[-1].control_flow == {"while": 1}
    assert ledger.builds == 1


def test_bools_one_build_per_value_or_a_tensor_where_an_if_looks_at_it():
    @tf.function
    def step(x, training):
        if training:
            x = x * 2.0
        return x

    ledger = rebuilds(step, *((tf.ones(2), flag) for flag in (True, False, True, False)))
    assert (ledger.rebuilds, hint(ledger).startswith("accept one build per value (at_most=1), or pass a ")) == (1, True)
    kept = tf.function(step.python_function)
    ledger = rebuilds(kept, *((tf.ones(2), tf.constant(flag)) for flag in (True, False, True)))
    assert ledger.builds == 1


def test_bools_that_reach_dropout_are_two_builds_and_no_more():
    """What the hint says of Keras' Dropout: there a tensor is no way out."""
    layer = tf.keras.layers.Dropout(0.5)
    step = tf.function(lambda x, training: layer(x, training=training))
    assert rebuilds(step, *((tf.ones(2), flag) for flag in (True, False, True, False))).rebuilds == 1
    with pytest.raises((TypeError, tf.errors.OperatorNotAllowedInGraphError)):
        step(tf.ones(2), tf.constant(True))


def test_text_an_equal_value_ends_it():
    pooled = tf.function(lambda x, how: tf.reduce_sum(x) if how == "sum" else tf.reduce_mean(x))
    ledger = rebuilds(pooled, (tf.ones(2), "sum"), (tf.ones(2), "mean"))
    assert (ledger.rebuilds, hint(ledger)) == (1, "pass an equal value each time, or accept one build per value")
    assert rebuilds(pooled, *[(tf.ones(2), "".join(["su", "m"]))] * 3).builds == 0


class Settings:
    def __init__(self, rate):
        self.rate = rate

    def step(self, x):
        return x * self.rate


def test_objects_one_that_is_kept_ends_it():
    def used():
        return tf.function(lambda x, settings: x * settings.rate)

    function = used()
    with watch() as ledger:
        for _ in range(2):
            function(tf.ones(2), Settings(0.1))
    assert (ledger.rebuilds, "is gone: make it once, keep it and pass that each time" in hint(ledger)) == (1, True)
    kept = Settings(0.1)
    assert rebuilds(used(), *[(tf.ones(2), kept)] * 3).rebuilds == 0


def test_objects_that_differ_the_attribute_is_named_and_a_tensor_ends_it():
    function, pair = tf.function(lambda x, settings: x * settings.rate), [Settings(0.1), Settings(0.2)]
    ledger = rebuilds(function, *((tf.ones(2), one) for one in pair))
    assert "settings is a Python Settings that changed Settings(rate=0.1) -> Settings(rate=0.2)" in ledger.explain()
    assert "give what differs as a tensor" in hint(ledger)
    given = tf.function(lambda x, rate: x * rate)
    assert rebuilds(given, *((tf.ones(2), tf.constant(one.rate)) for one in pair)).rebuilds == 0


def test_methods_one_that_is_kept_ends_it():
    def applied():
        return tf.function(lambda step, x: step(x))

    model, function = Settings(0.1), applied()
    with watch() as ledger:
        for _ in range(2):
            function(model.step, tf.ones(2))
    assert (ledger.rebuilds, "keep one (`step = model.step`)" in hint(ledger)) == (1, True)
    step = model.step
    assert rebuilds(applied(), *[(step, tf.ones(2))] * 3).rebuilds == 0


def test_lambdas_one_that_is_defined_once_ends_it():
    function = tf.function(lambda loss, x: loss(x))
    with watch() as ledger:
        for _ in range(2):
            function(lambda x: x * 2.0, tf.ones(2))
    assert (ledger.rebuilds, "define it once, outside the loop, and pass that each time" in hint(ledger)) == (1, True)
    loss = lambda x: x * 2.0  # noqa: E731
    assert rebuilds(tf.function(lambda loss, x: loss(x)), *[(loss, tf.ones(2))] * 3).rebuilds == 0


def test_structure_the_same_keys_end_it():
    function = tf.function(lambda batch: batch["x"])
    ledger = rebuilds(function, ({"x": tf.ones(1)},), ({"x": tf.ones(1), "y": tf.ones(1)},))
    assert (ledger.rebuilds, hint(ledger)) == (1, "pass batch with the same keys, length and types each time")
    assert rebuilds(tf.function(lambda batch: batch["x"]), *[({"x": tf.ones(1)},)] * 2).rebuilds == 0


def test_a_function_wrapped_once_ends_it():
    with watch() as ledger:
        for _ in range(2):
            tf.function(scaled)(tf.ones(2), tf.constant(2.0))
    assert (ledger.rebuilds, hint(ledger)) == (1, "wrap the function once, outside the loop, and call that")
    assert rebuilds(tf.function(scaled), *[(tf.ones(2), tf.constant(2.0))] * 3).rebuilds == 0


@pytest.mark.parametrize("make", [lambda by: lambda x: x * by, lambda by: functools.partial(scaled, by=by)])
def test_closures_an_argument_ends_it(make):
    with watch() as ledger:
        for by in (1.0, 2.0):
            tf.function(make(by))(tf.ones(2))
    assert ledger.rebuilds == 1
    assert [cause.kind for cause in ledger.events[-1].causes] == ["closure"]
    assert hint(ledger) == (
        "make and wrap the function once, outside the loop, and pass it by as an argument, a number as a tensor"
    )
    assert rebuilds(tf.function(scaled), *((tf.ones(2), tf.constant(by)) for by in (1.0, 2.0))).rebuilds == 0


class Agent:
    @tf.function
    def act(self, x):
        return x * 2.0


def test_another_object_one_that_is_kept_ends_it():
    with watch() as ledger:
        for _ in range(2):
            Agent().act(tf.ones(2))
    assert ledger.rebuilds == 1
    assert hint(ledger) == "make one object and keep it, or allow a build for each with per_object=True"
    kept = Agent()
    assert rebuilds(kept.act, *[(tf.ones(2),)] * 3).rebuilds == 0


def test_the_call_form_kept_ends_it():
    def passing(*args, **kwargs):
        return scaled(*args, **kwargs)

    function = tf.function(passing)
    with watch() as ledger:
        function(tf.ones(2), by=tf.constant(1.0))
        function(tf.ones(2), by=tf.constant(1.0))
    assert ledger.rebuilds == 0


def test_a_scope_entered_each_time_ends_it():
    function = tf.function(lambda x: x + 1.0)
    with watch() as ledger:
        function(tf.ones(2))
        with tf.Graph().as_default():
            function(tf.ones(2))
    assert (ledger.rebuilds, "call the function only inside or only outside of it" in hint(ledger)) == (1, True)
    assert rebuilds(tf.function(lambda x: x + 1.0), *[(tf.ones(2),)] * 2).rebuilds == 0
