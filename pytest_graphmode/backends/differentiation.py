"""What every backend asks of a function and its arguments before it differentiates: one wording for all of them.

Called by the `value_and_grad` of each mode, and by the handle for the positions of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.lacking import ComplexValueError
from pytest_graphmode.ledger import describe

__tracebackhide__ = True  # in failures, the user's frames are of interest


def name_of(fn: Callable[..., Any]) -> str:
    """A function's name as messages give it; partials by the function they wrap."""
    named = getattr(fn, "func", fn)
    return getattr(named, "__name__", type(named).__name__)


def positions_of(argnums: int | Sequence[int]) -> tuple[int, ...]:
    """The positions to differentiate by.

    Raises:
        TypeError: `argnums` is neither an int nor a sequence of them.
        ValueError: a position is negative or stands twice.
    """
    positions = (argnums,) if isinstance(argnums, int) else argnums
    if not isinstance(positions, (tuple, list)) or not all(type(position) is int for position in positions):
        raise TypeError(f"argnums must be the position of an argument or a tuple of positions, not {argnums!r}")
    if any(position < 0 for position in positions):
        raise ValueError(f"argnums={argnums!r}: positions are counted from 0, the first argument; none is negative")
    if len(set(positions)) < len(positions):
        raise ValueError(f"argnums={argnums!r} names one argument twice: give each position once")
    return tuple(positions)


def require_arguments(fn: Callable[..., Any], args: Sequence[Any], positions: Sequence[int]) -> None:
    for position in positions:
        if position >= len(args):
            given = f"{len(args)} positional argument{'s' if len(args) != 1 else ''}"
            raise ValueError(
                f"argnums={position}: {name_of(fn)} was called with {given}; positions are counted from 0, and "
                "keyword arguments are not differentiated"
            )


class Sources:
    """What a function is differentiated by: the floating leaves of some of its arguments, and variables.

    `args` are the arguments with those leaves prepared for it, `tensors` the leaves and variables that can have a
    gradient.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any],
        argnums: Sequence[int],
        variables: Sequence[Any],
        differentiable: Callable[[Any], bool],
        prepared: Callable[[Any], Any],
    ) -> None:
        """Take the arguments apart.

        Raises:
            TypeError: an argument, or the variables, have nothing to differentiate by.
        """
        self.args = list(args)
        self.tensors: list[Any] = []
        self._parts: list[tuple[int | None, list[Any], list[bool], Any]] = []
        for position in argnums:
            leaves, spec = trees.flatten(args[position])
            flags = require_differentiable(fn, f"argument {position}", leaves, differentiable)
            leaves = [prepared(leaf) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)]
            self.args[position] = trees.unflatten(spec, leaves)
            self._parts.append((position, leaves, flags, spec))
        if variables:
            flags = require_differentiable(fn, "the variables", variables, differentiable)
            self._parts.append((None, list(variables), flags, None))
        for _, leaves, flags, _ in self._parts:
            self.tensors += [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag]

    def with_tensors(self, tensors: Iterable[Any]) -> list[Any]:
        others, args = iter(tensors), list(self.args)
        for position, leaves, flags, spec in self._parts:
            if position is not None:
                given = [next(others) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)]
                args[position] = trees.unflatten(spec, given)
        return args

    def arranged(self, gradients: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        """Gradients of `tensors` as trees like the arguments, and as a list like the variables; None elsewhere."""
        found = iter(gradients)
        of_args, of_variables = [], []
        for position, _, flags, spec in self._parts:
            leaves = [next(found) if flag else None for flag in flags]
            if position is None:
                of_variables = leaves
            else:
                of_args.append(trees.unflatten(spec, leaves))
        return of_args, of_variables


def require_differentiable(
    fn: Callable[..., Any], argument: str, leaves: Sequence[Any], differentiable: Callable[[Any], bool]
) -> list[bool]:
    """Which leaves of `argument 0`, or of `the variables`, can have a gradient; TypeError where none can."""
    flags = [differentiable(leaf) for leaf in leaves]
    if True in flags:
        return flags
    found = ", ".join(describe.leaf(leaf) for leaf in leaves[:3]) + (", ..." if len(leaves) > 3 else "")
    raise TypeError(
        f"{name_of(fn)} can't be differentiated by {argument}: a floating or complex tensor is needed, there is only "
        f"{found or 'an empty container'}. Pass a floating array or graphmode.tensor(...), or choose another argument "
        "with argnums"
    )


def require_scalar(fn: Callable[..., Any], value: Any, is_tensor: Callable[[object], bool]) -> None:
    """Raise ValueError unless a function's value is a real floating scalar tensor."""
    fault = _fault(value, is_tensor)
    if fault is not None:
        made = ComplexValueError if fault.endswith(_TAKE_REAL) else ValueError
        raise made(f"a gradient needs a function that returns one real scalar tensor; {name_of(fn)} {fault}")


_TAKE_REAL = "take its real part or its absolute value"


def _fault(value: Any, is_tensor: Callable[[object], bool]) -> str | None:
    if not is_tensor(value):
        found = f"a {type(value).__name__}" if isinstance(value, (tuple, list, dict)) else describe.leaf(value)
        return f"returned {found}: return a tensor computed from the arguments, and only that"
    dtype = describe.dtype_name(value)
    if dtype.startswith("complex"):
        return f"returned {describe.leaf(value)}: {_TAKE_REAL}"
    if "float" not in dtype:
        return f"returned {describe.leaf(value)}, which has no gradient: return a floating tensor"
    if describe.shape_of(value):
        return f"returned {describe.leaf(value)}: reduce it, for example with graphmode.xp.sum or graphmode.xp.mean"
    return None
