"""How values read in messages: tensors by dtype and shape, functions by name, objects by class and attributes.

Used by everything that names a value: `arguments.py`, `contents.py`, the checks and the backends. Nothing here keeps a
value alive.
"""

from __future__ import annotations

import enum
import functools
import itertools
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pytest_graphmode.ledger import closure

PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS: Final = (list, tuple, dict, set, frozenset)
_FUNCTIONS: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
_LONGEST: Final = 60
_DEEPEST: Final = 4
# Of objects less is said: a trainer or a model may hold all there is.
_DEEPEST_OBJECT: Final = 1
_MOST_ATTRIBUTES: Final = 6
_MOST: Final = 20
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
# Classes that their frameworks' users never name, by the names that they know them by.
_PUBLIC: Final[Mapping[str, str]] = {"ArrayImpl": "Array", "EagerTensor": "Tensor", "ResourceVariable": "Variable"}


def dtype_name(value: Any) -> str:
    """`float32` for what is of `torch.float32`, `tf.float32` or NumPy's own."""
    return str(getattr(value.dtype, "name", value.dtype)).rpartition(".")[2]


def shape_of(value: Any) -> tuple[int | None, ...] | None:
    """A shape as a tuple, None where a TensorFlow graph does not know the rank."""
    try:
        return tuple(value.shape)
    except (TypeError, ValueError):
        return None


def dimensions(shape: Sequence[int | None] | None) -> str:
    """`[32, 3]`; `[None, 3]` and `[?]` for what is unknown."""
    return "[?]" if shape is None else f"[{', '.join(map(str, shape))}]"


def tensor(value: Any) -> str:
    """`float32[32, 3]`."""
    return dtype_name(value) + dimensions(shape_of(value))


def leaf(value: Any) -> str:
    """`float32[3, 2]` for a tensor, `the Python float 2.0` for anything else."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return tensor(value)
    return f"the Python {type(value).__name__} {cut(repr(value))}"


def cut(line: str) -> str:
    """A text in one line, at most 60 characters of it."""
    return shortened(" ".join(line.split()))


def shortened(line: str) -> str:
    """At most 60 characters of a line, whose white space may be that of text in it."""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def listed(texts: Iterable[str]) -> str:
    """The first three of some texts, and how many more there are."""
    found = list(texts)
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more


def counted(count: int, noun: str) -> str:
    """`1 build`, `2 builds`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def class_name(cls: type) -> str:
    """A class without the names of those that it is defined in."""
    return cls.__qualname__.rpartition("<locals>.")[2]


def type_name(value: Any) -> str:
    """The class of a value by the name that users know it by."""
    found = type(value).__name__
    if is_function(value) and not isinstance(value, _FUNCTIONS):
        return "function"
    return "Array" if found.endswith("Tracer") and closure.is_data(value) else _PUBLIC.get(found, found)


def is_function(value: Any) -> bool:
    """Whether a value is a function, or what jax.jit and the like have made of one."""
    if isinstance(value, _FUNCTIONS):
        return True
    return not isinstance(value, type) and isinstance(closure.quiet_attribute(value, "__wrapped__"), types.FunctionType)


def text(value: Any) -> str:
    """A value in one line, by none of the user's code: objects by their class alone, `<Config>`."""
    known = _known(value, text)
    return f"<{type(value).__name__}>" if known is None else cut(known)


def in_full(value: Any) -> str:
    """A value in one line by its class's own `repr`; where that has but an address, `Config(n=2)`."""
    kind = "the function " if is_function(value) else "the class " if isinstance(value, type) else ""
    try:
        return cut(kind + _in_full(value, 0))
    except Exception:  # the user's own code, met in the middle of a trace that must go on
        return f"<{type(value).__name__}>"


def _in_full(value: Any, depth: int) -> str:
    if depth > _DEEPEST:
        return f"<{type(value).__name__}>"
    part = functools.partial(_in_full, depth=depth + 1)
    of_subclass = isinstance(value, _CONTAINERS) and type(value) not in _CONTAINERS  # a named tuple
    known = None if of_subclass else _known(value, part)
    if known is not None:
        return known
    written: Callable[..., str] = type(value).__repr__
    if written is not object.__repr__:
        return _ADDRESS.sub("", repr(value))
    if depth > _DEEPEST_OBJECT:
        return f"<{type(value).__name__}>"
    first = itertools.islice(attributes(value).items(), _MOST_ATTRIBUTES)
    return with_attributes(class_name(type(value)), {name: part(one) for name, one in first})


def with_attributes(cls: str, texts: Mapping[str, str]) -> str:
    """`Settings(rate=0.1)`."""
    return f"{cls}({', '.join(f'{name}={text}' for name, text in texts.items())})"


def _known(value: Any, part: Callable[[Any], str]) -> str | None:
    """What is no object of a class of the user's, its parts by `part`; None for one."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, PLAIN):
        return repr(value)
    if is_function(value):
        return _function(value)
    if isinstance(value, type):
        return class_name(value)
    if closure.is_data(value):
        return tensor(value)
    if isinstance(value, _CONTAINERS) and len(value) <= _MOST:
        return _container(value, part)
    return None


def _function(value: Any) -> str:
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, types.BuiltinFunctionType):  # of which the class is not what users write: torch.relu
        return value.__name__
    return str(getattr(value, "__qualname__", None) or type(value).__name__).rpartition("<locals>.")[2]


def _container(value: Any, part: Callable[[Any], str]) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{part(key)}: {part(one)}" for key, one in value.items()) + "}"
    left, right = ("[", "]") if isinstance(value, list) else ("(", ")") if isinstance(value, tuple) else ("{", "}")
    return left + ", ".join(map(part, value)) + ("," if right == ")" and len(value) == 1 else "") + right


def attributes(value: Any) -> dict[str, Any]:
    """The attributes that an object has itself, read without running its code."""
    slots = [cls.__dict__.get("__slots__", ()) for cls in type(value).__mro__]
    found = {}
    for name in (name for some in slots for name in ([some] if isinstance(some, str) else some)):
        if not name.startswith("__"):
            with suppress(AttributeError):  # it is not set
                found[name] = object.__getattribute__(value, name)
    return found | getattr(value, "__dict__", {})
