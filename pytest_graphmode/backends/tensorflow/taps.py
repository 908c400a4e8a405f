"""Taps in TensorFlow: which tensors of a graph can leave it, and gradients by those of them that a tape has seen.

Called by the modes of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.tensorflow.variables import native

__tracebackhide__ = True

# The graphs of loops and branches, by the names of TensorFlow's classes (2.16 to 2.21), which are private: there are
# WhileCondFuncGraph, WhileBodyFuncGraph and CondBranchFuncGraph.
_LOOPS_AND_BRANCHES: Final = ("While", "CondBranch")


def elsewhere() -> str | None:
    """Why nothing can be tapped here: operations go into another graph than that of the function that is traced."""
    place = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    frames = tapping.here.frames
    if place is None or (frames and frames[-1].place is place):
        return None
    if type(place).__name__.startswith(_LOOPS_AND_BRANCHES):
        return "inside of a loop or branch of TensorFlow's"
    if not isinstance(place, tf.__internal__.FuncGraph):
        return None if not frames else "inside of another graph"
    return "inside of a tf.function that is not graphmode.function's"


def as_tensors(tree: Any) -> Any:
    """A tree with its variables read: they may be assigned before the graph has run to its end."""
    return trees.map(lambda leaf: tf.identity(leaf) if isinstance(leaf, tf.Variable) else leaf, trees.map(native, tree))


def differentiable_taps(tapped: Sequence[tapping.Tap]) -> tuple[list[str], list[Any]]:
    """The floating and complex tensors among the taps, and a name for each."""
    found = [(path, leaf) for name, value in tapped for path, leaf in trees.paths(value, name)]
    found = [
        (path, leaf)
        for path, leaf in found
        if isinstance(leaf, tf.Tensor) and (leaf.dtype.is_floating or leaf.dtype.is_complex)
    ]
    return [path for path, _ in found], [leaf for _, leaf in found]


def emit_gradients(names: Sequence[str], gradients: Sequence[Any]) -> None:
    """Hand on what the gradients went through; a tap without a path to the value has none."""
    pairs = zip(names, gradients, strict=True)
    tapping.emit_gradients([tapping.Tap(name, gradient) for name, gradient in pairs if gradient is not None])
