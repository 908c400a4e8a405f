"""What a traced function, its arguments and its graph look like in a ledger. Called by `tracing.py`."""

from __future__ import annotations

import enum
import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import jax

from pytest_graphmode.backends.jax.structure import Structure
from pytest_graphmode.backends.jax.variables import VARIABLES
from pytest_graphmode.backends.jax.wrappers import JAX, Call, of_jax
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.ledger import Condition

_BACKEND: Final = str(Path(__file__).parent)
# What JAX's functions are called by within JAX, where the name says nothing to its users.
_TRANSFORMATIONS: Final[Mapping[str, str]] = {"jacfun": "jacobian", "fun_remat": "checkpoint"}
_CALLS: Final = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def identity_of(call: Call, traced: Callable[..., Any], construct: str = "") -> identity.Identity:
    """The identity of the function that is called where JAX traces `traced`, for jax.jit or a construct like `scan`.

    JAX's transformations are looked through: `vmap(grad(loss))`.
    """
    inner, roles = call.function, [call.maker or construct]
    while getattr(inner, "__graphmode_subject__", None) is None and of_jax(inner):
        wrapped = getattr(inner, "__wrapped__", None)
        if not callable(wrapped):
            break
        roles.append(_transformation(inner))
        inner = wrapped
    return identity.of(inner, owner=traced, role=" ".join(filter(None, roles)))


def is_internal(found: identity.Identity) -> bool:
    """Whether a function is JAX's own, such as the jitted functions of jax.numpy, or of this backend."""
    return found.file.startswith((JAX, _BACKEND, "jax.", "jaxlib."))


def is_dispatch(function: Callable[..., Any]) -> bool:
    """Whether a function is what JAX makes of a single operation that runs eagerly: no function of anybody's."""
    return of_jax(function) and str(getattr(function, "__code__", "")).find("dispatch.py") >= 0


def _transformation(wrapper: Callable[..., Any]) -> str:
    """`grad` for the `grad_f` that jax.grad makes, and wraps to shorten tracebacks; nothing for a jit within a jit."""
    if not isinstance(wrapper, FunctionType):
        return ""
    cells = [cell.cell_contents for cell in wrapper.__closure__ or ()]
    inner = [part for part in cells if isinstance(part, FunctionType) and part is not wrapper.__wrapped__]  # type: ignore[attr-defined]
    made = next(filter(of_jax, inner), wrapper)
    outer, inside, _ = str(getattr(made.__code__, "co_qualname", "")).partition(".<locals>.")  # Python 3.11
    name = outer.lstrip("_") if inside else str(made.__code__.co_name)
    return _TRANSFORMATIONS.get(name, name).removesuffix("_f").removesuffix("_fun")


def structure_of(call: Call, static: Callable[[int, str], bool]) -> Structure:
    """The arguments of a call by their names; `static` says of a parameter's number and name whether it is static."""
    found = Structure()
    names = positional_names(call.function)
    passed = list(_named(names, _rest_of(call.function), call.args, call.kwargs))
    given = {name for _, name, _ in passed}
    for number, name, value in passed:
        if name in names:
            found.form[name] = "by keyword" if number < 0 else "by position"
        if static(number, name):
            found.add_static(name, value)
        else:
            found.add_tree(name, value)
    for name, value in _defaults(call.function).items():
        if name not in given:
            found.form[name] = "left out"
            found.add_default(name, value, is_static=static(names.index(name) if name in names else -1, name))
    return found


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The values of parameters that a call may leave out, without those that a partial gave: they are part of it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    inner = inspect.unwrap(function)
    apart = {VARIABLES, *(inner.keywords if isinstance(inner, functools.partial) else ())}
    return {one.name: one.default for one in parameters if one.default is not one.empty and one.name not in apart}


def _rest_of(function: Callable[..., Any]) -> str:
    """What a function calls the tuple of its other positional arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "args"
    return next((one.name for one in parameters if one.kind is one.VAR_POSITIONAL), "args")


def _named(
    names: Sequence[str], rest: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[int, str, Any]]:
    """Number, name and value of each argument; -1 for those passed by keyword."""
    for number, value in enumerate(args):
        yield number, names[number] if number < len(names) else f"{rest}[{number - len(names)}]", value
    for name, value in kwargs.items():
        if name != VARIABLES:
            yield -1, name, value


def positional_names(function: Callable[..., Any]) -> list[str]:
    """The names of the positional parameters of a function, or of what it wraps."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def conditions() -> tuple[Condition, ...]:
    """JAX's configuration, context managers included."""
    values = {name: getattr(jax.config, name, None) for name in jax.config.values}
    found = [Condition("global-state", f"jax.config.{name}", _setting(value)) for name, value in values.items()]
    return (*found, Condition("global-state", "the mesh of jax.set_mesh", _mesh()))


def _mesh() -> str:
    """The mesh that is set around the call; "none" too for versions of JAX that have no such mesh."""
    current = getattr(jax.sharding, "get_abstract_mesh", None)
    mesh = None if current is None else current()
    if mesh is None or mesh.empty:
        return "none"
    return ", ".join(f"{name}: {size}" for name, size in mesh.shape.items())


def _setting(value: Any) -> str:
    """A value of the configuration as its user would set it."""
    return repr(value.value if isinstance(value, enum.Enum) else value)


def context() -> int:
    """A number for all that JAX looks graphs up by besides arguments and configuration: meshes, axes, contexts.

    It is private: what of it is public is in `conditions`.
    """
    found = getattr(sys.modules.get("jax._src.config"), "trace_context", None)
    try:
        return 0 if found is None else hash(found())
    except TypeError:
        return 0


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a graph and of the graphs in it: bodies of loops, branches, called functions."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in _graphs(value):
                yield from equations(inner)


def _graphs(value: Any) -> Iterator[Any]:
    if hasattr(value, "eqns"):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _graphs(part)


def operations(jaxpr: Any) -> dict[str, int]:
    """The operations of a graph by JAX's names; a call of a function counts as what is in it."""
    names = (equation.primitive.name for equation in equations(jaxpr))
    return dict(Counter(name for name in names if name not in _CALLS))


def control_flow(jaxpr: Any) -> dict[str, int]:
    """How many loops and branches a graph has: `while`, `scan`, `cond` (two branches) and `switch` (more)."""
    return dict(Counter(kind for equation in equations(jaxpr) if (kind := _kind(equation)) is not None))


def _kind(equation: Any) -> str | None:
    name = equation.primitive.name
    if name == "cond":
        return "cond" if len(equation.params["branches"]) <= 2 else "switch"
    return name if name in ("while", "scan") else None
