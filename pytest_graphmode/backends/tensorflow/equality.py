"""`==` and `!=` in TensorFlow 1 graphs, where TensorFlow compares tensors by identity: by element, as elsewhere.

Entered by the session mode around a test. Only what is built by the plugin's functions is concerned; the test's own
TensorFlow 1 code keeps TensorFlow 1's meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import tensorflow as tf

_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {"__eq__": tf.equal, "__ne__": tf.not_equal}


@contextmanager
def elementwise(graph: tf.Graph, building: Callable[[], bool]) -> Iterator[None]:
    """Compare the tensors and variables of `graph` element by element in a block, while `building()` holds."""
    originals = [
        (kind, name, getattr(kind, name), operation)
        for kind in (tf.Tensor, tf.Variable)
        for name, operation in _OPERATORS.items()
    ]
    for kind, name, original, operation in originals:
        setattr(kind, name, _compared(original, operation, graph, building))
    try:
        yield
    finally:
        for kind, name, original, _ in originals:
            setattr(kind, name, original)


def _compared(
    original: Callable[[Any, Any], Any],
    operation: Callable[[Any, Any], Any],
    graph: tf.Graph,
    building: Callable[[], bool],
) -> Callable[[Any, Any], Any]:
    def compare(mine: Any, other: Any) -> Any:
        if not building() or other is None or getattr(mine, "graph", None) is not graph:
            return original(mine, other)
        return operation(mine, other)

    return compare
