"""Keras layers that run eagerly under a tape, in code that nobody wrapped."""

import gc
import weakref

import pytest

from pytest_graphmode import watch

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")


@pytest.fixture
def model():
    model = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    model.build((None, 3))
    return model


class Net(keras.Model):
    """The hidden layer is applied `depth` times."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(3)

    def call(self, x, depth=1):
        for _ in range(depth):
            x = self.hidden(x)
        return x


def test_a_training_step_in_plain_code_is_a_build(model):
    x = tf.ones([2, 3])
    with watch() as ledger:
        for _ in range(3):
            with tf.GradientTape() as tape:
                value = tf.reduce_sum(model(x))
            tape.gradient(value, model.trainable_variables)
    assert ledger.backends == (("tf", "eager"),)
    assert (ledger.calls, ledger.builds, ledger.rebuilds) == (3, 3, 2)
    (event,) = ledger.events
    assert event.function == "Sequential.call"
    assert event.nodes >= 7  # two products, two sums, a relu, and the reads of variables
    assert event.call_site.startswith("tests/backends/test_tensorflow_layers.py:")


def test_inference_is_no_build(model):
    with watch() as ledger:
        model(tf.ones([2, 3]))
        with tf.GradientTape() as tape, tape.stop_recording():
            model(tf.ones([2, 3]))
    assert ledger.builds == 0


def test_layers_in_a_graph_are_part_of_it(model):
    step = tf.function(lambda x: model(x))
    with watch() as ledger, tf.GradientTape():
        step(tf.ones([2, 3]))
    assert ledger.backends == (("tf", "graph"),)


def test_models_of_one_class_are_one_function_and_graphs_told_apart_by_structure():
    first, second = Net(), Net()
    for net in (first, second):
        net(tf.ones([1, 3]))
    with watch(structures=True) as ledger, tf.GradientTape():
        for depth in (1, 2, 1):
            first(tf.ones([1, 3]), depth=depth)
        second(tf.ones([1, 3]))
    assert (ledger.builds, ledger.rebuilds, ledger.structures) == (4, 3, 2)
    assert {event.function for event in ledger.events} == {"Net.call"}


def test_no_model_is_kept_alive():
    with watch(structures=True) as ledger:
        net = Net()
        with tf.GradientTape() as tape:
            net(tf.ones([1, 3]))
        reference = weakref.ref(net)
        assert ledger.builds == 1
        del net, tape
        gc.collect()
        assert reference() is None


def test_nothing_stays_patched():
    before = keras.layers.Layer.__call__
    with watch():
        assert keras.layers.Layer.__call__ is not before
    assert keras.layers.Layer.__call__ is before
