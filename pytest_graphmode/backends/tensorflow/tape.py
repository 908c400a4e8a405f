"""Reverse-mode gradients on TensorFlow by a tape, eagerly and inside graphs.

Called by the modes of TensorFlow as their `value_and_grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends.differentiation import Sources, require_scalar


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
    """What TensorFlow differentiates a function by, tensors passed twice told apart."""
    return Sources(fn, args, argnums, [native(variable) for variable in variables], differentiable, told_apart)


def differentiable(leaf: object) -> bool:
    """Whether a leaf is a dense tensor or variable that a tape can watch."""
    return isinstance(leaf, (tf.Tensor, tf.Variable)) and (leaf.dtype.is_floating or leaf.dtype.is_complex)


def native(variable: Any) -> Any:
    """The TensorFlow variable inside of a Keras 3 one; anything else as it is."""
    inner = None if isinstance(variable, (tf.Tensor, tf.Variable)) else getattr(variable, "value", None)
    return inner if isinstance(inner, tf.Variable) else variable


def told_apart(leaf: Any) -> Any:
    """A tensor of its own, so that one tensor passed as two arguments has two gradients; variables stay."""
    return tf.identity(leaf) if isinstance(leaf, tf.Tensor) else leaf


def dense(grad: Any) -> Any:
    """A gradient by rows as the tensor it stands for; rows met several times add up."""
    if not isinstance(grad, tf.IndexedSlices):
        return grad
    rows = tf.cast(grad.dense_shape[0], tf.int32)
    return tf.math.unsorted_segment_sum(grad.values, grad.indices, rows)


def _is_tensor(value: object) -> bool:
    return isinstance(value, (tf.Tensor, tf.Variable))
