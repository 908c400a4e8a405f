"""What modes share that run Python as it is: loops and branches of the language itself.

Base class of the eager modes of every backend.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import calls, keras_layers, layers, tapping, trees
from pytest_graphmode.backends.control_flow.carry import same_steps
from pytest_graphmode.backends.control_flow.layout import Kind
from pytest_graphmode.backends.names import complex_of
from pytest_graphmode.backends.patching import changed
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger.describe import dtype_name

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode
    from pytest_graphmode.backends.layers import Layer

__tracebackhide__ = True


@contextmanager
def random_kept() -> Iterator[None]:
    """Python's and NumPy's global random numbers go on after the block as if nothing had been drawn in it."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class PythonMode:
    """Operators as Python loops and branches; a subclass adds the tensors, and `stack` for `scan`."""

    name = "eager"
    static = False
    differentiates_outside = False
    assigns = True
    """False while a function runs for the kinds of its results alone, so that `assign` has to do nothing."""

    carries_taps = False
    """Whether `function` brings out what was tapped in a trace; else that is done for it, by trees as results."""

    def scope(self) -> AbstractContextManager[None]:
        return nullcontext()

    def inside(self) -> bool:
        return calls.inside_function()

    def recorded_nodes(self) -> int:
        return 0

    def fingerprint(self, outputs: Any) -> str | None:
        return None

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        if options:
            raise TypeError(f"{self.name} mode takes no options for a function, got {', '.join(options)}")
        return fn

    def differentiable(self, fn: Callable[..., Any], order: int) -> Callable[..., Any]:
        return fn

    def trainable_variables(self, owner: object) -> Mapping[str, Any]:
        return {}

    def holding(
        self, owners: Sequence[object], variables: Mapping[str, Any], dtype: str
    ) -> AbstractContextManager[None]:
        for name, variable in variables.items():
            if dtype_name(variable) not in (dtype, complex_of(dtype)):
                raise UnsupportedError(f"its variable {name} is {dtype_name(variable)} and stays so")
        return nullcontext()

    def joint_graph(self, compute: Callable[..., Any], example: Sequence[Any]) -> Callable[..., Any] | None:
        return self.function(compute) if self.static and not self.differentiates_outside else None

    def callback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn

    def plain_modes(self, eager: Mode) -> Sequence[Mode]:
        return (eager,)

    def undecorated(self) -> AbstractContextManager[None]:
        return nullcontext()

    def operating(self, operator: str, run: Callable[[], Any]) -> Any:
        return tapping.operating(operator, run)

    def untappable(self, tap: str = "") -> str | None:
        return tapping.untappable()

    def tapped(self, name: str, value: Any) -> Any:
        tapping.emit(name, value)
        return value

    def layers(self, model: Any) -> list[Layer]:
        if not keras_layers.is_layer(model):
            raise layers.unknown(model, "an nn.Module, a Keras model or a tf.Module")
        return keras_layers.of(model)

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        while bool(cond(state)):
            state = body(state)
        return state

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        for index in range(int(lower), int(upper)):
            state = body(self.index(index), state)
        return state

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        steps = len(trees.leaves(xs)[0])
        if not steps:
            return init, self._no_steps(f, init, xs)
        carry, outputs = init, []
        for step in range(steps):
            carry, y = f(carry, trees.map(lambda leaf, step=step: leaf[step], xs))
            outputs.append(y)
        same_steps("scan", "f", outputs)
        return carry, trees.map(lambda *leaves: None if leaves[0] is None else self.stack(leaves), *outputs)

    def _no_steps(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> Any:
        """The ys of a scan over nothing: as many axes, of the dtypes, as `f` would return, with no row in them."""
        ys = self.outputs_of(f, init, xs)
        return trees.map(lambda leaf: None if leaf is None else self.rows_of_nothing(leaf), ys)

    def outputs_of(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> Any:
        """What `f` would return as y, for its structure, dtypes and shapes, without anything of it taking effect.

        Here it runs on copies, with `assign` switched off and the random numbers put back; a framework that can trace a
        function without running it does that instead.
        """
        carry = trees.map(lambda leaf: self.tensor(self.numpy(leaf), Kind.of(leaf).dtype), init)
        with changed(self, assigns=False), random_kept(), np.errstate(all="ignore"):
            return f(carry, trees.map(self._row_of_zeros, xs))[1]

    def rows_of_nothing(self, leaf: Any) -> Any:
        """An empty tensor whose rows would be like `leaf`."""
        return self.stack([leaf])[:0]

    def _row_of_zeros(self, leaf: Any) -> Any:
        kind = Kind.of(leaf)
        return self.tensor(np.zeros((kind.shape or ())[1:]), kind.dtype)

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        return (true_fn if bool(pred) else false_fn)(*operands)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def is_tensor(self, value: object) -> bool:
        raise NotImplementedError

    def is_variable(self, value: object) -> bool:
        return self.is_tensor(value)

    def dtype_of(self, array: np.ndarray[Any, Any]) -> str:
        return str(array.dtype.name)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        raise NotImplementedError

    def index(self, value: int) -> Any:
        """A loop counter as this backend's integer scalar."""
        raise NotImplementedError

    def stack(self, leaves: Sequence[Any]) -> Any:
        """Tensors of one shape along a new leading axis."""
        raise NotImplementedError
