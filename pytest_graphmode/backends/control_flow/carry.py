"""What a loop may do to its variables: change their values, never their structure, dtype or shape.

One text for every backend, raised before the framework sees the values. Called by `operators.py` on the result of every
body, and by the primitives that stack or merge results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.control_flow.layout import Kind, Layout, pack

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode

__tracebackhide__ = True  # in failures, the user's frames are of interest

_NUMBERS = (bool, int, float, complex, np.ndarray, np.generic)


class LoopCarry:
    """The variables that one loop carries; `operator` and `callback` are for messages: `while_loop`, `body`."""

    def __init__(self, mode: Mode, operator: str, callback: str, layout: Layout, state: Sequence[Any]) -> None:
        self.mode, self.operator, self.callback, self.layout = mode, operator, callback, layout
        self.kinds = tuple([Kind.of(tensor) for tensor in state])
        self.native = tuple([(type(tensor), tensor.dtype, tensor.shape) for tensor in state])

    def tensors(self, result: Any) -> tuple[Any, ...]:
        """The new values of the loop variables as a flat tuple; numbers and arrays get the variable's dtype.

        Raises:
            ValueError: a variable changed its shape, or all of them their structure.
            TypeError: a variable changed its dtype, or is no number any more.
        """
        quickly = self._unchanged(result)
        if quickly is not None:
            return quickly
        leaves, spec = trees.flatten(result)
        if spec != self.layout.spec:
            raise ValueError(self._structure_changed(result))
        for path, there, leaf in zip(self.layout.paths, self.layout.present, leaves, strict=True):
            if there != (leaf is not None):
                change = "a tensor -> None" if there else f"None -> {type(leaf).__name__}"
                where = f"{self.operator}: {path} changed in {self.callback}"
                raise ValueError(f"{where}, {change}: return a value for it every time")
        values = [leaf for leaf in leaves if leaf is not None]
        return tuple([self._leaf(*of) for of in zip(self.layout.tensor_paths, values, self.kinds, strict=True)])

    def _unchanged(self, result: Any) -> tuple[Any, ...] | None:
        """The tensors of the usual result, which has the types, dtypes and shapes that the loop began with."""
        shortcut = self.layout.shortcut
        if shortcut is None or (shortcut is tuple and type(result) is not tuple):
            return None
        tensors = result if shortcut is tuple else (result,)
        if len(tensors) != len(self.native):
            return None
        for leaf, (kind, dtype, shape) in zip(tensors, self.native, strict=True):
            if type(leaf) is not kind or leaf.dtype != dtype or leaf.shape != shape:
                return None
        return tuple(tensors)

    def _leaf(self, path: str, leaf: Any, kind: Kind) -> Any:
        if isinstance(leaf, _NUMBERS) and _lossless(leaf, kind.dtype):
            leaf = self.mode.tensor(np.asarray(leaf), kind.dtype)
        if not self.mode.is_tensor(leaf):
            raise TypeError(self._no_tensor(path, leaf, kind))
        same_kind(self.operator, self.callback, path, kind, Kind.of(leaf))
        return leaf

    def _no_tensor(self, path: str, leaf: Any, kind: Kind) -> str:
        what = f"{kind.dtype} -> the Python {type(leaf).__name__} {leaf!r}"
        if isinstance(leaf, _NUMBERS):
            return (
                f"{self.operator}: {path} changed dtype in {self.callback}, {what}: "
                f"start with a value of that kind, or round it to {kind.dtype}"
            )
        return f"{self.operator}: {path} changed in {self.callback}, {what}: return tensors, numbers or NumPy arrays"

    def _structure_changed(self, result: Any) -> str:
        head = f"{self.operator}: {self.callback} changed the structure of {self.layout.root}"
        if result is None:
            return f"{head}: it returned None; return the new value of every loop variable"
        there = [path for path, _ in trees.paths(result, self.layout.root)]
        missing = [path for path in self.layout.paths if path not in there]
        extra = [path for path in there if path not in self.layout.paths]
        changes = [
            f"{', '.join(paths)} {what}" for paths, what in ((missing, "is missing"), (extra, "is new")) if paths
        ]
        before = trees.structure(self.layout.unpack([0] * sum(self.layout.present)))
        return (
            f"{head}, {before} -> {trees.structure(result)}{': ' if changes else ''}{' and '.join(changes)}; "
            "return every loop variable in the nesting it was given in"
        )


def same_kind(operator: str, callback: str, path: str, before: Kind, after: Kind) -> None:
    """Raise unless a value kept its dtype and shape."""
    if after.dtype != before.dtype:
        raise TypeError(
            f"{operator}: {path} changed dtype in {callback}, {before.dtype} -> {after.dtype}: cast it back with "
            f"graphmode.xp.astype(value, '{before.dtype}'), or start with {after.dtype}"
        )
    if not before.fits(after):
        raise ValueError(
            f"{operator}: {path} changed shape in {callback}, {before.dimensions} -> {after.dimensions}: a loop "
            "variable keeps its shape; start with the final shape and fill it in, or collect values with scan"
        )


class BranchResults:
    """What the branches of one operator return, as flat tuples, and the tree that they all have in common.

    `tensor` makes a tensor of a leaf.
    """

    def __init__(self, operator: str, tensor: Callable[[Any], Any]) -> None:
        self._operator = operator
        self._tensor = tensor
        self._first: tuple[str, Any] | None = None
        self._layout: Layout | None = None

    def flat(self, name: str, result: Any) -> tuple[Any, ...]:
        """The tensors of what the branch of this name returned.

        Raises:
            ValueError: it is a tree of another structure than that of the branches before.
            TypeError: its tensors have other dtypes.
        """
        if self._first is None:
            self._first = name, result
        _same_results(self._operator, *self._first, name, result)
        self._layout, tensors = pack(result, "result", self._tensor)
        return tensors

    def unpack(self, outputs: Sequence[Any]) -> Any:
        """The tree of the outputs of the operator; those of branches that return no tensor stand for nothing."""
        assert self._layout is not None
        return self._layout.unpack(outputs if self._layout.tensor_paths else [])


def _same_results(operator: str, name: str, first: Any, other_name: str, other: Any) -> None:
    """Raise unless two branches returned trees of one structure whose tensors have the same dtypes."""
    (layout, tensors), (other_layout, others) = pack(first, "result"), pack(other, "result")
    if (layout.spec, layout.present) != (other_layout.spec, other_layout.present):
        raise ValueError(
            f"{operator}: {name} and {other_name} return different structures, {_shape_of(first)} and "
            f"{_shape_of(other)}: every branch returns the same tree of tensors"
        )
    for path, mine, theirs in zip(layout.tensor_paths, tensors, others, strict=True):
        kinds = Kind.of(mine), Kind.of(theirs)
        if kinds[0].dtype != kinds[1].dtype:
            raise TypeError(
                f"{operator}: {name} and {other_name} return different dtypes at {path}, {kinds[0].dtype} and "
                f"{kinds[1].dtype}: cast one of them, graphmode.xp.astype(value, '{kinds[0].dtype}')"
            )


def same_steps(operator: str, callback: str, steps: Sequence[Any]) -> None:
    """Raise unless every step of a scan returned the same kind of tree."""
    layout, first = pack(steps[0], "y")
    for step in steps[1:]:
        other, tensors = pack(step, "y")
        if (other.spec, other.present) != (layout.spec, layout.present):
            raise ValueError(
                f"{operator}: y changed its structure in {callback}, {_shape_of(steps[0])} -> {_shape_of(step)}: "
                "return the same tree for every x"
            )
        for path, before, after in zip(layout.tensor_paths, first, tensors, strict=True):
            same_kind(operator, callback, path, Kind.of(before), Kind.of(after))


def _shape_of(tree: Any) -> str:
    return "None" if tree is None else trees.structure(tree)


def _lossless(leaf: Any, dtype: str) -> bool:
    """Whether a number may become the loop variable's dtype: any precision, but no float in an integer."""
    wanted = _RANKS.index(_kind(dtype))
    if isinstance(leaf, (np.ndarray, np.generic)):
        return _RANKS.index(_kind(leaf.dtype.name)) <= wanted
    return _RANKS.index(type(leaf).__name__) <= wanted


_RANKS: Final = ("bool", "int", "float", "complex")


def _kind(dtype: str) -> str:
    return next(kind for kind in _RANKS if kind in dtype)
