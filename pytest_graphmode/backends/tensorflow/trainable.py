"""The trainable variables of Keras layers and models and of tf.Module.

Called by the modes of TensorFlow for `check_grads`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.keras_variables import native


def variables(owner: object) -> dict[str, Any]:
    """The floating trainable variables of a module or layer, by Keras' path or TensorFlow's name; none of others."""
    if isinstance(owner, type):
        return {}
    if not isinstance(owner, tf.Module) and not hasattr(owner, "trainable_weights"):  # Keras 3 layers may be no modules
        return {}
    found: dict[str, Any] = {}
    for variable in getattr(owner, "trainable_variables", ()):
        inner = native(variable)
        if isinstance(inner, tf.Variable) and (inner.dtype.is_floating or inner.dtype.is_complex):
            found[_free(str(getattr(variable, "path", variable.name)).partition(":")[0], found)] = inner
    return found


def _free(name: str, taken: dict[str, Any]) -> str:
    """A name of its own: TensorFlow gives two variables the same."""
    numbered = (f"{name} ({number})" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)
