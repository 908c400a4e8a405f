"""Sees AutoGraph give a function up, so that its Python control flow is run by the trace and not by the graph.

Attached by `tracing.py`. TensorFlow says so in a warning only, once for each function in a process.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.autograph import has_control_flow
from pytest_graphmode.backends.tensorflow.internals import autograph_api, autograph_conversion
from pytest_graphmode.backends.tensorflow.patching import Replacement
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.ledger import Fallback
from pytest_graphmode.ledger.watcher import Sink

__tracebackhide__ = True

_REASON: Final = "AutoGraph could not transform it, so a Python if or loop in it is decided once, by the trace"


def replacement(sink: Sink) -> Replacement:
    """What to replace, for `patching.patched`: where AutoGraph runs a function as it is because of an error."""

    def wrap(fall_back: Callable[..., Any]) -> Callable[..., Any]:
        def falling_back(function: Any, args: Any, kwargs: Any, options: Any, error: Any) -> Any:
            if not isinstance(function, types.FunctionType) or has_control_flow(function):
                sink.fallback(_fallback(function, error))
            return fall_back(function, args, kwargs, options, error)

        return falling_back

    return autograph_api, "_fall_back_unconverted", wrap, ("f", "args", "kwargs", "options", "exc")


def _fallback(function: Any, error: Any) -> Fallback:
    found = identity.of(function)
    in_function = isinstance(tf.compat.v1.get_default_graph(), tf.__internal__.FuncGraph)
    cause = " ".join(str(error).split()) or type(error).__name__
    return Fallback("tf", "graph" if in_function else "session", found.name, found.location, f"{_REASON}: {cause}")


def forget() -> None:
    """Make AutoGraph try again what it gave up before, so that each test sees its own fallbacks."""
    known = autograph_conversion._ALLOWLIST_CACHE
    autograph_conversion._ALLOWLIST_CACHE = type(known)()
