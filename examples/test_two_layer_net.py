"""500 steps of gradient descent: a static graph is built once, eager torch records a graph in every step."""

import pytest

STEPS = 500


@pytest.mark.graphmode(backends="tf:graph+eager+session+xla,torch:eager+compile,jax:jit+eager")
@pytest.mark.graph_agree(rtol=1e-3)
@pytest.mark.graph_rebuilds(tf=0, tf_eager=STEPS - 1, torch=STEPS - 1, torch_compile=0, jax=0)
def test_two_layer_net(graphmode):
    xp, rng = graphmode.xp, graphmode.rng
    x, y = graphmode.tensor((rng.standard_normal((64, 1000)), rng.standard_normal((64, 10))))
    w1, w2 = graphmode.variable((rng.standard_normal((1000, 100)), rng.standard_normal((100, 10))))

    def loss():
        hidden = xp.maximum(xp.matmul(x, w1), 0)
        return xp.sum((xp.matmul(hidden, w2) - y) ** 2)

    @graphmode.function
    def step():
        value, (grad1, grad2) = graphmode.value_and_grad(loss, variables=(w1, w2))()
        graphmode.assign(w1, w1 - 1e-6 * grad1)
        graphmode.assign(w2, w2 - 1e-6 * grad2)
        return value

    for _ in range(STEPS):
        graphmode.agree(loss=step())


@pytest.mark.graphmode(backends="tf:session")
@pytest.mark.graph_rebuilds(0)
def test_two_layer_net_with_placeholders(graphmode):
    """The same in TensorFlow 1's own words: placeholders, a session, the updates as operations of the graph."""
    tf, rng = graphmode.lib, graphmode.rng
    x, y = tf.compat.v1.placeholder("float32", [64, 1000]), tf.compat.v1.placeholder("float32", [64, 10])
    w1, w2 = (
        tf.Variable(rng.standard_normal((1000, 100), "float32")),
        tf.Variable(rng.standard_normal((100, 10), "float32")),
    )
    loss = tf.reduce_sum((tf.matmul(tf.maximum(tf.matmul(x, w1), 0), w2) - y) ** 2)
    grad1, grad2 = tf.gradients(loss, [w1, w2])
    with tf.control_dependencies([grad1, grad2]):
        updates = tf.group(w1.assign_sub(1e-6 * grad1), w2.assign_sub(1e-6 * grad2))
    values = {x: rng.standard_normal((64, 1000)), y: rng.standard_normal((64, 10))}
    graphmode.session.run(tf.compat.v1.global_variables_initializer())
    losses = [graphmode.session.run([loss, updates], values)[0] for _ in range(STEPS)]
    assert losses[-1] < losses[0] / 1000
    assert (graphmode.ledger.builds, graphmode.ledger.calls) == (1, STEPS + 1)
