"""The backend, mode and dtype in use: tensors, conversion, functions and gradients of one variant.

The handle forwards to it, and checks work with it. Checks also change it for a block: to another dtype, or to plain
Python as a reference.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import calls, layers, tapping, tensor_rule, trees
from pytest_graphmode.backends.base import Backend, Mode
from pytest_graphmode.backends.differentiation import positions_of, require_arguments
from pytest_graphmode.backends.mode_options import options_for, refused
from pytest_graphmode.backends.patching import changed
from pytest_graphmode.ledger import describe, identity

if TYPE_CHECKING:
    from pytest_graphmode.backends.layers import Layer
    from pytest_graphmode.backends.placement import Placement
    from pytest_graphmode.checks.tolerances import Table
    from pytest_graphmode.ledger.recorder import Recorder
    from pytest_graphmode.select.variants import Variant

__tracebackhide__ = True

_NUMERIC = ("bool", "int", "uint", "float", "bfloat", "complex")


class Runtime:
    """How one variant of a test runs; methods with the names of the handle's do what those document.

    Attributes:
        variant: what the test was selected to run as; it stays while a check changes the rest for a block.
        backend: the framework in use.
        mode: how it runs functions.
        dtype: the name of the floating dtype in use: the variant's, or float64 inside of `check_grads`.
        recorder: what counts the eager calls of the test.
        rng: the test's own random numbers.
        tolerances: the project's table for comparisons.
        ending: what is to be undone when the test ends.
        keys: the names of all backends and of their modes, `tf` and `tf_graph`.
        placement: where results must be; None where they can be nowhere else.
    """

    def __init__(
        self,
        variant: Variant,
        backend: Backend,
        mode: Mode,
        recorder: Recorder,
        *,
        rng: np.random.Generator,
        tolerances: Table | None = None,
        keys: Sequence[str] = (),
        placement: Placement | None = None,
    ) -> None:
        self.variant = variant
        self.backend = backend
        self.mode = mode
        self.dtype = variant.dtype
        self.recorder = recorder
        self.rng = rng
        self.tolerances: Table = tolerances or {}
        self.keys = keys
        self.ending = ExitStack()
        if hasattr(mode, "hand_on_taps"):
            self.ending.callback(mode.hand_on_taps)
        self.placement = placement
        if placement is not None and hasattr(mode, "placement"):
            mode.placement = placement
        self._xp: Any = None

    @property
    def xp(self) -> Any:
        """NumPy-named functions on this backend's tensors."""
        if self._xp is None:
            self._xp = self.backend.namespace(self.mode.tensor, lambda: self.dtype)
        return self._xp

    @functools.cached_property
    def rng_of_checks(self) -> np.random.Generator:
        """What checks draw from, so that they leave `rng` to the test."""
        return self.rng.spawn(1)[0]

    # Values.

    def tensor(self, value: Any, dtype: str | None = None) -> Any:
        return self._placed(value, dtype, self.mode.tensor, keep=dtype is None)

    def variable(self, value: Any, dtype: str | None = None) -> Any:
        made = self._placed(value, dtype, self.mode.variable, keep=False)
        if self.placement is not None and not self.mode.inside():
            self.placement.require(self.mode, made, "what graphmode.variable made")
        return made

    def _placed(self, value: Any, dtype: str | None, make: Callable[[Any, str], Any], *, keep: bool) -> Any:
        return trees.map(lambda leaf: self._placed_leaf(leaf, dtype, make, keep), value, is_leaf=tensor_rule.is_numbers)

    def _placed_leaf(self, leaf: Any, dtype: str | None, make: Callable[[Any, str], Any], keep: bool) -> Any:
        if self.mode.is_tensor(leaf) and not isinstance(leaf, (np.ndarray, np.generic)):
            if keep:
                return leaf
            leaf = self.mode.numpy(leaf)
        if not tensor_rule.is_array_like(leaf):
            raise tensor_rule.not_made_of(leaf)
        numbers = tensor_rule.python_kind(leaf)
        if numbers is not None:
            return make(*tensor_rule.of_numbers(leaf, numbers, dtype, self.dtype))
        array = np.asarray(leaf)
        found = self.mode.dtype_of(array)
        if not found.startswith(_NUMERIC):
            raise tensor_rule.not_made_of(leaf)
        of_numpy = isinstance(leaf, (np.ndarray, np.generic))
        return make(array, dtype or tensor_rule.dtype_of_array(array, found, of_numpy, self.dtype))

    def assign(self, variable: Any, value: Any) -> None:
        if not self.mode.is_variable(variable):
            raise TypeError(
                f"graphmode.assign sets variables, and it got {describe.leaf(variable)}: make a variable with "
                "graphmode.variable(value), or go on with the new value, since tensors never change"
            )
        tensor_rule.require_integer(value, variable.dtype)
        self.mode.assign(variable, self.converted(value))

    def numpy(self, tree: Any) -> Any:
        """NumPy arrays for every tensor, variable and number of a tree; other leaves stay as they are."""
        return trees.map(self._numpy_leaf, tree)

    def _numpy_leaf(self, leaf: Any) -> Any:
        if self.mode.is_tensor(leaf):
            return self.mode.numpy(leaf)
        return np.asarray(leaf) if isinstance(leaf, (bool, int, float, complex, np.generic)) else leaf

    def converted(self, tree: Any) -> Any:
        """A tree with its NumPy leaves as tensors."""
        if isinstance(tree, np.ndarray):  # most arguments are, and a walk through one takes as long as the conversion
            return self._converted_leaf(tree)
        return trees.map(self._converted_leaf, tree)

    def _converted_leaf(self, leaf: Any) -> Any:
        of_numpy = isinstance(leaf, (np.ndarray, np.generic))
        return self._placed_leaf(leaf, None, self.mode.tensor, keep=True) if of_numpy else leaf

    # Running.

    def require_function(self, what: str, fn: object) -> None:
        """Raise TypeError unless `fn` can be called, or the backend takes models that need not."""
        if self.backend.traces_python and not callable(fn):
            shown = describe.cut(repr(fn))
            raise TypeError(f"{what} takes a function or another callable, not the {type(fn).__name__} {shown}")

    def function(self, fn: Callable[..., Any], options: Mapping[str, Any] | None = None) -> Callable[..., Any]:
        __tracebackhide__ = True
        self.require_function("graphmode.function", fn)
        run = self._run(fn, options or {})
        return run if self.placement is None else self.placement.checked(run, self.mode, identity.of(fn).name, fn)

    def timed(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """What the handle gives out to be called: with its outermost calls timed, where a report asks."""
        return calls.timed(run, self._part_of_a_call, self.recorder, self._wait)

    def _part_of_a_call(self) -> bool:
        """Whether the caller's code is part of a graph, perhaps of one of the user's own, or of an eager call."""
        return (hasattr(self.backend, "tracing") and self.backend.tracing()) or self.mode.inside()

    def _wait(self, result: Any) -> None:
        if hasattr(self.backend, "await_result"):
            self.backend.await_result(result)
        if self.variant.device != "cpu" and hasattr(self.backend, "synchronize"):
            self.backend.synchronize(self.variant.device)

    def _run(self, fn: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
        __tracebackhide__ = True
        run = self._compiled(fn, options)
        if not self.mode.static:
            counter = self.recorder.counter(identity.of(fn), self.variant.backend, self.variant.mode)
            return calls.counted(run, counter, self.mode, self.recorder, self.converted)
        return calls.converting(run, self.converted)

    def _compiled(self, fn: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
        _ = self.xp  # made before a trace: Dynamo refuses to make it inside of a loop or branch
        if self.mode.static and self.backend.traces_python and not getattr(self.mode, "carries_taps", False):
            run = self._made(tapping.carrying(fn), options)
            return lambda *args, **kwargs: tapping.received(run(*args, **kwargs), tapping.untappable)
        return self._made(fn, options)

    def _made(self, fn: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
        if not options:
            return self.mode.function(fn)
        chosen = options_for(self.variant.keys, options, self.keys)
        try:
            return self.mode.function(fn, **chosen)
        except TypeError as error:
            raise refused(str(self.variant), chosen, error, self.keys) from None

    def tap(self, name: str, value: Any) -> Any:
        where = getattr(self.mode, "untappable", tapping.untappable)(name)
        if where is not None:
            raise tapping.refused(name, where)
        hand_on = getattr(self.mode, "tapped", None)
        if hand_on is not None:
            return hand_on(name, value)
        tapping.emit(name, value)
        return value

    def tap_output(self, name: str, output: Any) -> Any:
        """Tap what a layer returned, where that can be done: one in a loop can't be helped."""
        where = getattr(self.mode, "untappable", tapping.untappable)()
        if where is None:
            return self.tap(name, output)
        getattr(self.mode, "leave_out", tapping.leave_out)(name, where)
        return output

    def layers(self, model: Any) -> list[Layer]:
        """The layers of a model; raises TypeError for what has none."""
        if not hasattr(self.mode, "layers"):
            raise layers.unknown(model, "an nn.Module, a Keras model or a tf.Module")
        return self.mode.layers(model)

    def value_and_grad(
        self, fn: Callable[..., Any], argnums: int | Sequence[int], variables: Any, role: str
    ) -> Callable[..., Any]:
        """What the handle's does; `role` is the name that reports give it."""
        self.require_function(f"graphmode.{role}", fn)
        positions = positions_of(argnums)
        if variables is not None and positions != (0,):
            raise ValueError("give argnums or variables, not both: with variables the gradients are those of variables")
        wanted, spec = trees.flatten(variables) if variables is not None else ([], None)

        def computing(fn: Callable[..., Any]) -> Callable[..., Any]:
            def compute(*args: Any, **kwargs: Any) -> Any:
                asked = positions if spec is None else ()
                require_arguments(fn, args, asked)
                bound = functools.partial(fn, **kwargs) if kwargs else fn
                value, grads, of_variables = self.mode.value_and_grad(bound, args, asked, wanted)
                if spec is not None:
                    return value, trees.unflatten(spec, of_variables)
                return value, grads[0] if isinstance(argnums, int) else tuple(grads)

            return compute

        compute = identity.subject(computing(fn), fn, role)
        at_top_level: list[Callable[..., Any]] = []  # made in the first call there

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.mode.inside():
                return compute(*self.converted(args), **self.converted(kwargs))
            if not at_top_level:
                outside = self.mode.differentiates_outside
                at_top_level.append(
                    calls.converting(computing(self._compiled(fn, {})), self.converted)
                    if outside
                    else self._run(compute, {})
                )
            value, grads = at_top_level[0](*args, **kwargs)
            self._require_placed(fn, value, grads)
            return value, grads

        return identity.subject(call, compute)

    def _require_placed(self, fn: Callable[..., Any], value: Any, grads: Any) -> None:
        __tracebackhide__ = True
        if self.placement is not None:
            name = identity.of(fn).name
            self.placement.require(self.mode, value, f"the value of {name}")
            self.placement.require(self.mode, grads, f"the gradient of {name}")

    # Changed for a block.

    @contextmanager
    def using_dtype(self, dtype: str) -> Iterator[None]:
        """Make tensors of another floating dtype in a block.

        Raises:
            UnsupportedError: the backend or device has no such dtype.
        """
        with self.backend.precision(dtype), changed(self, dtype=dtype):
            yield

    def running_as(self, backend: Backend, mode: Mode) -> AbstractContextManager[None]:
        """Run on another backend in a block: the checks' plain Python reference."""
        return changed(self, backend=backend, mode=mode, _xp=None)
