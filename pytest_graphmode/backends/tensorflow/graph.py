"""TensorFlow's default mode: tf.function, traced once per signature and run many times; the same compiled by XLA."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends import tapping
from pytest_graphmode.backends.tensorflow.autograph import converted, for_function
from pytest_graphmode.backends.tensorflow.control_flow import GraphControlFlow
from pytest_graphmode.backends.tensorflow.dataclass_trees import carrying, uncarrying
from pytest_graphmode.backends.tensorflow.eager import TensorFlowMode
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger.identity import place

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
        return carrying(self.traced(fn, **options), self.untappable)

    def traced(self, fn: Callable[..., Any], **options: Any) -> Any:
        """The tf.function of `fn`."""
        subject = uncarrying(fn) if options.get("autograph", True) is False else for_function(uncarrying(fn))
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
    where = "".join(f" (made at {place(_whole(file), line)})" for file, line in _LINE.findall(message)[-1:])
    if _UNBOUNDED in message:
        return f"XLA can't compile the gradient of a loop of unknown length{where}: {_LOOP_HINT}"
    found = (f"{name} [{attributes}]" if attributes else name for name, attributes in _OPERATION.findall(message))
    operations = ", ".join(dict.fromkeys(found)) or message.partition("\n")[0].strip()
    return f"XLA can't compile {operations}{where}: {_HINT}"


def _whole(file: str) -> str:
    """The whole path of a file in TensorFlow's message."""
    loaded = (vars(module).get("__file__") for module in list(sys.modules.values()))
    ending = os.sep + file.lstrip(os.sep)
    return next((path for path in loaded if isinstance(path, str) and path.endswith(ending)), file)
