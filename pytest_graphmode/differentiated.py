"""`graphmode.grad` and `value_and_grad`: a function's gradient as a function of the variant's mode.

Called by the handle, which documents them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_graphmode.backends import calls, trees
from pytest_graphmode.backends.differentiation import positions_of, require_arguments
from pytest_graphmode.backends.mode_options import require_function
from pytest_graphmode.ledger import identity

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle

__tracebackhide__ = True


def value_and_grad(
    handle: Handle, fn: Callable[..., Any], argnums: int | Sequence[int], variables: Any, role: str
) -> Callable[..., Any]:
    """What `Handle.value_and_grad` does; `role` is the name that reports give it."""
    require_function(handle._framework, f"graphmode.{role}", fn)
    positions = positions_of(argnums)
    if variables is not None and positions != (0,):
        raise ValueError("give argnums or variables, not both: with variables the gradients are those of variables")
    wanted, spec = trees.flatten(variables) if variables is not None else ([], None)

    def computing(fn: Callable[..., Any]) -> Callable[..., Any]:
        def compute(*args: Any, **kwargs: Any) -> Any:
            asked = positions if spec is None else ()
            require_arguments(fn, args, asked)
            bound = functools.partial(fn, **kwargs) if kwargs else fn
            value, grads, of_variables = handle._mode.value_and_grad(bound, args, asked, wanted)
            if spec is not None:
                return value, trees.unflatten(spec, of_variables)
            return value, grads[0] if isinstance(argnums, int) else tuple(grads)

        return compute

    def at_top_level() -> Callable[..., Any]:
        if handle._mode.differentiates_outside:
            return calls.converting(computing(handle._compiled(fn)), handle._converted)
        return handle.function(compute)

    compute = identity.subject(computing(fn), fn, role)
    return _at_top_level(handle, compute, at_top_level)


def _at_top_level(
    handle: Handle, compute: Callable[..., Any], make: Callable[[], Callable[..., Any]]
) -> Callable[..., Any]:
    """What `make` makes of `compute` where it is called at top level, `compute` itself inside a function."""
    made: list[Callable[..., Any]] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        if handle._mode.inside():
            return compute(*handle._converted(args), **handle._converted(kwargs))
        if not made:
            made.append(make())
        return made[0](*args, **kwargs)

    return identity.subject(call, compute)
