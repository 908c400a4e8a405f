"""Calls of functions that JAX or equinox puts around its users', told as calls of the user's own function.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

import jax

from pytest_graphmode.ledger import identity

JAX: Final = str(Path(jax.__file__).parent) + os.sep
_BACKEND: Final = str(Path(__file__).parent)
# What JAX's functions are called by within JAX, where the name says nothing to its users.
_TRANSFORMATIONS: Final[Mapping[str, str]] = {"jacfun": "jacobian", "fun_remat": "checkpoint"}


@dataclass(frozen=True)
class StaticLeaf:
    """A leaf of a tree that is no array, for a function that takes such apart before it calls jax.jit."""

    value: Any


class Call(NamedTuple):
    """A function and its arguments; `maker` is the construct that made the function of the user's: `fori_loop`."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    maker: str = ""


def unwrapped(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """The call of the user's function that a call of `function` stands for."""
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        if of_jax(function):
            return _of_construct(function, args, kwargs)
        if code.co_filename.endswith(os.path.join("equinox", "_jit.py")):
            return _of_equinox(function, args, kwargs)
    return Call(function, args, kwargs)


def of_jax(function: Any) -> bool:
    """Whether a function's outermost code is JAX's own."""
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        return code.co_filename.startswith(JAX)
    return str(type(function).__module__).partition(".")[0] in ("jax", "jaxlib")


def of_user(function: Any) -> bool:
    """Whether somebody else's code stands in a function, perhaps under jax.jit or a transformation."""
    while of_jax(function) and callable(getattr(function, "__wrapped__", None)):
        function = function.__wrapped__
    return callable(function) and not isinstance(function, type) and not of_jax(function)


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
    return of_jax(function) and "dispatch.py" in str(getattr(function, "__code__", ""))


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


# jax.lax makes functions for `scan` and `while_loop` of those given to `fori_loop` and `map`: how it is called, and how
# the arguments of the user's are found in those of what it made.
_MADE: Final[Mapping[str, tuple[str, Callable[[Any], Sequence[Any]]]]] = {
    "_fori_scan_body_fun": ("fori_loop", lambda args: args[0]),  # ((i, x), nothing)
    "_fori_body_fun": ("fori_loop", lambda args: (args[0][0], args[0][2])),  # ((i, upper, x),)
    "map": ("map", lambda args: args[1:]),  # (nothing, x)
}


def _of_construct(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    mapped = _of_pmap(function, args)
    if mapped is not None:
        return mapped
    made = _MADE.get(str(getattr(function, "__qualname__", "")).partition(".<locals>.")[0])
    given = None if made is None else _given(function)
    if made is None or given is None:
        return Call(function, args, kwargs)
    maker, own = made
    return Call(given, own(args), {}, maker)


def _of_pmap(function: Callable[..., Any], args: Sequence[Any]) -> Call | None:
    """`jax.pmap` (JAX 0.8 and later) is a jit of a shard_map of `_fun`, which calls the user's function."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if not isinstance(code, CodeType) or code.co_name != "_fun" or not code.co_filename.endswith("pmap.py"):
        return None
    cells = inspect.getclosurevars(inner).nonlocals
    given, tree = getattr(cells.get("fun"), "f", None), cells.get("in_tree")
    if not callable(given) or tree is None:
        return None
    own, keywords = jax.tree_util.tree_unflatten(tree, args)
    return Call(given, own, keywords, "pmap")


def _given(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The user's function that one of JAX's closes over, weakly or not."""
    for cell in getattr(function, "__closure__", None) or ():
        content: Any = cell.cell_contents
        content = content() if isinstance(content, weakref.ref) else content
        if of_user(content):
            found: Callable[..., Any] = content
            return found
    return None


def _of_equinox(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """`filter_jit` (equinox 0.11 to 0.13) passes arrays in two dicts and the rest, with the trees, as static."""
    if len(args) != 3 or kwargs:
        return Call(function, args, kwargs)
    *dynamic, (static_function, static_first, static_rest) = args
    arrays = {name: leaves for part in dynamic for name, leaves in part.items()}
    own = _combined(arrays["fun"], static_function, mark=False)
    first = _combined(arrays["first"], static_first)
    rest, keywords = _combined(arrays["rest"], static_rest)
    return Call(own, (first, *rest)[:-1], keywords)  # the last is equinox's own


def _combined(arrays: Sequence[Any], static: tuple[Sequence[Any], Any], *, mark: bool = True) -> Any:
    """The tree whose leaves are arrays or static; those that are static are marked."""
    values, tree = static
    leaves = [
        array if value is None else StaticLeaf(value) if mark else value
        for array, value in zip(arrays, values, strict=True)
    ]
    return jax.tree_util.tree_unflatten(tree, leaves)
