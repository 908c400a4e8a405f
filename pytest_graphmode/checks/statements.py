"""Finds Python's own `if`, `while` and `for` in a function's code, and has plain runs note what they do there.

They run a copy of the code in which each condition and each iterable passes through a note of it. Called by
`control_flow.py`; `plain.py` asks for the function that a callable leads to.
"""

from __future__ import annotations

import ast
import enum
import functools
import linecache
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, TypeAlias, cast

from pytest_graphmode.backends.patching import changed
from pytest_graphmode.checks.coverage import Coverage, Statement
from pytest_graphmode.ledger import describe
from pytest_graphmode.ledger.closure import closed_over, nested
from pytest_graphmode.ledger.places import place

__tracebackhide__ = True  # in failures, the user's frames are of interest

_Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
# What tensors of one signature have in common.
_SHAPES: Final = ("shape", "ndim", "dtype", "device", "rank")
# What a call can't change, or is not made to change.
_KEPT: Final = (bool, int, float, complex, str, bytes, enum.Enum, type(None), type, ModuleType, FunctionType)
_MARK: Final = "@graphmode"  # no name that Python code can have
# A function has one code, so two threads must not exchange that of one function at the same time.
_exchange: Final = threading.RLock()


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
                break
            fn = MethodType(entry, fn)
    return None, given


def wrapped_by(fn: Any) -> Any:
    """What a decorator put away: functools.wraps and jax.jit, tf.function, torch.compile."""
    names = ("__wrapped__", "python_function", "_torchdynamo_orig_callable", "_orig_mod")
    return next((found for name in names if (found := getattr(fn, name, None)) is not None), None)


def values_read(function: FunctionType) -> dict[str, Any]:
    """The globals and closed-over variables that the code of a function names."""
    names = {name for code in nested(function.__code__) for name in code.co_names}
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    return found | dict(closed_over(function))


@contextmanager
def followed(fn: Callable[..., Any], arguments: int, met: Coverage) -> Iterator[list[Statement]]:
    """The statements of `fn` and of the functions inside of it, which note in the block what they do.

    There are none without a source to look at.

    Args:
        arguments: how many arguments the cases give it.
    """
    function, given = function_of(fn)
    with _exchange:
        noting = None if function is None else _noting(function, given, arguments, met)
        if noting is None:
            yield []
            return
        code, statements = noting
        with changed(function, __code__=code):
            yield statements


def _noting(
    function: FunctionType, given: int, arguments: int, met: Coverage
) -> tuple[CodeType, list[Statement]] | None:
    """The code of a function that notes what its statements do, compiled where the function stands in its module."""
    code = function.__code__
    try:
        module = ast.parse("".join(linecache.getlines(code.co_filename, function.__globals__)))
    except SyntaxError:
        return None
    node = _node_of(code, module)
    if node is None:
        return None
    around = [one for one in module.body if getattr(one, "module", "") == "__future__" or node in ast.walk(one)]
    rewriter = _Rewriter(code.co_filename, _Changing(function, node, given, arguments), met)
    rewriter.rewrite(node)
    whole = compile(ast.Module(around, []), code.co_filename, "exec", dont_inherit=True)
    found = next((one for one in nested(whole) if _MARK in one.co_consts), None)
    if found is None or found.co_freevars != code.co_freevars:  # the file is not what it was when it was imported
        return None
    return _linked(found, rewriter.notes_by_key), rewriter.statements


def _node_of(code: CodeType, module: ast.Module) -> _Function | None:
    """The node of a code object; None where several on one line can't be told apart, as Python 3.10 has no columns."""
    fitting = [
        node
        for node in ast.walk(module)
        if isinstance(node, _FUNCTIONS)
        and getattr(node, "name", "<lambda>") == code.co_name
        and min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))]) == code.co_firstlineno
    ]
    if len(fitting) > 1 and sys.version_info >= (3, 11):
        fitting = [node for node in fitting if all(_holds(node, position) for position in code.co_positions())]
        fitting.sort(key=lambda node: cast("int", node.end_col_offset) - node.col_offset)
        return next(iter(fitting), None)
    return fitting[0] if len(fitting) == 1 else None


def _holds(node: _Function, position: tuple[int | None, ...]) -> bool:
    """Whether an instruction stands in a function; instructions that nobody wrote have no extent."""
    line, end, column, last = position
    if None in position or (line, column) == (end, last):
        return True
    return (node.lineno, node.col_offset) <= (line, column) and (end, last) <= (node.end_lineno, node.end_col_offset)


class _Rewriter(ast.NodeTransformer):
    """Puts notes around the conditions and iterables of a function; calls of text, until `_linked` puts them there."""

    def __init__(self, file: str, changing: _Changing, met: Coverage) -> None:
        self.statements: list[Statement] = []
        self.notes_by_key: dict[str, Callable[..., Any]] = {}
        self._file = file
        self._changing = changing
        self._met = met

    def rewrite(self, node: _Function) -> None:
        """Rewrite a function, and leave the mark among its constants that tells its code from all others."""
        mark = ast.Attribute(ast.Constant(_MARK), "__class__", ast.Load())
        self.generic_visit(node)
        if isinstance(node, ast.Lambda):
            node.body = ast.Subscript(ast.Tuple([mark, node.body], ast.Load()), ast.Constant(1), ast.Load())
        else:
            node.body.insert(0, ast.Expr(mark))
        ast.fix_missing_locations(node)

    def visit_If(self, node: ast.If | ast.IfExp) -> ast.AST:
        node.test = self._noted("if", node.test)
        return self.generic_visit(node)

    visit_IfExp = visit_If

    def visit_For(self, node: ast.For) -> ast.AST:
        node.iter = self._noted(f"for {ast.unparse(node.target)} in", node.iter)
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        """A note for each time that the loop is met, in a variable since the function may call itself meanwhile."""
        met = self._noted("while", node.test)
        name, begin = f"{_MARK}{len(self.statements)}", []
        if met is not node.test:
            cast("ast.Call", met).args = []
            begin = [ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], met), node)]
            node.test = ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [node.test], []), node.test)
        self.generic_visit(node)
        return [*begin, node]

    def _noted(self, head: str, test: ast.expr) -> ast.expr:
        kind = head.partition(" ")[0]
        condition = describe.shortened(ast.unparse(test))
        fixed = not self._changing.by_cases(test) if kind == "for" else self._changing.never(test)
        lines = [place(self._file, line) for line in range(test.lineno, (test.end_lineno or test.lineno) + 1)]
        statement = Statement(kind, f"{head} {condition}", condition, lines, fixed)
        self.statements.append(statement)
        if fixed:
            return test
        key = f"{_MARK} {len(self.statements)}"
        self.notes_by_key[key] = _note(statement, self._met)
        return ast.copy_location(ast.Call(ast.Attribute(ast.Constant(key), "__call__", ast.Load()), [test], []), test)


def _linked(code: CodeType, notes: dict[str, Callable[..., Any]]) -> CodeType:
    """The code with the notes in the place of the text that stands for them."""
    consts = [_linked(one, notes) if isinstance(one, CodeType) else one for one in code.co_consts]
    consts = [notes.get(one, one) if isinstance(one, str) else one for one in consts]
    return code.replace(co_consts=tuple(consts))


def _note(statement: Statement, met: Coverage) -> Callable[..., Any]:
    """What stands around the condition of an `if` or the iterable of a `for`, or begins a `while`."""

    def decided(test: object) -> bool:
        holds = bool(test)
        if not met.paused:
            statement.taken.add(holds)
        return holds

    def begun() -> Callable[[object], bool]:
        iterations = [] if met.paused else statement.iterations
        number = len(iterations)
        iterations.append(0)

        def holds(test: object) -> bool:
            found = bool(test)
            iterations[number] += found
            return found

        return holds

    def iterated(iterable: Iterable[Any]) -> Iterator[Any]:
        iteration = begun()
        for one in iterable:
            iteration(True)
            yield one

    notes_of: dict[str, Callable[..., Any]] = {"if": decided, "while": begun, "for": iterated}
    return notes_of[statement.kind]


class _Changing:
    """Which values in a function's code can change, from its syntax tree and what it closes over.

    A loop over a closed-over list of layers runs as often in every case, one over `range(n)` for an argument n doesn't.
    """

    def __init__(self, function: FunctionType, node: _Function, given: int, arguments: int) -> None:
        self._nodes = list(ast.walk(node))
        self._by_cases = set(_parameters(node.args, given, arguments))
        for inner in self._nodes:
            if isinstance(inner, _FUNCTIONS) and inner is not node:
                self._by_cases.update(_parameters(inner.args, 0, None))
        size = -1
        while size != len(self._by_cases):
            size = len(self._by_cases)
            self._spread()
        kept = {name for name, value in values_read(function).items() if _is_kept(value)}
        self._by_function = {
            name
            for inner in self._nodes
            for name in _changed(inner)
            if not (isinstance(inner, ast.Call) and name in kept)
        }
        for code in nested(function.__code__):
            self._by_function.update(code.co_varnames, code.co_cellvars)

    def by_cases(self, expression: ast.AST) -> bool:
        """Whether the arguments of the cases decide an expression."""
        if isinstance(expression, ast.Name):
            return expression.id in self._by_cases
        if isinstance(expression, ast.Attribute) and expression.attr in _SHAPES:
            return False
        if isinstance(expression, ast.Call) and getattr(expression.func, "id", "") == "len":
            return False
        return any(map(self.by_cases, ast.iter_child_nodes(expression)))

    def never(self, condition: ast.expr) -> bool:
        """Whether neither a case nor the function changes a condition: it reads what is outside, and calls nothing."""
        return not any(
            isinstance(one, ast.Call) or (isinstance(one, ast.Name) and one.id in self._by_function)
            for one in ast.walk(condition)
        )

    def _spread(self) -> None:
        """Add the names that are assigned from values that change, or where such a value decides."""
        for node in self._nodes:
            for deciding in (getattr(node, name, None) for name in ("value", "iter", "test")):
                if isinstance(deciding, ast.AST) and self.by_cases(deciding):
                    names = (one for one in ast.walk(node) if isinstance(one, ast.Name))
                    self._by_cases.update(name for one in names for name in _changed(one))


def _parameters(args: ast.arguments, given: int, count: int | None) -> Iterator[str]:
    positional = [*args.posonlyargs, *args.args]
    for parameter in positional[given : len(positional) if count is None else given + count]:
        yield parameter.arg
    if args.vararg is not None:
        yield args.vararg.arg


def _changed(node: ast.AST) -> Iterator[str]:
    """The names that a node assigns, or whose objects it may change: a part of them, by a method or by a call."""
    parts: list[ast.AST] = []
    if isinstance(node, ast.Call):
        parts = [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
    elif not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        parts = [node]
    for part in parts:
        while isinstance(part, (ast.Attribute, ast.Subscript, ast.Starred)):
            part = part.value
        if isinstance(part, ast.Name):
            yield part.id


def _is_kept(value: object) -> bool:
    """Whether a method, or a function that gets a value, leaves it as it is."""
    return isinstance(value, _KEPT) or type(value).__module__.partition(".")[0] == "pytest_graphmode"
