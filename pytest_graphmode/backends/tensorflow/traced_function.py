"""Tells which function a trace is of, and whether it is the user's or TensorFlow's own machinery.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode import identity
from pytest_graphmode.backends.tensorflow.internals import StructuredFunctionWrapper, TfMethodTarget, tf_decorator

_TENSORFLOW: Final = str(Path(tf.__file__).parent)


@dataclass(frozen=True)
class Subject:
    """The function that a trace is of; `internal` for machinery (tf.data, variable initialisers).

    `names` has what the user calls the parameters of a function that the plugin wraps, by TensorFlow's names.
    """

    identity: identity.Identity
    internal: bool
    names: Mapping[str, str]


def subject(options: Any) -> Subject:
    """What the `TracingOptions` of a trace say about its function.

    What tells one tf.function from another is its `function_captures`: the tf.function itself is not among the
    options, and its cache takes no weak reference.
    """
    function = _unwrapped(options.python_function)
    mapped = _mapped(function) if (options.attributes or {}).get("_tf_data_function") else None
    found = identity.of(mapped or function, owner=options.function_captures)
    machinery = mapped is not None or options.function_cache is None or found.file.startswith(_TENSORFLOW)
    return Subject(found, machinery, _names(mapped or function))


def _names(function: Callable[..., Any]) -> Mapping[str, str]:
    """`{"args_0": "x"}` for the plugin's `lambda *args: ...` around the user's `lambda x: ...`."""
    if not hasattr(function, "__graphmode_subject__"):
        return {}
    while hasattr(function, "__graphmode_subject__"):
        function = function.__graphmode_subject__[0]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have none
        return {}
    positional = (one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD))
    return {f"args_{index}": name for index, name in enumerate(positional)}


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's function under TensorFlow's decorators, a method with the object it is really bound to."""
    plain: Callable[..., Any] = tf_decorator.unwrap(function)[1]
    if isinstance(plain, types.MethodType) and isinstance(plain.__self__, TfMethodTarget):
        target = plain.__self__.target  # held weakly: gone after `Net().step`, which TensorFlow runs all the same
        return plain.__func__ if target is None else types.MethodType(plain.__func__, target)
    return plain


def _mapped(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function that was given to `Dataset.map` and the like, from inside tf.data's wrapper around it."""
    for cell in getattr(function, "__closure__", None) or ():
        if isinstance(cell.cell_contents, StructuredFunctionWrapper):
            found: Callable[..., Any] = cell.cell_contents._func
            return found
    return None
