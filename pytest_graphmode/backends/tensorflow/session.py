"""TensorFlow 1's static graphs: placeholders, a session, and nothing that runs before it is asked to.

One graph and one session serve a test. Outside of functions tensors are NumPy arrays, so that a body reads the same as
in the other modes; the test's own TensorFlow 1 code runs in the same graph.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends import tapping, tensor_rule, trees
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.differentiation import require_scalar
from pytest_graphmode.backends.numpy import NumPyEager
from pytest_graphmode.backends.tensorflow.autograph import converted_by_element, shortened
from pytest_graphmode.backends.tensorflow.eager import Eager, TensorFlowMode, gradients_by, sources_of
from pytest_graphmode.backends.tensorflow.graph import Graph
from pytest_graphmode.backends.tensorflow.graph_nodes import measured
from pytest_graphmode.backends.tensorflow.growth import Depth, growth_of, owned
from pytest_graphmode.backends.tensorflow.internals import AutomaticControlDependencies, ag_ctx
from pytest_graphmode.backends.tensorflow.variables import native
from pytest_graphmode.ledger import describe, identity
from pytest_graphmode.ledger.ledger import Argument, BuildReport, Cause, tensor_argument, value_argument
from pytest_graphmode.ledger.watcher import watcher

__tracebackhide__ = True


class Session(Graph):
    """`session` is the tf.compat.v1.Session of the test's graph; both end with the test."""

    name = "session"

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._device_name = device
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph)
        self._building = Depth()
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
        with growth_of(self.graph).own_runs.deeper():
            self._assigns[key](self.numpy(value) if self.is_tensor(value) else value)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        if isinstance(tensor, (np.ndarray, np.generic)):
            return np.array(tensor)
        try:
            with owned(self.graph):
                return np.array(self.run(tf.convert_to_tensor(native(tensor))))
        except tf.errors.InvalidArgumentError:
            if self.inside():  # a placeholder goes into it
                raise tensor_rule.without_value("tf:session") from None
            raise

    def run(self, fetches: Any) -> Any:
        """A run of the plugin's own, which is not a build of the user's."""
        with growth_of(self.graph).own_runs.deeper():
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

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any]:
        return self.function(compute)

    @contextmanager
    def building(self) -> Iterator[AutomaticControlDependencies]:
        """Where the operations of a function are made: effects in the order of the program, AutoGraph on."""
        with (
            self._building.deeper(),
            owned(self.graph),
            self.graph.as_default(),
            tf.device(self.device),
            ag_ctx.ControlStatusCtx(ag_ctx.Status.ENABLED),
            AutomaticControlDependencies() as dependencies,
        ):
            yield dependencies

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        """By tf.gradients, TensorFlow 1's own way."""
        fn = converted_by_element(fn)
        sources = sources_of(fn, args, argnums, variables)
        tapped: list[tapping.Tap] = []
        with tapping.differentiating(tapped):
            value = fn(*sources.args)
        require_scalar(fn, value, super().is_tensor)
        return value, *gradients_by(sources, tapped, lambda tensors: tf.gradients(value, tensors))


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


_HINTS: Final[Mapping[str, str]] = {
    "shape": "a placeholder has one shape here: pad or batch {argument} to one shape, or accept one build per shape",
    "rank": "pass arrays of one rank",
    "dtype": "cast {argument} before the call, or accept one build per dtype",
    "python-value": "pass an array, or accept one build per value",
    "structure": "pass {argument} with the same keys, length and types each time",
    "new-function-object": "make the function once, outside the loop, and call that",
}
_Built = Callable[[Sequence[Any]], Any]


class SessionFunction:
    """Calls build on a new signature and run the session otherwise; results are NumPy arrays."""

    def __init__(self, mode: Session, fn: Callable[..., Any]) -> None:
        self._mode = mode
        self._fn = fn
        self._built: dict[Hashable, _Built] = {}
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._call(args, kwargs)
        except Exception as error:
            raise shortened(error)  # noqa: B904 - the same error

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._mode.inside():
            return converted_by_element(self._fn)(*args, **kwargs)
        leaves, spec = trees.flatten((args, kwargs))
        leaves = [self._mode.numpy(leaf) if isinstance(leaf, tf.Tensor) else leaf for leaf in leaves]
        key = (spec, *map(_signature, leaves))
        try:
            if key not in self._built:
                self._built[key] = self._build(leaves, spec)
            with growth_of(self._mode.graph).own_runs.deeper():
                result = self._built[key]([leaf for leaf in leaves if _is_fed(leaf)])
        finally:
            watcher.call("tf", "session", self.__name__)
        return tapping.received(result, self._mode.untappable)

    def _build(self, leaves: list[Any], spec: Any) -> _Built:
        """The graph of a signature, made again where making it created variables, as tf.function does too.

        The operations that initialize a variable would otherwise run with the function's every call.
        """
        built, made = self._reported(leaves, spec, ())
        if not made:
            return built
        self._mode.run([variable.initializer for variable in made])
        built, again = self._reported(leaves, spec, (Cause("variable-creation"),))
        if again:
            raise ValueError(
                f"{self.__name__} creates variables whenever it is built: create them once, outside of the function or "
                "behind a test that they are not there yet"
            )
        return built

    def _reported(self, leaves: list[Any], spec: Any, causes: tuple[Cause, ...]) -> tuple[_Built, list[Any]]:
        """Make the operations, and report the build whether or not it succeeds; returns the variables made too."""
        graph, found = self._mode.graph, identity.of(self._fn, owner=self)
        args, kwargs = trees.unflatten(spec, leaves)
        described = tuple(_arguments(self._fn, args, kwargs))
        before, start = len(graph.get_operations()), time.perf_counter()
        report = BuildReport("tf", "session", found, described, causes=causes, hints=_HINTS, failed=True, began=start)
        try:
            built = self._made(leaves, spec)
            report = replace(report, failed=False)
            return built
        finally:
            report = replace(report, seconds=time.perf_counter() - start, call_site=identity.call_site())
            watcher.build(measured(report, graph, watcher, graph.get_operations()[before:]))

    def _made(self, leaves: list[Any], spec: Any) -> tuple[_Built, list[Any]]:
        known = {variable.ref() for variable in tf.compat.v1.global_variables()}
        with self._mode.building() as dependencies:
            given = [tf.compat.v1.placeholder(leaf.dtype, leaf.shape) if _is_fed(leaf) else leaf for leaf in leaves]
            args, kwargs = trees.unflatten(spec, given)
            with tapping.collecting(self._mode.graph) as frame:
                returned = converted_by_element(self._fn)(*args, **kwargs)
                result = frame.carried(returned)
            results, result_spec = trees.flatten(result)
            fetched = {
                index: dependencies.mark_as_return(tf.convert_to_tensor(leaf))
                for index, leaf in enumerate(results)
                if isinstance(leaf, (tf.Tensor, tf.Variable, tf.IndexedSlices))
            }
        if self._mode.placement is not None:  # checked while they are symbolic, since they come as NumPy arrays
            self._mode.placement.require(self._mode, returned, f"what {self.__name__} returned")
        with self._mode.building():  # the effects alone run where nothing is returned
            fetches = list(fetched.values()) or tf.group(*dependencies.ops_which_must_run)
        fed = [one for one, leaf in zip(given, leaves, strict=True) if _is_fed(leaf)]
        run = self._mode.session.make_callable(fetches, fed)

        def built(feeds: Sequence[Any]) -> Any:
            values = dict(zip(fetched, run(*feeds) or (), strict=True))
            return trees.unflatten(result_spec, [values.get(index, leaf) for index, leaf in enumerate(results)])

        return built, [variable for variable in tf.compat.v1.global_variables() if variable.ref() not in known]


def _is_fed(leaf: object) -> bool:
    return isinstance(leaf, (np.ndarray, np.generic))


def _signature(leaf: Any) -> Hashable:
    """What a graph is kept by: dtype and shape of arrays, variables by object, Python values by value."""
    if _is_fed(leaf):
        return ("array", leaf.dtype, leaf.shape)
    if isinstance(leaf, tf.Variable):
        return ("variable", leaf.ref())
    return ("value", type(leaf), leaf if isinstance(leaf, Hashable) else identity.token(leaf))


def _arguments(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Argument]:
    """The leaves of a call's arguments by parameter and path."""
    try:
        bound = inspect.signature(fn).bind(*args, **kwargs)
        bound.apply_defaults()
        named: Mapping[str, Any] = bound.arguments
    except (TypeError, ValueError):  # the call itself says what is wrong with it; some callables have no signature
        named = {**{f"args[{index}]": value for index, value in enumerate(args)}, **kwargs}
    for path, leaf in [pair for name, value in named.items() for pair in trees.paths(value, name)]:
        is_variable = isinstance(leaf, tf.Variable)
        if is_variable or _is_fed(leaf):
            kind = "Variable" if is_variable else ""
            yield tensor_argument(path, describe.dtype_name(leaf), describe.shape_of(leaf), type_name=kind)
        else:
            yield value_argument(path, leaf)
