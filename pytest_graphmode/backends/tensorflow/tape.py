"""Reverse-mode gradients on TensorFlow by a tape, eagerly and inside graphs.

Called by the modes of TensorFlow as their `value_and_grad`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import Sources, require_scalar
from pytest_graphmode.backends.tensorflow.variables import native

__tracebackhide__ = True


def value_and_grad(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> tuple[Any, list[Any], list[Any]]:
    """The value of `fn(*args)`, gradients of the arguments at `argnums`, and of `variables`; see `Mode`."""
    sources = sources_of(fn, args, argnums, variables)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources.tensors)
        value = fn(*sources.args)
        require_scalar(fn, value, _is_tensor)
    return value, *sources.arranged(map(dense, tape.gradient(value, sources.tensors)))


def sources_of(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> Sources:
    """What TensorFlow differentiates a function by: what is passed twice is told apart, and has two gradients.

    A tensor becomes one of its own, and so does a variable that is passed more than once; any other stays a variable.
    """
    leaves = [native(leaf) for position in argnums for leaf in trees.leaves(args[position])]
    variable_counts = Counter(leaf.ref() for leaf in leaves if isinstance(leaf, tf.Variable))

    def prepared(leaf: Any) -> Any:
        leaf = native(leaf)
        once = isinstance(leaf, tf.Variable) and variable_counts[leaf.ref()] == 1
        return leaf if once else tf.identity(leaf)

    return Sources(fn, args, argnums, [native(variable) for variable in variables], differentiable, prepared)


def differentiable(leaf: object) -> bool:
    """Whether a leaf is a dense tensor or variable that a tape can watch."""
    leaf = native(leaf)
    return isinstance(leaf, (tf.Tensor, tf.Variable)) and (leaf.dtype.is_floating or leaf.dtype.is_complex)


def dense(grad: Any) -> Any:
    """A gradient by rows as the tensor it stands for; rows met several times add up."""
    if not isinstance(grad, tf.IndexedSlices):
        return grad
    rows = tf.cast(grad.dense_shape[0], tf.int32)
    return tf.math.unsorted_segment_sum(grad.values, grad.indices, rows)


def _is_tensor(value: object) -> bool:
    return isinstance(value, (tf.Tensor, tf.Variable))
