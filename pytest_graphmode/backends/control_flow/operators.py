"""The control-flow operators: one meaning for every backend, over the primitives of `backends.base.Mode`.

The handle's `while_loop`, `fori_loop`, `scan`, `cond` and `switch` are calls of an `Operators`. It makes tensors of
numbers, hands the primitives flat tuples of tensors, holds results to the rules of `carry.py`, and runs an operator
that is called at top level as one function of the variant's mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.control_flow.carry import LoopCarry
from pytest_graphmode.backends.control_flow.layout import Kind, Layout, pack
from pytest_graphmode.ledger import identity

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True

Callback = Callable[..., Any]


class Operators:
    """What `graphmode.while_loop` and the rest do: convert arguments, run in the variant's mode, pass trees.

    What runs inside of a graph is written so that Dynamo can trace it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def _mode(self) -> Mode:
        return self._runtime.mode

    def while_loop(self, cond: Callback, body: Callback, loop_vars: Any) -> Any:
        if all(leaf is None for leaf in trees.leaves(loop_vars)):
            raise ValueError("while_loop: loop_vars holds no tensor: carry what the condition depends on")
        spread = type(loop_vars) in (tuple, list)
        if self._at_top_level:
            tensors = self._result("while_loop", loop_vars, "loop_vars")
            return self._call("while_loop", body, lambda loop_vars: self.while_loop(cond, body, loop_vars), tensors)
        layout, state = self._pack("while_loop", loop_vars, "loop_vars")

        def apply(callback: Callback, tree: Any) -> Any:
            return callback(*tree) if spread else callback(tree)

        test, step = self._mode.callback(cond), self._mode.callback(body)
        variables = LoopCarry(self._mode, "while_loop", "body", layout, state)

        def holds(state: Sequence[Any]) -> Any:
            return self._predicate("while_loop", "the result of cond", apply(test, layout.unpack(state)))

        def advance(state: Sequence[Any]) -> tuple[Any, ...]:
            return variables.tensors(_like(loop_vars, apply(step, layout.unpack(state))))

        return layout.unpack(self._run("while_loop", lambda: self._mode.while_loop(holds, advance, state)))

    def fori_loop(self, lower: Any, upper: Any, body: Callback, init: Any) -> Any:
        lower, upper = self._bounds(lower, upper)
        if self._at_top_level:
            return self._call(
                "fori_loop",
                body,
                lambda lower, upper, init: self.fori_loop(lower, upper, body, init),
                self._runtime.tensor(lower),
                self._runtime.tensor(upper),
                self._result("fori_loop", init, "init"),
            )
        layout, state = self._pack("fori_loop", init, "init")
        step = self._mode.callback(body)
        variables = LoopCarry(self._mode, "fori_loop", "body", layout, state)

        def advance(index: Any, state: Sequence[Any]) -> tuple[Any, ...]:
            return variables.tensors(step(index, layout.unpack(state)))

        return layout.unpack(self._run("fori_loop", lambda: self._mode.fori_loop(lower, upper, advance, state)))

    def scan(self, f: Callback, init: Any, xs: Any) -> tuple[Any, Any]:
        if self._at_top_level:
            init, xs = self._result("scan", init, "init"), self._result("scan", xs, "xs")
            found: tuple[Any, Any] = self._call("scan", f, lambda init, xs: self.scan(f, init, xs), init, xs)
            return found
        layout, state = self._pack("scan", init, "init")
        rows, columns = self._pack("scan", xs, "xs")
        _leading(rows, columns)
        step = self._mode.callback(f)
        variables = LoopCarry(self._mode, "scan", "f", layout, state)

        def advance(state: Sequence[Any], row: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
            carry, y = _pair(step(layout.unpack(state), rows.unpack(row)))
            return variables.tensors(carry), self._result("scan", y, "y")

        last, ys = self._run("scan", lambda: self._mode.scan(advance, state, columns))
        return layout.unpack(last), ys

    def cond(self, pred: Any, true_fn: Callback, false_fn: Callback, *operands: Any) -> Any:
        pred = self._predicate("cond", "pred", pred)
        if self._at_top_level:
            return self._call(
                "cond",
                false_fn,
                lambda pred, *operands: self.cond(pred, true_fn, false_fn, *operands),
                self._runtime.tensor(pred),
                *self._result("cond", operands, "operands"),
            )
        layout, tensors = self._pack("cond", operands, "operands")
        branches = [self._branch("cond", layout, branch) for branch in (true_fn, false_fn)]
        if self._decided(pred, bool):
            return self._run("cond", lambda: branches[0 if pred else 1](*tensors))
        return self._run("cond", lambda: self._mode.cond(pred, *branches, *tensors))

    def switch(self, index: Any, branches: Sequence[Callback], *operands: Any) -> Any:
        if not branches:
            raise ValueError("switch: branches is empty: give it one function per index")
        index = self._integer("switch", "index", index)
        if self._at_top_level:
            return self._call(
                "switch",
                branches[-1],
                lambda index, *operands: self.switch(index, branches, *operands),
                self._runtime.tensor(index),
                *self._result("switch", operands, "operands"),
            )
        layout, tensors = self._pack("switch", operands, "operands")
        made = [self._branch("switch", layout, branch) for branch in branches]
        if len(made) == 1 or self._decided(index, int):
            chosen = made[0 if len(made) == 1 else min(max(index, 0), len(made) - 1)]
            return self._run("switch", lambda: chosen(*tensors))
        return self._run("switch", lambda: self._mode.switch(index, made, *tensors))

    # At top level.

    @property
    def _at_top_level(self) -> bool:
        return self._mode.static and not self._mode.inside()

    def _call(self, operator: str, callback: Callback, again: Callback, *operands: Any) -> Any:
        """Call an operator once more, as a function of the mode that is built for this call alone.

        Nobody asked for a function that outlives the call, with what its callbacks read frozen in it.
        """
        return self._runtime.function(identity.subject(again, callback, operator))(*operands)

    def _run(self, operator: str, run: Callable[[], Any]) -> Any:
        """Run an operator as the one that this thread is in."""
        return getattr(self._mode, "operating", tapping.operating)(operator, run)

    # Arguments and results.

    def _pack(self, operator: str, tree: Any, root: str) -> tuple[Layout, tuple[Any, ...]]:
        layout, leaves = pack(tree, root)
        made = [self._tensor(operator, path, leaf) for path, leaf in zip(layout.tensor_paths, leaves, strict=True)]
        return layout, tuple(made)

    def _tensor(self, operator: str, what: str, value: Any) -> Any:
        try:
            return self._runtime.tensor(value)
        except TypeError as error:
            raise TypeError(f"{operator}: {what}: {error}; let the function close over anything else") from None

    def _result(self, operator: str, tree: Any, root: str) -> Any:
        """A tree that a callback returned, its numbers as tensors."""
        layout, tensors = self._pack(operator, tree, root)
        return layout.unpack(tensors)

    def _branch(self, operator: str, layout: Layout, branch: Callback) -> Callback:
        user = self._mode.callback(branch)
        return lambda *tensors: self._result(operator, user(*layout.unpack(tensors)), "result")

    def _decided(self, value: Any, kind: type) -> bool:
        """Whether a Python value decides which branch there is when a graph is built, as in the framework itself."""
        return self._mode.static and isinstance(value, kind)

    def _predicate(self, operator: str, what: str, value: Any) -> Any:
        if isinstance(value, (bool, np.bool_)) and not self._mode.is_tensor(value):
            return bool(value)
        tensor = value if self._mode.is_tensor(value) else self._tensor(operator, what, value)
        kind = Kind.of(tensor)
        if kind == _BOOL:
            return tensor
        if kind.dtype != "bool":
            raise TypeError(f"{operator}: {what} has dtype {kind.dtype}, not bool: compare it with something, `x != 0`")
        if not kind.fits(_SCALAR):
            raise ValueError(
                f"{operator}: {what} has shape {kind.dimensions}, not one bool: reduce it with graphmode.xp.all or "
                "any, or choose element by element with graphmode.xp.where"
            )
        return tensor

    def _integer(self, operator: str, what: str, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        tensor = self._tensor(operator, what, value)
        kind = Kind.of(tensor)
        if "int" not in kind.dtype:
            raise TypeError(f"{operator}: {what} has dtype {kind.dtype}, not an integer: cast it, or round it first")
        if not kind.fits(_SCALAR):
            raise ValueError(f"{operator}: {what} has shape {kind.dimensions}, not one integer: take one element of it")
        return tensor

    def _bounds(self, lower: Any, upper: Any) -> tuple[Any, Any]:
        """Both as Python ints, or both as tensors of one integer dtype."""
        bounds = [self._integer("fori_loop", name, value) for name, value in (("lower", lower), ("upper", upper))]
        dtypes = [Kind.of(bound).dtype for bound in bounds if not isinstance(bound, int)]
        if len(set(dtypes)) > 1:
            raise TypeError(f"fori_loop: lower is {dtypes[0]} and upper {dtypes[1]}: cast one of them")
        if dtypes:
            bounds = [self._runtime.tensor(bound, dtypes[0]) if isinstance(bound, int) else bound for bound in bounds]
        return bounds[0], bounds[1]


_SCALAR, _BOOL = Kind("", ()), Kind("bool", ())


def _like(loop_vars: Any, result: Any) -> Any:
    """A body's result as the loop variables were given: a list for a tuple will do, and x for (x,)."""
    if type(loop_vars) not in (tuple, list):
        return result
    if type(result) in (tuple, list):
        return type(loop_vars)(result)
    return type(loop_vars)((result,)) if len(loop_vars) == 1 else result


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        what = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise ValueError(f"scan: f returned {what}: it returns the new carry and y, `return carry, y` (y may be None)")
    return result[0], result[1]


def _leading(layout: Layout, tensors: Sequence[Any]) -> None:
    """Raise unless all leaves of a scan's xs have leading axes of one length."""
    if not tensors:
        raise ValueError("scan: xs holds no tensor: scan over graphmode.xp.arange(n) to run f n times")
    shapes = {path: Kind.of(tensor).shape for path, tensor in zip(layout.tensor_paths, tensors, strict=True)}
    for path, shape in shapes.items():
        if shape == ():
            raise ValueError(f"scan: {path} is a scalar: scan goes over the leading axis of every leaf of xs")
    lengths = {path: shape[0] for path, shape in shapes.items() if shape and shape[0] is not None}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        raise ValueError(f"scan: the leading axes of xs differ in length: {told}; cut or pad them to one length")
