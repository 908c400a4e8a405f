"""AutoGraph, TensorFlow's rewriting of Python control flow: on for the user's functions, off for the plugin's own.

`install` runs when the backend is loaded; `converted` is what the modes call on every user function that TensorFlow
would not convert by itself, such as the callbacks of tf.while_loop; `giving_up` is attached by `tracing.py`.
"""

from __future__ import annotations

import dis
import logging
import types
from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.patching import Replacement
from pytest_graphmode.backends.tensorflow.internals import api, config, conversion
from pytest_graphmode.ledger import closure, identity
from pytest_graphmode.ledger.identity import is_library
from pytest_graphmode.ledger.ledger import Fallback
from pytest_graphmode.ledger.watcher import Sink

__tracebackhide__ = True

# Callbacks reach TensorFlow through this package and the one that it walks trees with. Neither has Python control
# flow on tensors, and rewriting them would cost time and show in tracebacks.
_NOT_CONVERTED: Final = ("pytest_graphmode", "optree")
# "AutoGraph could not transform %s and will run it as-is. ...", with the function as argument (2.16 to 2.21).
_UNCONVERTED: Final = "AutoGraph could not transform"
_DECIDED: Final = "AutoGraph could not transform it, so a Python if or loop in it is decided once, by the trace"
_JUMPS: Final = frozenset([*dis.hasjrel, *dis.hasjabs, dis.opmap["UNARY_NOT"]])

Function = Callable[..., Any]


def install() -> None:
    """Tell AutoGraph to leave the plugin's own code alone, and not to warn of lambdas that need no conversion.

    Raises:
        RuntimeError: this release of TensorFlow keeps its conversion rules elsewhere.
    """
    # The public do_not_convert switches AutoGraph off for everything called below too, the user's functions included.
    # Only these rules, which TensorFlow has for NumPy and Keras, leave out a package and nothing else.
    if not isinstance(getattr(config, "CONVERSION_RULES", None), tuple) or not hasattr(config, "DoNotConvert"):
        raise RuntimeError(
            f"TensorFlow {tf.__version__} has no CONVERSION_RULES of {config.__name__}, which keep AutoGraph out of "
            "pytest-graphmode's own code: install another TensorFlow, or a later pytest-graphmode"
        )
    known = {str(rule) for rule in config.CONVERSION_RULES}
    rules = [config.DoNotConvert(package) for package in _NOT_CONVERTED]
    config.CONVERSION_RULES = (*(rule for rule in rules if str(rule) not in known), *config.CONVERSION_RULES)
    logger = tf.get_logger()
    if _is_needed not in logger.filters:
        logger.addFilter(_is_needed)


def converted(fn: Function, **options: Any) -> Function:
    """A user's function with its Python control flow made traceable, unless the function around it has that off."""
    # tf.autograph.to_graph, the public way, fails on partials and doesn't know whether the user turned AutoGraph off.
    autograph = tf.__internal__.autograph
    made: Function = autograph.tf_convert(fn, autograph.control_status_ctx(), **options)
    return made


def converted_by_element(fn: Function) -> Function:
    """The same in TensorFlow 1's graphs, where `==` of tensors would compare objects: by element, as elsewhere."""
    # The function behind tf.autograph.to_graph, which takes this option too and does not take partials.
    feature = tf.autograph.experimental.Feature.EQUALITY_OPERATORS
    made: Function = api.convert(recursive=True, optional_features=feature, user_requested=False)(fn)
    return made


def for_function(fn: Function) -> Function:
    """What to give tf.function: a user's function as it is, one of the plugin's own so that it is not converted.

    tf.function converts what it is given whatever the rules say. AutoGraph stays on for what the function calls.
    """
    return converted(fn, convert_by_default=False) if hasattr(fn, "__graphmode_subject__") else fn


def _is_needed(record: logging.LogRecord) -> bool:
    """Drops one warning: that AutoGraph runs a lambda as it is, where there is nothing to convert.

    AutoGraph finds lambdas by their line, so it can't tell two on one line apart.
    """
    subject = record.args[0] if isinstance(record.args, tuple) and record.args else None
    needless = str(record.msg).startswith(_UNCONVERTED) and getattr(subject, "__name__", "") == "<lambda>"
    return not needless or has_control_flow(subject)


def giving_up(sink: Sink) -> Replacement:
    """What to replace, for `patched`: where AutoGraph runs a function as it is, because of an error.

    TensorFlow says so in a warning only, once for each function in a process.
    """

    def wrap(fall_back: Function) -> Function:
        def falling_back(function: Any, args: Any, kwargs: Any, options: Any, error: Any) -> Any:
            if not isinstance(function, types.FunctionType) or has_control_flow(function):
                sink.fallback(_fallback(function, error))
            return fall_back(function, args, kwargs, options, error)

        return falling_back

    return api, "_fall_back_unconverted", wrap, ("f", "args", "kwargs", "options", "exc")


def _fallback(function: Any, error: Any) -> Fallback:
    found = identity.of(function)
    in_function = isinstance(tf.compat.v1.get_default_graph(), tf.__internal__.FuncGraph)
    cause = " ".join(str(error).split()) or type(error).__name__
    return Fallback("tf", "graph" if in_function else "session", found.name, found.location, f"{_DECIDED}: {cause}")


def forget() -> None:
    """Make AutoGraph try again what it gave up before, so that each test sees its own fallbacks."""
    known = conversion._ALLOWLIST_CACHE
    conversion._ALLOWLIST_CACHE = type(known)()


def has_control_flow(function: Any) -> bool:
    """Whether a function of the user's, or one that it calls by name, has jumps or `not` in its bytecode."""
    waiting, seen = [function], {function}
    while waiting:
        current = waiting.pop()
        codes = closure.nested(current.__code__)
        if any(one.opcode in _JUMPS for code in codes for one in dis.get_instructions(code)):
            return True
        named = [value for _, value in closure.visible(current)]
        named += map(current.__globals__.get, current.__code__.co_names)
        called = {one for one in named if isinstance(one, types.FunctionType)} - seen
        seen |= called
        waiting += [one for one in called if not is_library(one.__code__.co_filename)]
    return False


def shortened(error: BaseException) -> BaseException:
    """An error of the user's code, its traceback and those of what it came from cut to frames that are no library's.

    AutoGraph's message names the user's lines; a traceback through its generated frames is some hundred lines that say
    nothing more, and what it remakes with a longer message is not shown a second time without it. TensorFlow's own
    switch, `tf.debugging.disable_traceback_filtering`, keeps all frames here too.
    """
    shown: BaseException | None = error if tf.debugging.is_traceback_filtering_enabled() else None
    seen: set[int] = set()
    while shown is not None and id(shown) not in seen:
        seen.add(id(shown))
        shown.__traceback__ = _cut(shown.__traceback__)
        if hasattr(shown.__context__, "ag_error_metadata"):
            shown.__suppress_context__ = True
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return error


def _cut(traceback: types.TracebackType | None) -> types.TracebackType | None:
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(entries):
        if not is_library(entry.tb_frame.f_code.co_filename):
            traceback = types.TracebackType(traceback, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return traceback
