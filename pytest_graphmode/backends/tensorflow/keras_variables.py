"""The variables of Keras 3, which are objects around TensorFlow's own: taken wherever a tensor or variable is.

Called by the modes of TensorFlow. Nothing here imports Keras: who has a variable of its has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf


def native(value: Any) -> Any:
    """The TensorFlow variable inside of a Keras one; anything else as it is."""
    if isinstance(value, (tf.Tensor, tf.Variable)) or not is_keras_variable(value):
        return value
    inner = value.value
    return inner if isinstance(inner, (tf.Variable, tf.Tensor)) else value


def is_keras_variable(value: object) -> bool:
    cls = getattr(sys.modules.get("keras"), "Variable", None)  # None while Keras is being imported
    return cls is not None and isinstance(value, cls)
