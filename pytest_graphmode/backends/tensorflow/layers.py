"""The layers of a Keras model or a tf.Module. Called by TensorFlow's modes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends import keras_layers, layers
from pytest_graphmode.backends.layers import Layer, Tap, Watch
from pytest_graphmode.backends.tensorflow.autograph import converted


def of(model: Any) -> list[Layer]:
    """The callable modules in a module, or itself where there are none."""
    if keras_layers.is_layer(model):
        return keras_layers.of(model)
    if not isinstance(model, tf.Module):
        raise layers.unknown(model, "a Keras model or tf.Module")
    inner = list(_inner(model, "", set()))
    return layers.named(inner or [(type(model).__name__, model)], _watch)


def _inner(module: Any, path: str, above: set[int]) -> Iterator[tuple[str, Any]]:
    """Modules by their attributes; one that is not callable only holds others."""
    above = {*above, id(module)}
    for name, value in layers.attributes(module):
        if isinstance(value, tf.Module) and id(value) not in above:
            if callable(value):
                yield path + name, value
            yield from _inner(value, f"{path}{name}.", above)


def _watch(module: Any) -> Watch:
    def watch(name: str, tap: Tap) -> Callable[[], None]:
        cls = type(module)
        user: Any = cls.__call__

        @functools.wraps(user)
        def calling(self: Any, *args: Any, **kwargs: Any) -> Any:
            # By super, which binds: a tf.function that is a method has traces and variables of its own for each object.
            bound = super(tapped, self).__call__
            # AutoGraph leaves this package alone, and so would not see what is called from here.
            return tap(name, (bound if tf.executing_eagerly() else converted(bound))(*args, **kwargs))

        # A call looks for __call__ in the class: this one object gets a class of its own.
        tapped: Any = type(cls.__name__, (cls,), {"__call__": calling, "__module__": cls.__module__})
        module.__class__ = tapped

        def undo() -> None:
            module.__class__ = cls

        return undo

    return watch
