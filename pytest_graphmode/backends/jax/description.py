"""What a traced function, its arguments and its graph look like in a ledger. Called by `tracing.py`."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import jax
import jax.numpy as jnp

from pytest_graphmode import identity
from pytest_graphmode.backends.jax.variables import VARIABLES
from pytest_graphmode.ledger import Argument, Condition, tensor_argument, value_argument

_JAX: Final = str(Path(jax.__file__).parent)
_BACKEND: Final = str(Path(__file__).parent)
_CALLS: Final = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def identity_of(function: Callable[..., Any]) -> identity.Identity:
    """The identity of a function given to jax.jit; JAX's transformations are looked through: `vmap(grad(loss))`."""
    outer, roles = function, []
    while identity.is_library(_file(function)) and callable(getattr(function, "__wrapped__", None)):
        if getattr(function, "__graphmode_subject__", None) is not None:
            break
        roles.append(_transformation(function))
        function = function.__wrapped__  # type: ignore[attr-defined]
    return identity.of(function, owner=outer, role=" ".join(roles))


def is_internal(found: identity.Identity) -> bool:
    """Whether a function is JAX's own, such as the jitted functions of jax.numpy, or of this backend."""
    return found.file.startswith((_JAX, _BACKEND, "jax"))


def _file(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return code.co_filename if code else ""


def _transformation(wrapper: Callable[..., Any]) -> str:
    """`grad` for the `grad_f` that jax.grad makes, and wraps to shorten tracebacks."""
    cells = [cell.cell_contents for cell in wrapper.__closure__ or ()]
    inner = [part for part in cells if isinstance(part, FunctionType) and part is not wrapper.__wrapped__]  # type: ignore[attr-defined]
    made = next((part for part in inner if _file(part).startswith(_JAX)), wrapper)
    return str(made.__code__.co_name).removesuffix("_f").removesuffix("_fun")


def codes(function: Callable[..., Any]) -> set[CodeType]:
    """The code that runs first when `function` is called."""
    while isinstance(function, functools.partial):
        function = function.func
    found = [getattr(part, "__code__", None) for part in (function, type(function).__call__)]
    return {code for code in found if isinstance(code, CodeType)}


def arguments_of(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], static: Callable[[int, str], bool]
) -> tuple[tuple[Argument, ...], str]:
    """The leaves of a call's arguments by their names, and the structure they are in.

    `static` says of a parameter's number and name whether it is static.
    """
    described: list[Argument] = []
    trees = []
    for number, name, value in _named(function, args, kwargs):
        if static(number, name):
            described.append(value_argument(name, value))
        else:
            leaves, tree = jax.tree_util.tree_flatten_with_path(value)
            described += [_leaf(name + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
            trees.append(f"{name}: {tree}")
    return tuple(described), ", ".join(trees)


def _named(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[int, str, Any]]:
    """Number, name and value of each argument; -1 for those passed by keyword."""
    names = _positional_names(function)
    for number, value in enumerate(args):
        yield number, names[number] if number < len(names) else f"args[{number}]", value
    for name, value in kwargs.items():
        if name != VARIABLES:
            yield -1, name, value


def _positional_names(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def _leaf(name: str, leaf: Any) -> Argument:
    try:
        dtype = str(jnp.result_type(leaf))
    except (TypeError, ValueError):
        return value_argument(name, leaf)
    weak = isinstance(leaf, (bool, int, float, complex)) or getattr(leaf, "weak_type", False)
    return tensor_argument(name, f"weak {dtype}" if weak and dtype != "bool" else dtype, jnp.shape(leaf))


def conditions() -> tuple[Condition, ...]:
    """JAX's configuration, context managers included."""
    values = {name: getattr(jax.config, name, None) for name in jax.config.values}
    return tuple(Condition("global-state", f"jax.config.{name}", repr(value)) for name, value in values.items())


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


def nodes(jaxpr: Any) -> int:
    """The operations of a graph; a call of a function counts as what is in it."""
    return sum(equation.primitive.name not in _CALLS for equation in equations(jaxpr))


def control_flow(jaxpr: Any) -> dict[str, int]:
    """How many loops and branches a graph has: `while`, `scan`, `cond` (two branches) and `switch` (more)."""
    return dict(Counter(kind for equation in equations(jaxpr) if (kind := _kind(equation)) is not None))


def _kind(equation: Any) -> str | None:
    name = equation.primitive.name
    if name == "cond":
        return "cond" if len(equation.params["branches"]) <= 2 else "switch"
    return name if name in ("while", "scan") else None
