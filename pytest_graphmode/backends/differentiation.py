"""What every backend asks of a function and its arguments before it differentiates: one wording for all of them.

Called by the `value_and_grad` of each mode, and by the handle for the positions of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_graphmode.backends import trees
from pytest_graphmode.ledger.ledger import tensor_argument

__tracebackhide__ = True  # in failures, the user's frames are of interest


def name_of(fn: Callable[..., Any]) -> str:
    """A function's name as messages give it; partials by the function they wrap."""
    named = getattr(fn, "func", fn)
    return getattr(named, "__name__", type(named).__name__)


def dtype_name(tensor: Any) -> str:
    """`float32` for `torch.float32`, `tf.float32` and NumPy's own."""
    dtype = tensor.dtype
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def describe(value: Any) -> str:
    """`float32[3, 2]` for a tensor, `the Python float 2.0` for anything else."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        text = repr(value)
        return f"the Python {type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
    rank = _rank(value)
    return tensor_argument("", dtype_name(value), None if rank is None else tuple(value.shape)).text


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
    """Raise ValueError where a position has no argument."""
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
        self._specs: list[Any] = []
        self._flags: list[list[bool]] = []
        for position in argnums:
            leaves, spec = trees.flatten(args[position])
            flags = require_differentiable(fn, f"argument {position}", leaves, differentiable)
            leaves = [prepared(leaf) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)]
            self.args[position] = trees.unflatten(spec, leaves)
            self._add(leaves, flags, spec)
        if variables:
            self._add(variables, require_differentiable(fn, "the variables", variables, differentiable), None)

    def _add(self, leaves: Sequence[Any], flags: list[bool], spec: Any) -> None:
        self.tensors += [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag]
        self._flags.append(flags)
        self._specs.append(spec)

    def arranged(self, gradients: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        """Gradients of `tensors` as trees like the arguments, and as a list like the variables; None elsewhere."""
        found = iter(gradients)
        of_args, of_variables = [], []
        for spec, flags in zip(self._specs, self._flags, strict=True):
            leaves = [next(found) if flag else None for flag in flags]
            if spec is None:
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
    found = ", ".join(describe(leaf) for leaf in leaves[:3]) + (", ..." if len(leaves) > 3 else "")
    raise TypeError(
        f"{name_of(fn)} can't be differentiated by {argument}: a floating or complex tensor is needed, there is only "
        f"{found or 'an empty container'}. Pass a floating array or graphmode.tensor(...), or choose another argument "
        "with argnums"
    )


def require_scalar(fn: Callable[..., Any], value: Any, is_tensor: Callable[[object], bool]) -> None:
    """Raise ValueError unless a function's value is a real floating scalar tensor."""
    fault = _fault(value, is_tensor)
    if fault is not None:
        raise ValueError(f"a gradient needs a function that returns one real scalar tensor; {name_of(fn)} {fault}")


def _fault(value: Any, is_tensor: Callable[[object], bool]) -> str | None:
    if not is_tensor(value):
        found = f"a {type(value).__name__}" if isinstance(value, (tuple, list, dict)) else describe(value)
        return f"returned {found}: return a tensor computed from the arguments, and only that"
    dtype = dtype_name(value)
    if dtype.startswith("complex"):
        return f"returned {describe(value)}: take its real part or its absolute value"
    if "float" not in dtype:
        return f"returned {describe(value)}, which has no gradient: return a floating tensor"
    if _rank(value):
        return f"returned {describe(value)}: reduce it, for example with graphmode.xp.sum or graphmode.xp.mean"
    return None


def _rank(tensor: Any) -> int | None:
    """The number of axes, None where a TensorFlow graph does not know it."""
    rank = getattr(tensor.shape, "rank", -1)
    return len(tensor.shape) if rank == -1 else rank
