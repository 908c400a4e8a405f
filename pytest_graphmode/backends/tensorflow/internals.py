"""TensorFlow's private names by which graphs are counted, and why no public ones serve.

Used by `tracing.py` and its neighbours. All were there, as they are, in TensorFlow 2.16 and 2.21.

- `tracing_compilation`, `FunctionCache`: where traces are made. A tf.function's public counter is per object, misses
  traces that raise, and sees nothing of functions that nobody kept.
- `polymorphic_function`: where a method becomes a function of its object, which TensorFlow holds weakly only.
- `Function`, `ConcreteFunction`: whose calls are seen when they need no trace; TensorFlow has no event for a call.
- `function_context`: what traces are looked up by besides arguments.
- `trace_types`, `CustomNestTraceType`, `VariableSpec`: the parts of a trace's arguments. Their protocol is public
  (tf.types.experimental.TraceType), the classes are not.
- `StructuredFunctionWrapper`, `TfMethodTarget`, `tf_decorator`: what stands between a trace and the user's function.
- `autograph_api`, `autograph_conversion`: where AutoGraph gives a function up, of which it only prints a warning, and
  its list of those it gave up before.
- `context`, `record`: the op callbacks that tf.debugging is made of, and whether a tape records.
"""

from __future__ import annotations

import tensorflow as tf

from pytest_graphmode.errors import UnsupportedError

try:
    from tensorflow.core.function.polymorphism.function_cache import FunctionCache
    from tensorflow.core.function.trace_type import default_types as trace_types
    from tensorflow.core.function.trace_type.custom_nest_trace_type import CustomNestTraceType
    from tensorflow.python.autograph.impl import api as autograph_api
    from tensorflow.python.autograph.impl import conversion as autograph_conversion
    from tensorflow.python.data.ops.structured_function import StructuredFunctionWrapper
    from tensorflow.python.eager import context, record
    from tensorflow.python.eager.polymorphic_function import (
        function_context,
        polymorphic_function,
        tracing_compilation,
    )
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
    from tensorflow.python.eager.polymorphic_function.tf_method_target import TfMethodTarget
    from tensorflow.python.ops.resource_variable_ops import VariableSpec
    from tensorflow.python.util import tf_decorator
except ImportError as error:
    raise UnsupportedError(
        f"TensorFlow {tf.__version__} is not as it was ({error}), so its graphs can't be counted: "
        "use TensorFlow 2.16 to 2.21, or a later pytest-graphmode"
    ) from error

__all__ = [
    "ConcreteFunction",
    "CustomNestTraceType",
    "Function",
    "FunctionCache",
    "StructuredFunctionWrapper",
    "TfMethodTarget",
    "VariableSpec",
    "autograph_api",
    "autograph_conversion",
    "context",
    "function_context",
    "polymorphic_function",
    "record",
    "tf_decorator",
    "trace_types",
    "tracing_compilation",
]
