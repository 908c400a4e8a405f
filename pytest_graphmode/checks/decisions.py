"""Which values in a function's code the cases of `check_control_flow` can change, from its syntax tree alone.

A loop over a closed-over list of layers runs as often in every case; one over `range(n)` for an argument n does not.
Called by `statements.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, Final

__tracebackhide__ = True  # in failures, the user's frames are of interest

# What tensors of one signature have in common.
_SHAPES: Final = ("shape", "ndim", "dtype", "device", "rank")
_ASSIGNMENTS: Final = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)


def cases_decide(function: Any, given: int, arguments: int) -> Callable[[ast.expr], bool]:
    """Whether an expression in a function depends on the arguments that the cases give.

    Args:
        function: the function's node.
        given: how many of its first arguments are bound already, such as `self`.
        arguments: how many the cases give after those.
    """
    moving = set(_parameters(function.args, given, arguments)) if hasattr(function, "args") else set()
    for node in ast.walk(function):
        if node is not function and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            moving.update(_parameters(node.args, 0, None))
    size = -1
    while size != len(moving):
        size = len(moving)
        _spread(function, moving)
    return lambda expression: _depends(expression, moving)


def _parameters(args: ast.arguments, given: int, count: int | None) -> Iterator[str]:
    positional = [*args.posonlyargs, *args.args]
    last = len(positional) if count is None else given + count
    for parameter in positional[given:last]:
        yield parameter.arg
    if args.vararg is not None:
        yield args.vararg.arg


def _spread(function: ast.AST, moving: set[str]) -> None:
    """Add the names that are assigned from such values, or where such a value decides."""
    for node in ast.walk(function):
        if isinstance(node, _ASSIGNMENTS):
            if node.value is not None and _depends(node.value, moving):
                moving.update(_stored(node))
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            if _depends(node.iter, moving):
                moving.update(_stored(node))
        elif isinstance(node, (ast.If, ast.While)) and _depends(node.test, moving):
            moving.update(_stored(node))


def _stored(node: ast.AST) -> Iterator[str]:
    return (one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))


def _depends(expression: ast.AST, moving: set[str]) -> bool:
    if isinstance(expression, ast.Name):
        return expression.id in moving
    if isinstance(expression, ast.Attribute) and expression.attr in _SHAPES:
        return False
    if isinstance(expression, ast.Call) and getattr(expression.func, "id", "") == "len":
        return False
    return any(_depends(child, moving) for child in ast.iter_child_nodes(expression))
