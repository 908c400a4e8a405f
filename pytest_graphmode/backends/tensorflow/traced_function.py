"""Tells which function a trace is of, and whether it is the user's or TensorFlow's own machinery.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.internals import (
    StructuredFunctionWrapper,
    TfMethodTarget,
    polymorphic_function,
    tf_decorator,
)
from pytest_graphmode.backends.tensorflow.patching import Replacement
from pytest_graphmode.ledger import closure, identity

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


@dataclass(frozen=True)
class Subject:
    """The function that a trace is of; `internal` for machinery (tf.data, variable initialisers).

    `names` has what the user calls the parameters that a wrapper takes by `*args`, by TensorFlow's names.
    """

    identity: identity.Identity
    internal: bool
    names: Mapping[str, str]


class Methods:
    """The classes of objects that tf.function methods are bound to: TensorFlow holds the objects weakly, and one that
    nobody keeps (`Net().step(x)`) is gone when its method is traced.
    """

    def __init__(self) -> None:
        self._classes: weakref.WeakKeyDictionary[Any, type] = weakref.WeakKeyDictionary()

    def replacement(self) -> Replacement:
        """What to replace, for `patching.patched`: where TensorFlow makes the function of one object."""

        def wrap(bind: Callable[..., Any]) -> Callable[..., Any]:
            def binding(function: Any, instance: Any) -> Any:
                bound = bind(function, instance)
                captures = getattr(bound, "_function_captures", None)
                if captures is not None:
                    self._classes[captures] = type(instance)
                return bound

            return binding

        return polymorphic_function, "class_method_to_instance_method", wrap, ("original_function", "instance")

    def completed(self, found: identity.Identity, captures: Any) -> identity.Identity:
        """The identity of a method whose object is gone, with what is known of the object."""
        cls = self._classes.get(captures)
        if cls is None:
            return found
        name = cls.__name__
        bound = identity.Content("bound", name, f"<{name}>", name, ("object", name, found.owner))
        kinds = (closure.class_key(cls), *found.kinds)
        return dataclasses.replace(found, kinds=kinds, contents=(bound, *found.contents))


def subject(options: Any, methods: Methods) -> Subject:
    """What the `TracingOptions` of a trace say about its function.

    What tells one tf.function from another is its `function_captures`: the tf.function itself is not among the
    options, and its cache takes no weak reference.
    """
    plain: Callable[..., Any] = tf_decorator.unwrap(options.python_function)[1]
    function = _with_its_object(plain)
    mapped = _mapped(function) if (options.attributes or {}).get("_tf_data_function") else None
    found = _of_a_model(identity.of(mapped or function, owner=options.function_captures))
    if function is not plain and not isinstance(function, types.MethodType):
        found = methods.completed(found, options.function_captures)
    machinery = mapped is not None or options.function_cache is None or found.file.startswith(_MACHINERY)
    return Subject(_restored(found, function), machinery, _names(mapped or function))


def _with_its_object(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A method with the object it is really bound to, without one where the object is gone."""
    if not isinstance(plain, types.MethodType) or not isinstance(plain.__self__, TfMethodTarget):
        return plain
    target = plain.__self__.target
    return plain.__func__ if target is None else types.MethodType(plain.__func__, target)


def _of_a_model(found: identity.Identity) -> identity.Identity:
    """A function made in a method (Keras' train functions are) belongs to the object, which it closes over as self.

    The other functions of the object that it closes over are made anew with it, and say no more.
    """
    own = next((content for content in found.contents if content[:2] == ("closure", "self")), None)
    if VECTORIZING in found.file:
        return dataclasses.replace(found, contents=())  # in the words of TensorFlow's code, not of the user's
    if own is None:
        return found
    attributes = tuple(pair for pair in own.attributes if not pair[0].startswith("_"))
    bound = own._replace(role="bound", name=own.type_name, attributes=attributes)
    others = (one for one in found.contents if one is not own and one.type_name != "function")
    return dataclasses.replace(found, contents=(bound, *others))


def _restored(found: identity.Identity, function: Any) -> identity.Identity:
    """A function of a loaded model: all have the same code, and what they are is the name they were saved by."""
    if getattr(function, "__qualname__", "") != _RESTORED:
        return found
    saved = inspect.getclosurevars(function).nonlocals.get("saved_function")
    matches = map(_INFERENCE.match, getattr(saved, "concrete_functions", ()))
    name = next((match[1] for match in matches if match), "")
    # What it closes over is in the words of TensorFlow's code: what its user made anew is the loaded model.
    loaded = identity.Content("bound", "SavedModel", "<SavedModel>", "SavedModel", ("object", name, found.owner))
    kinds = (*found.kinds, ("restored", name))
    return dataclasses.replace(found, name=name or found.name, kinds=kinds, contents=(loaded,))


def _names(function: Callable[..., Any]) -> Mapping[str, str]:
    """`{"args_0": "x"}` for a wrapper `lambda *args: ...` around the user's `lambda x: ...`."""
    bound = isinstance(function, types.MethodType)
    positional, variable = _parameters(function)
    inner = function
    while (within := _wrapped(inner)) is not None:
        inner = within
    if variable is None or positional or inner is function:
        return {}
    names, _ = _parameters(inner)
    return {f"{variable}_{index}": name for index, name in enumerate(names[1:] if bound else names)}


def _wrapped(function: Any) -> Callable[..., Any] | None:
    """What a wrapper calls: marked as such by the plugin, else the only function that it closes over."""
    marked = closure.quiet_attribute(function, "__graphmode_subject__")
    if marked is not None:
        return marked[0]  # type: ignore[no-any-return]
    function = getattr(function, "__func__", function)
    cells = getattr(function, "__closure__", None) or ()
    found = [cell.cell_contents for cell in cells if isinstance(_content(cell), types.FunctionType)]
    return found[0] if len(found) == 1 and found[0] is not function else None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


def _parameters(function: Callable[..., Any]) -> tuple[list[str], str | None]:
    """The names of the positional parameters, and of the one that takes all other positional arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have none
        return [], None
    positional = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return positional, next((one.name for one in parameters if one.kind is one.VAR_POSITIONAL), None)


def _mapped(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function that was given to `Dataset.map` and the like, from inside tf.data's wrapper around it."""
    for cell in getattr(function, "__closure__", None) or ():
        if isinstance(_content(cell), StructuredFunctionWrapper):
            found: Callable[..., Any] = cell.cell_contents._func
            return found
    return None
