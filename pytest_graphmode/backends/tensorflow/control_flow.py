"""The control-flow operators as nodes of TensorFlow's graphs: While and If/Case operations, with their gradients.

Base class of the modes of TensorFlow that build graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends.control_flow.carry import BranchResults
from pytest_graphmode.backends.control_flow.layout import Layout, pack
from pytest_graphmode.backends.tensorflow.autograph import converted

__tracebackhide__ = True

Tensors = tuple[Any, ...]


class GraphControlFlow:
    """The primitives of `Mode` on symbolic tensors."""

    def callback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return converted(fn)

    def while_loop(
        self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, most: int | None = None
    ) -> Any:
        return tf.while_loop(
            lambda *state: cond(state),
            lambda *before: tuple(map(_fixed, body(before), before)),
            tuple(map(tf.convert_to_tensor, state)),
            maximum_iterations=most,
        )

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        # XLA can differentiate a loop only where it knows how often the loop runs at most.
        most = max(upper - lower, 0) if isinstance(lower, int) and isinstance(upper, int) else None
        start, end = tf.convert_to_tensor(lower), tf.convert_to_tensor(upper)

        def advance(state: Tensors) -> Tensors:
            index, *rest = state
            return (index + 1, *body(tf.cast(index, tf.int32), tuple(rest)))

        return self.while_loop(lambda state: state[0] < end, advance, (start, *state), most)[1:]

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        init, xs = tuple(map(tf.convert_to_tensor, init)), tuple(map(tf.convert_to_tensor, xs))
        layout, examples = traced_outputs(f, init, xs)
        if xs[0].shape[0] == 0:  # XLA can't read rows from nothing, not even in a loop that never runs
            return init, layout.unpack([tf.zeros([0, *y.shape], y.dtype) for y in examples])
        steps = tf.shape(xs[0])[0] if xs[0].shape[0] is None else xs[0].shape[0]
        rows = [tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x) for x in xs]
        columns = [tf.TensorArray(y.dtype, steps, element_shape=y.shape) for y in examples]

        def step(index: Any, carry: Any, columns: Any) -> tuple[Any, ...]:
            carry, y = f(carry, tuple(row.read(index) for row in rows))
            _, leaves = pack(y, "y")
            written = [column.write(index, leaf) for column, leaf in zip(columns, leaves, strict=True)]
            return index + 1, tuple(map(_fixed, carry, init)), written

        with tf.name_scope("scan"):  # by this name the loop is told from other while loops, as tf.scan's is
            _, carry, columns = tf.while_loop(
                lambda index, *_: index < steps,
                step,
                (tf.constant(0), init, columns),
                maximum_iterations=xs[0].shape[0],
            )
        return carry, layout.unpack([column.stack() for column in columns])

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        results = BranchResults("cond", tf.convert_to_tensor)
        branches = [_branch(results, *named, operands) for named in (("true_fn", true_fn), ("false_fn", false_fn))]
        return results.unpack(tf.nest.flatten(tf.cond(tf.convert_to_tensor(pred), *branches)))

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        results = BranchResults("switch", tf.convert_to_tensor)
        made = [_branch(results, f"branches[{number}]", one, operands) for number, one in enumerate(branches)]
        clamped = tf.clip_by_value(tf.cast(index, tf.int32), 0, len(branches) - 1)
        return results.unpack(tf.nest.flatten(tf.switch_case(clamped, made)))


def _branch(results: BranchResults, name: str, branch: Callable[..., Any], operands: Tensors) -> Callable[[], Tensors]:
    return lambda: results.flat(name, branch(*operands))


def _fixed(after: Any, before: Any) -> Any:
    """A part of the loop carry with the shape it had, where tracing lost it; the graph checks it when it runs."""
    after = tf.convert_to_tensor(after)
    lost = after.shape.rank is None or any(size is None for size in after.shape)
    return tf.ensure_shape(after, before.shape) if lost else after


def traced_outputs(f: Callable[[Any, Any], tuple[Any, Any]], init: Tensors, xs: Tensors) -> tuple[Layout, Tensors]:
    """What `f` returns as `y`, found by tracing it into a graph that is thrown away.

    A TensorArray has to know its dtype before the loop is traced. tf.function would do the same and count as a build.
    """
    with tf.__internal__.FuncGraph("scan_outputs").as_default():
        carry = tuple(tf.compat.v1.placeholder(leaf.dtype, leaf.shape) for leaf in init)
        row = tuple(tf.compat.v1.placeholder(leaf.dtype, leaf.shape[1:]) for leaf in xs)
        return pack(f(carry, row)[1], "y", tf.convert_to_tensor)
