"""A port: one small model written natively with each framework, the same weights, equal outputs and gradients."""

import pytest


def tensorflow_model(tf):
    def model(x, kernel, bias):
        return tf.nn.softmax(tf.nn.bias_add(tf.matmul(x, kernel), bias))

    return model


def torch_model(torch):
    def model(x, kernel, bias):
        return torch.softmax(torch.nn.functional.linear(x, kernel.T, bias), dim=-1)

    return model


def jax_model(jax):
    def model(x, kernel, bias):
        return jax.nn.softmax(jax.numpy.dot(x, kernel) + bias)

    return model


@pytest.mark.graph_agree
def test_port(graphmode):
    model = graphmode.pick(tf=tensorflow_model, torch=torch_model, jax=jax_model)(graphmode.lib)
    rng = graphmode.rng
    x, kernel, bias = rng.standard_normal((8, 5)), rng.standard_normal((5, 3)), rng.standard_normal(3)
    target = rng.standard_normal((8, 3))

    def loss(kernel, bias):
        return graphmode.xp.sum((model(graphmode.tensor(x), kernel, bias) - graphmode.tensor(target)) ** 2)

    graphmode.agree(
        output=graphmode.function(model)(x, kernel, bias),
        gradients=graphmode.grad(loss, argnums=(0, 1))(kernel, bias),
    )
