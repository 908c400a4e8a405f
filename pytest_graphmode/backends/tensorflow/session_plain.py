"""Plain Python beside a TensorFlow 1 session: the reference of the control-flow checks where NumPy alone won't do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.numpy import NumPyEager
from pytest_graphmode.backends.tensorflow.eager import Eager, TensorFlowMode
from pytest_graphmode.backends.tensorflow.growth import owned

if TYPE_CHECKING:
    from pytest_graphmode.backends.tensorflow.session import Session


class PlainSession(NumPyEager):
    """NumPy values; what TensorFlow's operations and the session's variables make of them is run at once.

    Callbacks end with a run of the session, so that loops and branches are Python's.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def scope(self) -> AbstractContextManager[None]:
        return owned(self._session.graph)

    def is_tensor(self, value: object) -> bool:
        return self._session.is_tensor(value)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return self._session.variable(array, dtype)

    def assign(self, variable: Any, value: Any) -> None:
        if self.assigns:
            self._session.assign(variable, value)

    def is_variable(self, value: object) -> bool:
        return self._session.is_variable(value)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        return self._session.numpy(tensor)

    def callback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: trees.map(self._run, fn(*args))

    def _run(self, leaf: Any) -> Any:
        return self.numpy(leaf) if TensorFlowMode.is_tensor(self._session, leaf) else leaf


class EagerBesideSession(Eager):
    """Eager TensorFlow although a graph is the default one; it can't read the session's variables."""

    @contextmanager
    def scope(self) -> Iterator[None]:
        # Keras leaves graphs by this one too; tf.init_scope stays in a graph that is no function's.
        with tf.__internal__.eager_context.eager_mode(), super().scope():
            yield
