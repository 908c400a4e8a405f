"""TensorFlow compiled by XLA: tf.function(jit_compile=True), every call in one compiled program."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.graph import Graph
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger.identity import place

__tracebackhide__ = True

_FAILED: Final = "tf2xla conversion failed"
_OPERATION: Final = re.compile(r"(\w+) \([^{}]*(?:\{\{node [^{}]*\}\})?\)\{\{node ([^{}]*)\}\}")
_LINE: Final = re.compile(r'File "([^"]*)", line (\d+)')
_HINT: Final = "use operations that XLA has, or leave this variant out with graph_skip('tf:xla', reason=...)"
_LOOP_HINT: Final = (
    "XLA differentiates a loop only where it knows how often it runs at most: use scan, or fori_loop with bounds that "
    "are Python ints"
)


class Xla(Graph):
    name = "xla"

    def traced(self, fn: Callable[..., Any], **options: Any) -> Any:
        return super().traced(fn, **{"jit_compile": True, **options})

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return _named(super().function(fn, **options))

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any] | None:
        graph = super().joint_graph(compute, example)
        return None if graph is None else _named(graph)


def _named(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """`compiled`, with what XLA can't compile raised by name."""

    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return compiled(*args, **kwargs)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            reason = unsupported(str(error))
            if reason is None:
                raise
            raise UnsupportedError(reason) from None

    return call


def unsupported(message: str) -> str | None:
    """What XLA can't compile, read from TensorFlow's message: the operations and the line; None for other errors."""
    if _FAILED not in message:
        return None
    places = _LINE.findall(message)
    where = f" (made at {place(_whole(places[-1][0]), places[-1][1])})" if places else ""
    if "fixed tensor list size" in message:
        return f"XLA can't compile the gradient of a loop of unknown length{where}: {_LOOP_HINT}"
    operations = ", ".join(dict.fromkeys(name for name, _ in _OPERATION.findall(message)))
    what = operations or message.partition("\n")[0].strip()
    return f"XLA can't compile {what}{where}: {_HINT}"


def _whole(file: str) -> str:
    """The whole path of a file in TensorFlow's message, which leaves out what all files of a stack begin with."""
    if os.path.isabs(file):
        return file
    loaded = (vars(module).get("__file__") for module in list(sys.modules.values()))
    return next((path for path in loaded if isinstance(path, str) and path.endswith(os.sep + file)), file)
