"""AutoGraph, TensorFlow's rewriting of Python control flow: on for the user's functions, off for the plugin's own.

`install` runs when the backend is loaded; `converted` is what the modes call on every user function that TensorFlow
would not convert by itself, such as the callbacks of tf.while_loop.
"""

from __future__ import annotations

import dis
import inspect
import logging
import types
from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.ledger.identity import is_library

# Callbacks reach TensorFlow through this package and through the two that it walks trees and dispatches with. None of
# them has Python control flow on tensors, and rewriting them would cost time and show in tracebacks.
_NOT_CONVERTED: Final = ("pytest_graphmode", "optree", "autoray")
_UNCONVERTED: Final = "AutoGraph could not transform"
_JUMPS: Final = frozenset([*dis.hasjrel, *dis.hasjabs, dis.opmap["UNARY_NOT"]])


def install() -> None:
    """Tell AutoGraph to leave the plugin's own code alone, and not to warn of lambdas that need no conversion.

    Raises:
        RuntimeError: this release of TensorFlow keeps its conversion rules elsewhere.
    """
    # The public do_not_convert switches AutoGraph off for everything called below too, the user's functions included.
    # Only these rules, which TensorFlow has for NumPy and Keras, leave out a package and nothing else.
    try:
        from tensorflow.python.autograph.core import config
    except ImportError as error:
        raise RuntimeError(_moved("tensorflow.python.autograph.core.config")) from error
    if not isinstance(getattr(config, "CONVERSION_RULES", None), tuple) or not hasattr(config, "DoNotConvert"):
        raise RuntimeError(_moved("CONVERSION_RULES of tensorflow.python.autograph.core.config"))
    known = {str(rule) for rule in config.CONVERSION_RULES}
    rules = [config.DoNotConvert(package) for package in _NOT_CONVERTED]
    config.CONVERSION_RULES = (*(rule for rule in rules if str(rule) not in known), *config.CONVERSION_RULES)
    logger = tf.get_logger()
    if not any(isinstance(known, _NeedlessWarnings) for known in logger.filters):
        logger.addFilter(_NeedlessWarnings())


def converted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A user's function with its Python control flow made traceable, unless the function around it has that off."""
    # tf.autograph.to_graph, the public way, fails on partials and doesn't know whether the user turned AutoGraph off.
    autograph = tf.__internal__.autograph
    made: Callable[..., Any] = autograph.tf_convert(fn, autograph.control_status_ctx())
    return made


def for_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """What to give tf.function: a user's function as it is, one of the plugin's own so that it is not converted.

    tf.function converts what it is given whatever the rules say. AutoGraph stays on for what the function calls.
    """
    if not hasattr(fn, "__graphmode_subject__"):
        return fn
    autograph = tf.__internal__.autograph
    made: Callable[..., Any] = autograph.tf_convert(fn, autograph.control_status_ctx(), convert_by_default=False)
    return made


class _NeedlessWarnings(logging.Filter):
    """Drops one warning: that AutoGraph runs a lambda as it is, where there is nothing to convert.

    AutoGraph finds lambdas by their line, so it can't tell two on one line apart.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(_UNCONVERTED) or not record.args:
            return True
        subject = record.args[0] if isinstance(record.args, tuple) else None
        if not isinstance(subject, types.FunctionType) or subject.__name__ != "<lambda>":
            return True
        return has_control_flow(subject)


def has_control_flow(function: types.FunctionType) -> bool:
    """Whether a function of the user's, or one that it calls by name, has jumps or `not` in its bytecode."""
    waiting, seen = [function], {function}
    while waiting:
        current = waiting.pop()
        if _jumps(current.__code__):
            return True
        called = {value for value in _named(current) if isinstance(value, types.FunctionType)} - seen
        seen |= called
        waiting += [value for value in called if not is_library(value.__code__.co_filename)]
    return False


def _jumps(code: types.CodeType) -> bool:
    if any(instruction.opcode in _JUMPS for instruction in dis.get_instructions(code)):
        return True
    return any(_jumps(inner) for inner in code.co_consts if isinstance(inner, types.CodeType))


def _named(function: types.FunctionType) -> list[object]:
    """What the names in a function's code stand for, as far as they are globals or closed over."""
    found = inspect.getclosurevars(function)
    return [value for values in (found.nonlocals, found.globals) for value in values.values() if callable(value)]


def _moved(what: str) -> str:
    return (
        f"TensorFlow {tf.__version__} has no {what}, which keeps AutoGraph out of pytest-graphmode's own code: "
        "install another TensorFlow, or a later pytest-graphmode"
    )
