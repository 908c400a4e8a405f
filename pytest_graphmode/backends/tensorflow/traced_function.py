"""Tells which function a trace is of, and whether it is the user's or TensorFlow's own machinery.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.internals import TfMethodTarget, tf_decorator
from pytest_graphmode.ledger import closure, identity
from pytest_graphmode.ledger.arguments import parameters, positional

# What nobody calls by a function of their own: pipelines of tf.data, what saving wraps variables and signatures in, and
# the forward gradients of single operations. TensorFlow's other functions (tf.vectorized_map, jacobians) count.
_MACHINERY: Final = tuple(
    str(Path(tf.__file__).parent / "python" / part)
    for part in (
        *("data/", "checkpoint/", "saved_model/save.py", "saved_model/signature_serialization.py"),
        "eager/forwardprop.py",
    )
)
VECTORIZING: Final = "/ops/parallel_for/"
RESTORING: Final = "/saved_model/function_deserialization.py"
_RESTORED: Final = "recreate_function.<locals>.restored_function_body"
_INFERENCE: Final = re.compile(r"__inference_(.+?)_\d+$")  # `__inference_step_12`, TensorFlow 2.16 to 2.21


class Subject(NamedTuple):
    """The function that a trace is of; `internal` for machinery (tf.data, variable initialisers).

    `names` has what the user calls the parameters that a wrapper takes by `*args`, by TensorFlow's names.
    """

    identity: identity.Identity
    internal: bool
    names: Mapping[str, str]


def subject(options: Any, classes: Mapping[Any, type]) -> Subject:
    """What the `TracingOptions` of a trace say about its function.

    `classes` has those of the objects that methods are bound to, by their captures. What tells one tf.function from
    another is its `function_captures`: the tf.function itself is not among the options, and its cache takes no weak
    reference.
    """
    function: Any = tf_decorator.unwrap(options.python_function)[1]
    gone = False
    if isinstance(function, types.MethodType) and isinstance(function.__self__, TfMethodTarget):
        target = function.__self__.target
        gone = target is None
        function = function.__func__ if gone else types.MethodType(function.__func__, target)
    in_pipeline = bool((options.attributes or {}).get("_tf_data_function"))
    if in_pipeline:  # what was given to `Dataset.map` and the like, from inside tf.data's wrapper around it
        wrapper = dict(closure.visible(function)).get("self")
        function = closure.quiet_attribute(wrapper, "_func") or function
    found = identity.of(function, owner=options.function_captures)
    if not gone:
        found = _in_the_users_words(found, function)
    elif (cls := classes.get(options.function_captures)) is not None:
        found = replace(found, kinds=(closure.class_key(cls), *found.kinds))
        found = _belonging(found, cls.__name__, *found.contents)
    internal = in_pipeline or options.function_cache is None or found.file.startswith(_MACHINERY)
    return Subject(found, internal, _names(function))


def _in_the_users_words(found: identity.Identity, function: Any) -> identity.Identity:
    """What functions made by TensorFlow and Keras close over is in the words of their code, not of the user's."""
    if getattr(function, "__qualname__", "") == _RESTORED:
        # All functions of loaded models have the same code: what they are is the name they were saved by.
        saved = dict(closure.visible(function)).get("saved_function")
        matches = map(_INFERENCE.match, getattr(saved, "concrete_functions", ()))
        name = next((match[1] for match in matches if match), "")
        found = replace(found, name=name or found.name, kinds=(*found.kinds, ("restored", name)))
        return _belonging(found, "SavedModel")
    if VECTORIZING in found.file:
        return replace(found, contents=())
    own = next((content for content in found.contents if content[:2] == ("closure", "self")), None)
    if own is None:
        return found
    # A function made in a method (Keras' train functions are) belongs to the object, which it closes over as self. The
    # other functions of the object that it closes over are made anew with it, and say no more.
    attributes = tuple(pair for pair in own.attributes if not pair[0].startswith("_"))
    bound = own._replace(role="bound", name=own.type_name, attributes=attributes)
    others = (one for one in found.contents if one is not own and one.type_name != "function")
    return replace(found, contents=(bound, *others))


def _belonging(found: identity.Identity, cls: str, *others: identity.Content) -> identity.Identity:
    """A function of an object of which the name of the class is all that is known."""
    bound = identity.Content("bound", cls, f"<{cls}>", cls, ("object", found.name, found.owner))
    return replace(found, contents=(bound, *others))


def _names(function: Callable[..., Any]) -> Mapping[str, str]:
    """`{"args_0": "x"}` for a wrapper `lambda *args: ...` around the user's `lambda x: ...`."""
    variable = next((one.name for one in parameters(function) if one.kind is one.VAR_POSITIONAL), None)
    inner = function
    while (within := _wrapped(inner)) is not None:
        inner = within
    if variable is None or positional(function) or inner is function:
        return {}
    names = positional(inner)[isinstance(function, types.MethodType) :]
    return {f"{variable}_{index}": name for index, name in enumerate(names)}


def _wrapped(function: Any) -> Callable[..., Any] | None:
    """What a wrapper calls: marked as such by the plugin, else the only function that it closes over."""
    marked = closure.quiet_attribute(function, "__graphmode_subject__")
    if marked is not None:
        return marked[0]  # type: ignore[no-any-return]
    function = getattr(function, "__func__", function)
    contents = closure.visible(function) if inspect.isfunction(function) else ()
    found = [content for _, content in contents if inspect.isfunction(content) and content is not function]
    return found[0] if len(found) == 1 else None
