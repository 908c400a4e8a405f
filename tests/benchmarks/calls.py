"""Rows that time calls in this process: functions and gradient checks, against the frameworks' own."""

from __future__ import annotations

import statistics
import time

import numpy as np

from tests.benchmarks.handles import handle_of
from tests.benchmarks.measure import Row, in_turn, microseconds, milliseconds, per_call

INPUTS = np.random.default_rng(0).standard_normal(200)


def tf_function() -> Row:
    import tensorflow as tf

    def step(x):
        return x * 2 + 1

    native, x = tf.function(step), tf.constant([1.0, 2.0])
    native(x)

    def native_unwatched() -> float:
        return per_call(lambda: native(x), 2000)()

    with handle_of("tf", "graph") as graphmode:
        ours = graphmode.function(step)
        ours(x)

    def ours_watched() -> float:
        with handle_of("tf", "graph"):
            return per_call(lambda: ours(x), 2000)()

    pair = in_turn(ours_watched, native_unwatched, 15)
    return Row("function call, tf.function", *map(microseconds, pair.medians), pair.ratio, 1.02)


def torch_function() -> Row:
    import torch

    def step(x):
        return x * 2 + 1

    x = torch.ones(2, requires_grad=True)
    with handle_of("torch", "eager") as graphmode:
        ours = graphmode.function(step)
        pair = in_turn(per_call(lambda: ours(x), 20_000), per_call(lambda: step(x), 20_000), 15)
    return Row("function call, eager torch", *map(microseconds, pair.medians), pair.difference * 1e6, 1, "us")


def torch_check() -> Row:
    import torch

    with handle_of("torch", "eager") as graphmode:
        x = torch.tensor(INPUTS, dtype=torch.float64, requires_grad=True)

        def loss(x):
            return torch.sum(torch.tanh(x) ** 2)

        pair = in_turn(
            per_call(lambda: graphmode.check_grads(loss, INPUTS), 50),
            per_call(lambda: torch.autograd.gradcheck(loss, (x,), fast_mode=True), 50),
            9,
        )
    return Row("check_grads, 200 inputs, torch", *map(milliseconds, pair.medians), pair.ratio, 1)


def tf_eager_check() -> Row:
    import tensorflow as tf

    def loss(x):
        return tf.reduce_sum(tf.tanh(x) ** 2)

    with handle_of("tf", "eager") as graphmode:
        x = tf.constant(INPUTS, tf.float64)
        pair = in_turn(
            per_call(lambda: tf.test.compute_gradient(loss, [x]), 2),
            per_call(lambda: graphmode.check_grads(loss, INPUTS), 10),
            5,
        )
    theirs, ours = map(milliseconds, pair.medians)
    return Row("check_grads, 200 inputs, tf eager: speed-up", ours, theirs, pair.ratio, 30, at_least=True)


def tf_graph_check() -> Row:
    import tensorflow as tf

    def loss(x):
        return tf.reduce_sum(tf.tanh(x) ** 2)

    with handle_of("tf", "graph") as graphmode:
        check = statistics.median(_without_build(graphmode, loss) for _ in range(15))
        with graphmode.runtime.using_dtype("float64"):
            built = graphmode.value_and_grad(loss)
            x = graphmode.tensor(INPUTS)
            built(x)
            call = statistics.median(per_call(lambda: built(x), 200)() for _ in range(9))
    return Row(
        "check_grads in a tf graph, in calls of the graph",
        milliseconds(check),
        milliseconds(call),
        check / call,
        5,
    )


def _without_build(graphmode, loss) -> float:
    """The seconds of one check, less those in which its graph was built and prepared in its first run."""
    spent: list[float] = []
    mode = graphmode.runtime.mode
    build = mode.joint_graph

    def timed(compute, example):
        start = time.perf_counter()
        graph = build(compute, example)
        graph(*example)
        spent.append(time.perf_counter() - start)
        return graph

    mode.joint_graph = timed
    try:
        start = time.perf_counter()
        graphmode.check_grads(loss, INPUTS)
        return time.perf_counter() - start - sum(spent)
    finally:
        del mode.joint_graph


ROWS = {
    "tf-function": tf_function,
    "torch-function": torch_function,
    "torch-check": torch_check,
    "tf-eager-check": tf_eager_check,
    "tf-graph-check": tf_graph_check,
}
