"""TensorFlow's default mode: tf.function, traced once per signature and run many times; the same compiled by XLA."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.calls import converting
from pytest_graphmode.backends.tensorflow.autograph import converted, for_function, shortened
from pytest_graphmode.backends.tensorflow.control_flow import GraphControlFlow
from pytest_graphmode.backends.tensorflow.eager import TensorFlowMode
from pytest_graphmode.backends.trees import Carrier
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger import identity

__tracebackhide__ = True

# What XLA says in TensorFlow 2.16 and 2.21; paths lack what all files of the stack begin with:
#   Detected unsupported operations when trying to compile graph __inference_f_8[...] on XLA_CPU_JIT: AsString (No
#   registered 'AsString' OpKernel for XLA_CPU_JIT devices compatible with node {{node AsString}}){{node AsString}}
# and where it has the operation in other dtypes:
#   ... compatible with node {{node MatrixInverse}}
#    (OpKernel was found, but attributes didn't match) Requested Attributes: T=DT_COMPLEX64, adjoint=false){{node ...
#   The op is created at:
#   File "tests/test_model.py", line 4, in test_step
#           tf2xla conversion failed while converting __inference_f_8[...]. Run with TF_DUMP_GRAPH_PREFIX=...
# and for a loop: XLA compilation requires a fixed tensor list size. Set the max number of elements. This could ...
_FAILED: Final = "tf2xla conversion failed"
_UNBOUNDED: Final = "fixed tensor list size"
_OPERATION: Final = re.compile(
    r"(\w+) \([^{}]*(?:\{\{node [^{}]*\}\}(?:[^{}]*Requested Attributes: ([^{}]*))?)?\)\{\{node "
)
_LINE: Final = re.compile(r'File "([^"]*)", line (\d+)')
_HINT: Final = "use operations that XLA has, or leave this variant out with graph_skip('tf:xla', reason=...)"
_LOOP_HINT: Final = (
    "XLA differentiates a loop only where it knows how often it runs at most: use scan, or fori_loop with bounds that "
    "are Python ints"
)


class Graph(GraphControlFlow, TensorFlowMode):
    name = "graph"
    static = True
    carries_taps = True

    def inside(self) -> bool:
        return not tf.executing_eagerly()

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return _carrying(self.traced(fn, **options), self.untappable)

    def traced(self, fn: Callable[..., Any], **options: Any) -> Any:
        subject = _uncarrying(fn) if options.get("autograph", True) is False else for_function(_uncarrying(fn))
        made = tf.function(subject, **options)
        if hasattr(fn, "__graphmode_subject__"):
            # TensorFlow warns of retracing by the code of a function, and all loops at top level, say, share theirs.
            # Keras turns the warning off for its own functions in the same way; there is no public one.
            made._omit_frequent_tracing_warning = True
        return made

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any]:
        # Calling the function itself would print warnings of retracing: TensorFlow counts traces by code, and all
        # checks share this one.
        graph = self.traced(compute).get_concrete_function(*example)
        return lambda *args: tapping.received(graph(*args), self.untappable)

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        return super().value_and_grad(converted(fn), args, argnums, variables)


class Xla(Graph):
    """tf.function(jit_compile=True): every call in one compiled program; what XLA can't compile is raised by name."""

    name = "xla"

    def traced(self, fn: Callable[..., Any], **options: Any) -> Any:
        return super().traced(fn, **{"jit_compile": True, **options})

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return _telling(super().function(fn, **options))

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any]:
        return _telling(super().joint_graph(compute, example))


# tf.function takes no class apart that doesn't say how: dataclasses go in and out in carriers. Taps come out too.


def _packed(tree: Any) -> Any:
    """A tree with its dataclasses that TensorFlow would not take apart in carriers."""
    return _replaced(tree, _is_foreign, lambda leaf: Carrier.of(leaf, _packed))


def _unpacked(tree: Any) -> Any:
    """A tree with its dataclasses taken out of their carriers again."""
    return _replaced(tree, lambda leaf: isinstance(leaf, Carrier), lambda leaf: leaf.value(_unpacked))


def _is_foreign(value: Any) -> bool:
    return dataclasses.is_dataclass(type(value)) and not hasattr(type(value), "__tf_flatten__")


def _replaced(tree: Any, wanted: Callable[[Any], bool], replace: Callable[[Any], Any]) -> Any:
    """The tree itself where it has nothing to replace."""
    leaves, spec = trees.flatten(tree, is_leaf=wanted)
    if not any(map(wanted, leaves)):
        return tree
    return trees.unflatten(spec, [replace(leaf) if wanted(leaf) else leaf for leaf in leaves])


def _uncarrying(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, by AutoGraph, as it is traced: it gets dataclasses out of carriers and returns them in carriers."""

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _unpacked((args, kwargs))
        with tapping.collecting(tf.compat.v1.get_default_graph()) as frame:
            return frame.carried(_packed(converted(fn)(*args, **kwargs)))

    return identity.subject(call, fn)


def _carrying(made: Callable[..., Any], untappable: Callable[[], str | None]) -> Callable[..., Any]:
    """A tf.function of what `_uncarrying` returns, called with dataclasses and returning them; taps are handed on."""
    run = converting(made, _packed)

    @functools.wraps(made, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = run(*args, **kwargs)
        except Exception as error:
            raise shortened(error)  # noqa: B904 - the same error
        return result if isinstance(result, tf.Tensor) else _unpacked(tapping.received(result, untappable))

    return call


def _telling(compiled: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return compiled(*args, **kwargs)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if _FAILED not in str(error):
                raise
            raise UnsupportedError(_unsupported(str(error))) from None

    return call


def _unsupported(message: str) -> str:
    """What XLA can't compile, read from TensorFlow's message: the operations and the line."""
    where = "".join(f" (made at {identity.place(_whole(file), line)})" for file, line in _LINE.findall(message)[-1:])
    if _UNBOUNDED in message:
        return f"XLA can't compile the gradient of a loop of unknown length{where}: {_LOOP_HINT}"
    found = (f"{name} [{attributes}]" if attributes else name for name, attributes in _OPERATION.findall(message))
    operations = ", ".join(dict.fromkeys(found)) or message.partition("\n")[0].strip()
    return f"XLA can't compile {operations}{where}: {_HINT}"


def _whole(file: str) -> str:
    loaded = (vars(module).get("__file__") for module in list(sys.modules.values()))
    ending = os.sep + file.lstrip(os.sep)
    return next((path for path in loaded if isinstance(path, str) and path.endswith(ending)), file)
