"""Python's own `if`, `while` and `for` in a function's code: where they stand, and what the cases did there.

`steps.py` finds out what runs of the function do at them, `check.py` tells what no case did.
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType
from typing import Any, Final, TypeAlias

from pytest_graphmode.checks.decisions import cases_decide
from pytest_graphmode.ledger.places import place

__tracebackhide__ = True  # in failures, the user's frames are of interest

Position: TypeAlias = "tuple[tuple[int, int], tuple[int, int]]"
Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.expr"

# Until 3.10 an instruction has a line and no column, so a branch on the line of its condition can't be told from it.
COLUMNS: Final = sys.version_info >= (3, 11)
_OWN_CODE: Final = {ast.ListComp: "<listcomp>", ast.SetComp: "<setcomp>", ast.DictComp: "<dictcomp>"}
_GENERATORS: Final = {ast.GeneratorExp: "<genexpr>", ast.Lambda: "<lambda>"}
_SCOPES: Final = _GENERATORS if sys.version_info >= (3, 12) else {**_OWN_CODE, **_GENERATORS}
_LONGEST: Final = 60


@dataclass
class Statement:
    """One `if` (or conditional expression), `while` or `for` of the code.

    Attributes:
        text: `while n > 1`, and `condition` the part of it that decides.
        whole, test, body: where it stands in the code, with what decides and what is done.
        trips: how often a loop ran, each time that it was met; `taken` the sides of an `if` that ran.
        exempt: whether no case can change how often a loop runs.
    """

    kind: str
    text: str
    condition: str
    where: str
    whole: Position
    test: Position
    body: Position
    exempt: bool
    trips: set[int] = field(default_factory=set)
    taken: set[bool] = field(default_factory=set)

    def __str__(self) -> str:
        return f"`{self.text}` at {self.where}"

    def is_at(self, where: str) -> bool:
        """Whether its condition takes up a line, whose file may be told by its last part only."""
        file, _, line = where.rpartition(":")
        mine = self.where.rpartition(":")[0]
        same = f"/{mine}".endswith(f"/{file}") or f"/{file}".endswith(f"/{mine}")
        return same and line.isdigit() and self.test[0][0] <= int(line) <= self.test[1][0]

    def gaps(self) -> Iterable[str]:
        """What no case did here, and which case would; nothing where no case came by."""
        if self.kind == "if" and len(self.taken) == 1:
            missing = not next(iter(self.taken))
            side, verb = ("true", "holds") if missing else ("false", "does not hold")
            yield (f"the {side} side of {self} was taken by no case: add a case in which `{self.condition}` {verb}")
        if self.kind != "if" and self.trips and not self.exempt:
            ran = ran_times(self.trips)
            if 0 not in self.trips:
                yield f"{self} never ran zero times, it {ran}: add a case in which {self._nothing_to_do()}"
            if max(self.trips) < 2:
                yield f"{self} never ran several times, it {ran}: add a case in which it runs twice or more"

    def _nothing_to_do(self) -> str:
        if self.kind == "while":
            return f"`{self.condition}` does not hold from the start"
        return f"there is nothing in `{self.condition}`"


def ran_times(trips: set[int]) -> str:
    """`ran 1 time`, `ran 0 to 7 times`."""
    low, high = min(trips), max(trips)
    return f"ran {low} time{'' if low == 1 else 's'}" if low == high else f"ran {low} to {high} times"


def function_of(fn: Any) -> tuple[FunctionType | None, int]:
    """The Python function in which a callable's own code stands, and how many of its arguments are given already."""
    given = 0
    for _ in range(50):
        if isinstance(fn, functools.partial):
            fn, given = fn.func, given + len(fn.args)
        elif isinstance(fn, MethodType):
            fn, given = fn.__func__, given + 1
        elif callable(inner := wrapped_by(fn)):
            fn = inner
        elif isinstance(fn, FunctionType):
            return fn, given
        else:
            entries = (getattr(type(fn), name, None) for name in ("forward", "call", "__call__"))
            entry = next((one for one in entries if isinstance(one, FunctionType)), None)
            if isinstance(fn, type) or entry is None:
                return None, given
            fn, given = MethodType(entry, fn), given
    return None, given


def wrapped_by(fn: Any) -> Any:
    """What a decorator put away: functools.wraps and jax.jit, tf.function, torch.compile."""
    names = ("__wrapped__", "python_function", "_torchdynamo_orig_callable", "_orig_mod")
    return next((found for name in names if (found := getattr(fn, name, None)) is not None), None)


def statements_of(fn: Callable[..., Any], arguments: int) -> dict[CodeType, list[Statement]]:
    """The statements of `fn`, and of the functions inside of it, by the code that they are in.

    Empty where there is no source to look at.

    Args:
        arguments: how many arguments the cases give it.
    """
    function, given = function_of(fn)
    if function is None:
        return {}
    lines = linecache.getlines(function.__code__.co_filename, function.__globals__)
    module = _parsed("".join(lines))
    node = _node_of(function.__code__, ast.walk(module)) if module is not None else None
    if node is None:
        return {}
    decided = cases_decide(node, given, arguments)
    return dict(_by_code(function.__code__, node, decided))


@functools.lru_cache(maxsize=16)
def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source) if source else None
    except SyntaxError:
        return None


def _by_code(
    code: CodeType, node: ast.AST, decided: Callable[[ast.expr], bool]
) -> Iterator[tuple[CodeType, list[Statement]]]:
    inside, scopes = _own_nodes(node)
    found = [_statement(one, code.co_filename, decided) for one in inside]
    yield code, [one for one in found if one is not None]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            nested = _node_of(constant, scopes)
            if nested is not None:
                yield from _by_code(constant, nested, decided)


def _own_nodes(node: ast.AST) -> tuple[list[ast.AST], list[ast.AST]]:
    """The nodes of a function, and the functions right inside of it, whose nodes are their own."""
    own, scopes, todo = [], [], list(ast.iter_child_nodes(node))
    while todo:
        one = todo.pop()
        if _is_scope(one):
            scopes.append(one)
        else:
            own.append(one)
            todo.extend(ast.iter_child_nodes(one))
    return own, scopes


def _is_scope(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, *_SCOPES))


def _node_of(code: CodeType, nodes: Iterable[ast.AST]) -> ast.AST | None:
    """The smallest node that a code object can be of; None where several on one line can't be told apart."""
    fitting = [node for node in nodes if _is_scope(node) and _name(node) == code.co_name and _holds(node, code)]
    if len(fitting) > 1 and not COLUMNS:
        return None
    return min(fitting, key=_extent, default=None)


def _name(node: Any) -> str:
    return _SCOPES.get(type(node)) or str(getattr(node, "name", ""))


def _extent(node: Any) -> tuple[int, int]:
    return node.end_lineno - node.lineno, node.end_col_offset - node.col_offset


def _holds(node: Any, code: CodeType) -> bool:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    if first != code.co_firstlineno:
        return False
    return all(
        _within(position, _position(node)) for position in positions(code).values() if position[0] != position[1]
    )


def positions(code: CodeType) -> dict[int, Position]:
    """Where each instruction of a code object, by its offset, stands in the source."""
    if sys.version_info >= (3, 11):
        return {
            2 * number: ((line, column), (end, end_column))
            for number, (line, end, column, end_column) in enumerate(code.co_positions())
            if line is not None and end is not None and column is not None and end_column is not None
        }
    return {
        offset: ((line, 0), (line, 0))
        for start, end, line in code.co_lines()
        if line is not None
        for offset in range(start, end, 2)
    }


def _within(inner: Position, outer: Position) -> bool:
    if COLUMNS:
        return outer[0] <= inner[0] and inner[1] <= outer[1]
    return outer[0][0] <= inner[0][0] and inner[1][0] <= outer[1][0]


def parts(statements: list[Statement], position: Position) -> frozenset[tuple[int, str]]:
    """The parts of statements that a position is in, as `(number, "body")`."""
    return frozenset(
        (number, part)
        for number, statement in enumerate(statements)
        for part in ("whole", "test", "body")
        if _within(position, getattr(statement, part))
    )


def _position(first: Any, last: Any = None) -> Position:
    last = last or first
    return (first.lineno, first.col_offset), (last.end_lineno, last.end_col_offset)


def _statement(node: ast.AST, file: str, decided: Callable[[ast.expr], bool]) -> Statement | None:
    """What counts of a node: no condition that the code itself decides, and before 3.11 nothing within one line."""
    body: list[Any]
    if isinstance(node, (ast.If, ast.While)):
        kind, test, body = type(node).__name__.lower(), node.test, node.body
    elif isinstance(node, ast.IfExp):
        kind, test, body = "if", node.test, [node.body]
    elif isinstance(node, (ast.For, ast.AsyncFor)):
        kind, test, body = "for", node.iter, node.body
    else:
        return None
    if kind != "for" and _is_constant(test):
        return None
    if not COLUMNS and _position(test)[1][0] >= body[0].lineno:
        return None
    condition = _shortened(ast.unparse(test))
    head = f"for {ast.unparse(node.target)} in" if isinstance(node, (ast.For, ast.AsyncFor)) else kind
    return Statement(
        kind,
        f"{head} {condition}",
        condition,
        place(file, test.lineno),
        _position(node),
        _position(test),
        _position(body[0], body[-1]),
        exempt=kind == "for" and not decided(test),
    )


def _is_constant(test: ast.expr) -> bool:
    if isinstance(test, ast.UnaryOp):
        return _is_constant(test.operand)
    return isinstance(test, ast.Constant) or getattr(test, "id", getattr(test, "attr", "")) in _SWITCHES


_SWITCHES: Final = ("TYPE_CHECKING", "__debug__")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
