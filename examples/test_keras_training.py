"""Catching a retrace in a Keras training loop; the test never heard of the plugin's handle."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")


def train(batches):
    model = tf.keras.Sequential([tf.keras.layers.Dense(4, activation="relu"), tf.keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    for x, y in batches:
        model.train_on_batch(x, y)


def batches_of(size, samples=100):
    x, y = np.ones((samples, 3), "float32"), np.ones((samples, 1), "float32")
    return [(x[start : start + size], y[start : start + size]) for start in range(0, samples, size)]


@pytest.mark.graph_rebuilds(0)
def test_equal_batches_are_traced_once():
    train(batches_of(25))


def test_a_smaller_last_batch_is_a_retrace(graph_ledger):
    train(batches_of(32))
    assert graph_ledger.rebuilds == 1
    causes = {(cause.kind, cause.before, cause.after) for cause in graph_ledger.events[-1].causes}
    assert ("shape", "[32, 3]", "[None, 3]") in causes or ("shape", "[32, 3]", "[4, 3]") in causes
