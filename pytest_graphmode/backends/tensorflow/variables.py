"""Variables of TensorFlow and Keras: one taken for the other, what has a gradient, and the trainable ones of a layer.

Called by the modes of TensorFlow. Nothing here imports Keras: who has a variable of its has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf


def native(value: Any) -> Any:
    """The TensorFlow variable inside of a Keras 3 one; anything else as it is."""
    if isinstance(value, (tf.Tensor, tf.Variable)) or not is_keras_variable(value):
        return value
    inner = value.value
    return inner if isinstance(inner, (tf.Variable, tf.Tensor)) else value


def is_dense(value: object) -> bool:
    return isinstance(value, (tf.Tensor, tf.Variable))


def is_differentiable(leaf: Any) -> bool:
    leaf = native(leaf)
    return is_dense(leaf) and (leaf.dtype.is_floating or leaf.dtype.is_complex)


def is_keras_variable(value: object) -> bool:
    cls = getattr(sys.modules.get("keras"), "Variable", None)  # None while Keras is being imported
    return cls is not None and isinstance(value, cls)


def trainable(owner: object) -> dict[str, Any]:
    """The floating trainable variables of a module or layer, by Keras' path or TensorFlow's name; none of others."""
    found: dict[str, Any] = {}
    # Keras 3 layers may be no modules.
    if isinstance(owner, type) or not (isinstance(owner, tf.Module) or hasattr(owner, "trainable_weights")):
        return found
    for variable in getattr(owner, "trainable_variables", ()):
        inner = native(variable)
        if isinstance(inner, tf.Variable) and is_differentiable(inner):
            name = str(getattr(variable, "path", variable.name)).partition(":")[0]
            numbered = (f"{name} ({number})" for number in range(2, len(found) + 3))
            found[next(one for one in (name, *numbered) if one not in found)] = inner  # TensorFlow repeats names
    return found
