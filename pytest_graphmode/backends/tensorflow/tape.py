"""Reverse-mode gradients on TensorFlow by a tape, eagerly and inside graphs.

Called by the modes of TensorFlow as their `value_and_grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pytest_graphmode import trees
from pytest_graphmode.backends.differentiation import require_differentiable, require_scalar


def value_and_grad(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> tuple[Any, list[Any], list[Any]]:
    """The value of `fn(*args)`, gradients of the arguments at `argnums`, and of `variables`; see `Mode`."""
    args, variables = list(args), list(map(native, variables))
    require_sources(fn, args, argnums, variables)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for position in argnums:
            args[position] = trees.map(told_apart, args[position])
        wanted = [leaf for position in argnums for leaf in trees.leaves(args[position])] + list(variables)
        sources = [leaf for leaf in wanted if differentiable(leaf)]
        tape.watch(sources)
        value = fn(*args)
        require_scalar(fn, value, _is_tensor)
    grads = iter(map(dense, tape.gradient(value, sources)))
    of_args = [trees.map(lambda leaf: next(grads) if differentiable(leaf) else None, args[p]) for p in argnums]
    return value, of_args, [next(grads) if differentiable(leaf) else None for leaf in variables]


def require_sources(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> None:
    """Raise TypeError where an argument or the variables hold nothing that can have a gradient."""
    for position in argnums:
        require_differentiable(fn, f"argument {position}", trees.leaves(args[position]), differentiable)
    if variables:
        require_differentiable(fn, "the variables", variables, differentiable)


def differentiable(leaf: object) -> bool:
    """Whether a leaf is a dense tensor or variable that a tape can watch."""
    return isinstance(leaf, (tf.Tensor, tf.Variable)) and (leaf.dtype.is_floating or leaf.dtype.is_complex)


def native(variable: Any) -> Any:
    """The TensorFlow variable inside of a Keras 3 one; anything else as it is."""
    inner = None if isinstance(variable, (tf.Tensor, tf.Variable)) else getattr(variable, "value", None)
    return inner if isinstance(inner, tf.Variable) else variable


def told_apart(leaf: Any) -> Any:
    """A tensor of its own, so that one tensor passed as two arguments has two gradients; variables stay."""
    return tf.identity(leaf) if isinstance(leaf, tf.Tensor) and differentiable(leaf) else leaf


def dense(grad: Any) -> Any:
    """A gradient by rows as the tensor it stands for; rows met several times add up."""
    if not isinstance(grad, tf.IndexedSlices):
        return grad
    rows = tf.cast(grad.dense_shape[0], tf.int32)
    return tf.math.unsorted_segment_sum(grad.values, grad.indices, rows)


def _is_tensor(value: object) -> bool:
    return isinstance(value, (tf.Tensor, tf.Variable))
