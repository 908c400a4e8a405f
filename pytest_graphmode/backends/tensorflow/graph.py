"""TensorFlow's default mode: tf.function, traced once per signature and run many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.eager import TensorFlowMode


class Graph(TensorFlowMode):
    name = "graph"
    static = True

    def inside(self) -> bool:
        return not tf.executing_eagerly()

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        made: Callable[..., Any] = tf.function(fn, **options)
        return made
