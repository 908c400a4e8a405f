"""The cases of `check_control_flow`: arguments whose numbers are tensors, in any world they are run in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.control_flow.layout import Kind

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_NUMBERS: Final = (bool, int, float, complex, np.ndarray, np.generic)
_FEW: Final = 8


class _Value:
    """The values of a tensor, with its dtype in the variant. No dataclass, since those are trees."""

    def __init__(self, array: np.ndarray[Any, Any], kind: Kind) -> None:
        self.array = array
        self.kind = kind

    def __repr__(self) -> str:
        if self.array.size > _FEW:
            return f"{self.kind.dtype}{self.kind.dimensions}"
        return repr(self.array.tolist())


@dataclass(frozen=True)
class Case:
    """One call: `args` for the variant, and what it takes to make them anew for plain Python.

    `signature` is equal for cases that one graph has to serve.
    """

    number: int
    args: tuple[Any, ...]
    values: tuple[Any, ...]
    signature: Hashable

    def __str__(self) -> str:
        return f"case {self.number} {self.values!r}"

    def made_for(self, mode: Mode) -> tuple[Any, ...]:
        """The arguments as tensors of another mode, new ones each time since functions may write into them."""

        def made(leaf: Any) -> Any:
            return mode.tensor(leaf.array.copy(), leaf.kind.dtype) if isinstance(leaf, _Value) else leaf

        args: tuple[Any, ...] = trees.map(made, self.values)
        return args


def cases_of(handle: Runtime, cases: Sequence[Any]) -> list[Case]:
    """The user's cases.

    Raises:
        ValueError: there are none.
        TypeError: a case is not a tuple of arguments.
    """
    if not len(cases):
        raise ValueError("check_control_flow: cases is empty: give it one tuple of arguments per call")
    return [_case(handle, number, case) for number, case in enumerate(cases, 1)]


def _case(handle: Runtime, number: int, case: Any) -> Case:
    if type(case) not in (tuple, list):
        raise TypeError(
            f"check_control_flow: case {number} is a {type(case).__name__}, not a tuple of arguments: "
            "for one argument write (x,)"
        )
    args = trees.map(lambda leaf: handle.tensor(leaf) if isinstance(leaf, _NUMBERS) else leaf, tuple(case))
    values = trees.map(lambda leaf: _value(handle, leaf), args)
    leaves, spec = trees.flatten(values)
    kinds = tuple(leaf.kind if isinstance(leaf, _Value) else repr(leaf) for leaf in leaves)
    return Case(number, args, values, (spec, kinds))


def _value(handle: Runtime, leaf: Any) -> Any:
    if not handle.mode.is_tensor(leaf):
        return leaf
    return _Value(handle.numpy(leaf), Kind.of(leaf))
