"""Each framework's own functions with graphs, for what is told of all of them alike."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest


class Native(NamedTuple):
    """What a test needs of a framework; calls of `compiled` make graphs of one size each."""

    backend: str
    mode: str
    compiled: Callable[..., Any]
    ones: Callable[..., Any]
    product: str
    """What it calls a multiplication."""


def native(name: str, request: pytest.FixtureRequest) -> Native:
    if name == "torch":
        torch = request.getfixturevalue("torch")
        compiled = functools.partial(torch.compile, backend="eager", dynamic=False)
        return Native("torch", "compile", compiled, torch.ones, "mul")
    if name == "jax":
        jax = request.getfixturevalue("jax")
        return Native("jax", "jit", jax.jit, jax.numpy.ones, "mul")
    tf = pytest.importorskip("tensorflow")
    return Native("tf", "graph", functools.partial(tf.function, autograph=False), tf.ones, "Mul")
