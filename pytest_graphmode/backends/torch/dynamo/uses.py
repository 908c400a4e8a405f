"""What a function does with a number, read from its source: which hint helps depends on it.

Called by `hints.py`.
"""

from __future__ import annotations

import ast
import functools
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_ITEMS: Final = re.compile(r"(?:\[\d+\]|\.(?:start|stop|step))+$")


def uses(file: str, line: int, argument: str, type_name: str) -> set[str]:
    """`loop`, `index`, `store`, `size`, `constant`, `branch`: how the function at a line uses an argument of it."""
    function = _function_at(file, line)
    if function is None:
        return set()
    name = re.findall(r"\w+", _ITEMS.sub("", argument))[-1:]
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    named = [node for node in ast.walk(function) if name == [_named(node)]]
    return {use for node in named for use in _around(node, parents, type_name)}


def file_named(ending: str, own: str) -> str:
    """The whole path of the file that a guard names by its end; `own` where that is it, or nothing is known."""
    if not ending or own.endswith(ending):
        return own
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    return next((file for file in files if file.endswith(ending)), own)


def _named(node: ast.AST) -> object:
    """The name by which a value is read: `n`, `self.n`, `options['n']`."""
    if isinstance(node, ast.Subscript):
        return getattr(node.slice, "value", None)
    read = isinstance(getattr(node, "ctx", None), ast.Load)
    return getattr(node, "id", getattr(node, "attr", None)) if read else None


def _around(node: ast.AST, parents: Mapping[ast.AST, ast.AST], type_name: str) -> Iterator[str]:
    """What the expressions around a name do with it, up to its statement."""
    while not isinstance(node, (ast.stmt, ast.Lambda)) and node in parents:
        inner, node = node, parents[node]
        if isinstance(node, ast.Call) and inner is not node.func:
            yield _in_call(node, inner, type_name)
        elif isinstance(node, ast.Slice):
            yield "size"
            return
        elif isinstance(node, ast.Subscript) and inner is node.slice and type_name == "int":
            yield "index" if isinstance(node.ctx, ast.Load) else "store"
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and inner is node.test:
            yield "branch"


def _in_call(call: ast.Call, given: ast.AST, type_name: str) -> str:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "range":
        return "loop"
    position = call.args.index(given) if isinstance(given, ast.expr) and given in call.args else -1
    packet = None if name.startswith("__") else getattr(torch.ops.aten, name, None)
    kinds = set(_taken(packet, position, getattr(given, "arg", None)))
    if kinds and not kinds & {"Tensor", "SymInt"}:
        return "constant"
    return "size" if type_name == "int" and (not kinds or "SymInt" in kinds) else ""


def _taken(packet: Any, position: int, keyword: str | None) -> Iterator[str]:
    """The kinds (`Tensor`, `SymInt`, `float`) that a torch operator takes as one argument, by its own schemas.

    `position` counts what stands between the brackets, for calls like `torch.add(x, y)` and like `x.add(y)`.
    """
    for overload in packet.overloads() if hasattr(packet, "overloads") else ():
        for index, argument in enumerate(getattr(packet, overload)._schema.arguments):
            kind, listed = argument.real_type, False
            while kind.kind() in ("OptionalType", "ListType"):
                listed = listed or kind.kind() == "ListType"
                kind = kind.getElementType()
            name = str(kind.kind()).removesuffix("Type")
            sizes = listed and name == "SymInt" and index <= position  # given one by one: x.reshape(2, n)
            here = (sizes or index in (position, position + 1)) and (index or argument.name not in ("self", "input"))
            if argument.name == keyword or (keyword is None and here):
                yield name


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _function_at(file: str, line: int) -> ast.AST | None:
    """The innermost function or lambda that has a line of a file."""
    module = _parsed("".join(linecache.getlines(file))) if line else None
    functions = [] if module is None else [one for one in ast.walk(module) if isinstance(one, _FUNCTIONS)]
    around = [one for one in functions if _first_line(one) <= line <= (one.end_lineno or one.lineno)]
    return max(around, key=lambda one: (_first_line(one), one.col_offset), default=None)


def _first_line(function: ast.expr | ast.stmt) -> int:
    """That of its first decorator, if it has one, as in its code."""
    decorators: list[ast.expr] = getattr(function, "decorator_list", [])
    return min([function.lineno, *(one.lineno for one in decorators)])
