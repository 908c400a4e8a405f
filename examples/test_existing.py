"""A marker on a test that was there before: nothing else in it changes."""

import pytest


def sigmoid_step(tf):
    """Stands for code of yours that builds graphs somewhere deep inside."""

    @tf.function
    def step(x, training):
        return tf.nn.dropout(tf.sigmoid(x), 0.5) if training else tf.sigmoid(x)

    return step


@pytest.mark.graph_budget(builds=2, seconds=30)
@pytest.mark.graph_rebuilds(at_most=1)
def test_existing():
    tf = pytest.importorskip("tensorflow")
    step = sigmoid_step(tf)
    for training in (True, True, False, False):
        assert step(tf.ones([4, 2]), training).shape == (4, 2)
