"""TensorFlow's private names by which graphs are counted, and why no public ones serve.

Used by the event sources and modes beside this. All were there, as they are, in TensorFlow 2.16 and 2.21.

- `tracing_compilation`, `FunctionCache`: where traces are made. A tf.function's public counter is per object, misses
  traces that raise, and sees nothing of functions that nobody kept.
- `polymorphic_function`: where a method becomes a function of its object, which TensorFlow holds weakly only.
- `Function`, `ConcreteFunction`: whose calls are seen when they need no trace; TensorFlow has no event for a call.
- `function_context`: what traces are looked up by besides arguments.
- `default_types`, `CustomNestTraceType`, `VariableSpec`: the parts of a trace's arguments. Their protocol is public
  (tf.types.experimental.TraceType), the classes are not.
- `TfMethodTarget`, `tf_decorator`: what stands between a trace and the user's function.
- `ag_ctx`, `config`, `api`, `conversion`: what AutoGraph converts, whether it is on outside of a
  tf.function, and where it gives a function up, of which it only prints a warning.
- `AutomaticControlDependencies`: the ordering of effects that tf.function gives its graphs.
- `session`: TensorFlow has no event for a session that is extended; `run` and callables both pass there.
- `context`, `record`: the op callbacks that tf.debugging is made of, and whether a tape records.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from pytest_graphmode.errors import UnsupportedError

SUPPORTED: Final = "TensorFlow 2.16 to 2.21"

try:
    from tensorflow.core.function.polymorphism.function_cache import FunctionCache as FunctionCache
    from tensorflow.core.function.trace_type import default_types as default_types
    from tensorflow.core.function.trace_type.custom_nest_trace_type import CustomNestTraceType as CustomNestTraceType
    from tensorflow.python.autograph.core import ag_ctx as ag_ctx
    from tensorflow.python.autograph.core import config as config
    from tensorflow.python.autograph.impl import api as api
    from tensorflow.python.autograph.impl import conversion as conversion
    from tensorflow.python.client import session as session
    from tensorflow.python.eager import context as context
    from tensorflow.python.eager import record as record
    from tensorflow.python.eager.polymorphic_function import function_context as function_context
    from tensorflow.python.eager.polymorphic_function import polymorphic_function as polymorphic_function
    from tensorflow.python.eager.polymorphic_function import tracing_compilation as tracing_compilation
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction as ConcreteFunction
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function as Function
    from tensorflow.python.eager.polymorphic_function.tf_method_target import TfMethodTarget as TfMethodTarget
    from tensorflow.python.framework.auto_control_deps import (
        AutomaticControlDependencies as AutomaticControlDependencies,
    )
    from tensorflow.python.ops.resource_variable_ops import VariableSpec as VariableSpec
    from tensorflow.python.util import tf_decorator as tf_decorator
except ImportError as error:
    raise UnsupportedError(
        f"TensorFlow {tf.__version__} is not as it was ({error}), so its graphs can't be counted: use {SUPPORTED}, or "
        "a later pytest-graphmode"
    ) from error
