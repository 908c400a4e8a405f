"""TensorFlow 1's static graphs: placeholders, a session, and nothing that runs before it is asked to.

One graph and one session serve a test. Outside of functions tensors are NumPy arrays, so that a body reads the same as
in the other modes; the test's own TensorFlow 1 code runs in the same graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.differentiation import require_scalar
from pytest_graphmode.backends.numpy import NumPyEager
from pytest_graphmode.backends.tensorflow import tape
from pytest_graphmode.backends.tensorflow.autograph import converted_by_element
from pytest_graphmode.backends.tensorflow.eager import Eager, TensorFlowMode
from pytest_graphmode.backends.tensorflow.graph import Graph
from pytest_graphmode.backends.tensorflow.growth import growth_of, owned
from pytest_graphmode.backends.tensorflow.internals import AutomaticControlDependencies, ag_ctx
from pytest_graphmode.backends.tensorflow.session_function import SessionFunction
from pytest_graphmode.backends.tensorflow.variables import native

__tracebackhide__ = True


class _Building(threading.local):
    depth = 0


class Session(Graph):
    """`session` is the tf.compat.v1.Session of the test's graph; both end with the test."""

    name = "session"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._device_name = device
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph)
        self._building = _Building()
        self._assigns: dict[Any, Callable[..., Any]] = {}

    @contextmanager
    def scope(self) -> Iterator[None]:
        with closing(self.session), self.graph.as_default(), tf.device(self.device):
            yield

    def inside(self) -> bool:
        return self._building.depth > 0

    # Values: NumPy arrays outside of functions, symbolic tensors inside.

    def is_tensor(self, value: object) -> bool:
        return isinstance(value, (np.ndarray, np.generic)) or super().is_tensor(value)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        if self.inside():
            return super().tensor(array, dtype)
        return np.array(array, dtype=tf.as_dtype(dtype).as_numpy_dtype)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        with owned(self.graph):
            made = tf.Variable(np.array(array, dtype=tf.as_dtype(dtype).as_numpy_dtype))
            self.run(made.initializer)
        return made

    def assign(self, variable: Any, value: Any) -> None:
        variable = native(variable)
        if self.inside():
            variable.assign(value)
            return
        key = variable.ref()
        if key not in self._assigns:
            with owned(self.graph):
                fed = tf.compat.v1.placeholder(variable.dtype, variable.shape)
                self._assigns[key] = self.session.make_callable(variable.assign(fed).op, [fed])
        with growth_of(self.graph).own_run():
            self._assigns[key](self.numpy(value) if self.is_tensor(value) else value)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        if isinstance(tensor, (np.ndarray, np.generic)):
            return np.array(tensor)
        with owned(self.graph):
            return np.array(self.run(tf.convert_to_tensor(native(tensor))))

    def run(self, fetches: Any) -> Any:
        """A run of the plugin's own, which is not a build of the user's."""
        with growth_of(self.graph).own_run():
            return self.session.run(fetches)

    # Functions.

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        if options:
            raise TypeError(f"a function in a TensorFlow 1 session takes no options, got {', '.join(options)}")
        return SessionFunction(self, fn)

    def callback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return converted_by_element(fn)

    def plain_modes(self, eager: Mode) -> Sequence[Mode]:
        return _PlainSession(self), _EagerBesideSession(self._device_name)

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any] | None:
        return self.function(compute)

    @contextmanager
    def building(self) -> Iterator[AutomaticControlDependencies]:
        """Where the operations of a function are made: effects in the order of the program, AutoGraph on."""
        self._building.depth += 1
        try:
            with (
                owned(self.graph),
                self.graph.as_default(),
                tf.device(self.device),
                ag_ctx.ControlStatusCtx(ag_ctx.Status.ENABLED),
                AutomaticControlDependencies() as dependencies,
            ):
                yield dependencies
        finally:
            self._building.depth -= 1

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        """By tf.gradients, TensorFlow 1's own way."""
        fn = converted_by_element(fn)
        sources = tape.sources_of(fn, args, argnums, variables)
        value = fn(*sources.args)
        require_scalar(fn, value, super().is_tensor)
        return value, *sources.arranged(map(tape.dense, tf.gradients(value, sources.tensors)))


class _PlainSession(NumPyEager):
    """Plain Python on NumPy values; what TensorFlow's operations and the session's variables make is run at once.

    Callbacks end with a run of the session, so that loops and branches are Python's.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def scope(self) -> AbstractContextManager[None]:
        return owned(self._session.graph)

    def is_tensor(self, value: object) -> bool:
        return self._session.is_tensor(value)

    def is_variable(self, value: object) -> bool:
        return self._session.is_variable(value)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return self._session.variable(array, dtype)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        return self._session.numpy(tensor)

    def assign(self, variable: Any, value: Any) -> None:
        if self.assigns:
            self._session.assign(variable, value)

    def callback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: trees.map(self._run, fn(*args))

    def _run(self, leaf: Any) -> Any:
        return self.numpy(leaf) if TensorFlowMode.is_tensor(self._session, leaf) else leaf


class _EagerBesideSession(Eager):
    """Eager TensorFlow although a graph is the default one; it can't read the session's variables."""

    @contextmanager
    def scope(self) -> Iterator[None]:
        # Keras leaves graphs by this one too; tf.init_scope stays in a graph that is no function's.
        with tf.__internal__.eager_context.eager_mode(), super().scope():
            yield
