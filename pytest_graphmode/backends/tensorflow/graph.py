"""TensorFlow's default mode: tf.function, traced once per signature and run many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.autograph import converted, for_function
from pytest_graphmode.backends.tensorflow.control_flow import GraphControlFlow
from pytest_graphmode.backends.tensorflow.dataclass_trees import carried, carrying
from pytest_graphmode.backends.tensorflow.eager import TensorFlowMode

__tracebackhide__ = True


class Graph(GraphControlFlow, TensorFlowMode):
    name = "graph"
    static = True

    def inside(self) -> bool:
        return not tf.executing_eagerly()

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return carrying(self.traced(fn, **options))

    def traced(self, fn: Callable[..., Any], **options: Any) -> Any:
        """The tf.function of `fn`."""
        subject = carried(fn) if options.get("autograph", True) is False else for_function(carried(fn))
        made = tf.function(subject, **options)
        if hasattr(fn, "__graphmode_subject__"):
            # TensorFlow warns of retracing by the code of a function, and all loops at top level, say, share theirs.
            # Keras turns the warning off for its own functions in the same way; there is no public one.
            made._omit_frequent_tracing_warning = True
        return made

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any] | None:
        # Calling the function itself would print warnings of retracing: TensorFlow counts traces by code, and all
        # checks share this one.
        graph: Callable[..., Any] = self.traced(compute).get_concrete_function(*example)
        return graph

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        return super().value_and_grad(converted(fn), args, argnums, variables)
