"""What to do about a cause under torch.compile: the hint that ends the rebuilds first, the one that limits them second.

Called by `guards.py` with what a guard says, and by `source.py` for what is found otherwise. `tests/backends/
test_torch_hints.py` does what each of them says, and holds that the rebuilds end.
"""

from __future__ import annotations

import ast
import functools
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import torch

from pytest_graphmode.backends.torch.dynamo import operators
from pytest_graphmode.backends.torch.dynamo.frames import Frame
from pytest_graphmode.backends.torch.dynamo.managers import Guard, Scope, sources
from pytest_graphmode.backends.torch.dynamo.words import is_passed_on
from pytest_graphmode.ledger.identity import is_library
from pytest_graphmode.ledger.ledger import Cause

HINTS: Final[Mapping[str, str]] = {
    "shape": "torch.compile(dynamic=True), or torch._dynamo.mark_dynamic({argument}, dimension) before the first call",
    "rank": "pass tensors of one rank, or accept one build per rank",
    "dtype": "cast {argument} before the call, or accept one build per dtype",
    "python-value": "pass a tensor, or accept one build per value",
    "python-object": "pass the same one each time, or accept one build for each",
    "structure": "pass {argument} with the same keys, length and types each time",
    "new-function-object": "define the function once, outside the loop, and compile that",
    "grad-mode": "call the function under one grad mode, or accept one build for each",
    "device": "call the function on one device, or accept one build per device",
    "train-eval": "accept one build for train() and one for eval(), or call it in one of the two",
    "layout": "call .contiguous() before the call, or accept one build per memory layout",
    "global-state": "set it before the first call, and leave it",
    "cache-reset": "leave out torch._dynamo.reset() and torch._dynamo.explain(), which drop the graphs there are",
    "guard": "keep it the same between calls, or accept one build for each",
}

_SIZE_OF: Final = re.compile(r"L\[.*\]\.size\(\)\[\d+\]")
_ASKED: Final = re.compile(r" where .*")
_ZERO_ONE: Final = "torch builds graphs of their own for sizes 0 and 1; pad, or accept one build for each"
_REQUIRES_GRAD: Final = "pass tensors of which all or none require gradients (.detach()), or accept one build for each"
_PARAMETER_GRADIENT: Final = "freeze it in all objects or in none, or accept one build for each"
_PARAMETER_SHAPE: Final = (
    "torch._dynamo.config.force_parameter_static_shapes = False with torch.compile(dynamic=True), or accept one build "
    "per shape"
)
_INNER_SHAPE: Final = "torch.compile(dynamic=True), or accept one build per shape"
_MODULE_SHAPE: Final = "accept one build per shape, for torch takes the shapes of a module's tensors for constants"
_LOOP: Final = (
    "a Python loop is unrolled for each value: loop over one fixed range and mask the rest by a tensor {argument}, or "
    "accept one build per value"
)
_INDEX: Final = "index outside and pass the element, or accept one build per value"
_SIZE: Final = "torch.compile(dynamic=True), or accept one build per value"
_BUFFER: Final = "make it a tensor (register it as a buffer), or accept one build per value"
_RATE: Final = "pass a tensor lr to the optimizer, or accept one build per value"
_SETTING: Final = "leave it between steps as it is (a scheduler's cycle_momentum=False), or accept one build per value"
_RATE_REPLACED: Final = "write into the tensor, lr.fill_(value), instead of putting a number in its place"
_LATE_GRADIENT: Final = "let it have a gradient before the first step, or accept one build for each"
_KEEP_GRADIENT: Final = (
    "zero_grad(set_to_none=False), so that it has a gradient each time, or accept one build for each"
)
_MADE: Final = "make it a tensor, or accept one build per value"
_KEPT: Final = "keep it the same, for torch takes no tensor there, or accept one build per value"
_BRANCH: Final = (
    "pass a tensor, or accept one build per value; an if on a tensor breaks the graph: choose by torch.where or "
    "torch.cond"
)
_STORE: Final = "write by index_copy_ with a tensor {argument} of one element, or accept one build per value"
_STATE: Final = "take a first step before, which makes the optimizer's state, or accept one build more"
_SPECIAL: Final = "torch builds graphs of their own for 0 and 1; begin at 2, or accept one build for each"
_OPTIONAL: Final = "give {argument} in all calls or in none, or accept one build for each"
_DUCK: Final = (
    "torch took equal sizes for one: torch.fx.experimental._config.use_duck_shape = False, or accept one build more"
)
_DECIDED: Final = "the code depends on this size: pad to sizes that it takes alike, or accept one build for each"
_READ: Final = "keep it a tensor and leave out what reads its value, or accept one build per value"


class Hints:
    """The hints for one frame."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def hinted(self, cause: Cause, guard: Guard) -> Cause:
        """The cause with a hint of its own, where the general one would not do."""
        source = next(iter(sources(guard.text)), "")
        hint = cause.hint or self._hint(cause, source, guard)
        return replace(cause, hint=hint.replace("{argument}", cause.argument))

    def _hint(self, cause: Cause, source: str, guard: Guard) -> str:
        if cause.kind == "shape":
            return self._of_shape(cause, source, guard)
        if cause.kind == "grad-mode" and cause.argument.endswith(".requires_grad"):
            return _PARAMETER_GRADIENT if _is_kept(source) else _REQUIRES_GRAD
        if cause.kind == "structure" and source.endswith("['lr']"):
            return _RATE_REPLACED
        if cause.kind == "structure" and source.endswith(".grad"):
            return _KEEP_GRADIENT if cause.after == "None" else _LATE_GRADIENT
        if cause.kind == "structure" and cause.argument.startswith("optimizer.state"):
            return _STATE
        if cause.kind in ("python-value", "structure") and "None" in (cause.before, cause.after):
            return "" if is_passed_on(source) else _OPTIONAL
        if cause.kind == "python-value" and cause.type_name in ("bool", "int", "float"):
            return self._of_number(cause, source, guard)
        return ""

    def _of_shape(self, cause: Cause, source: str, guard: Guard) -> str:
        if guard.kind != "TENSOR_MATCH":
            return _of_size(cause, guard)
        value = Scope(None, self._frame).value(source)
        if _is_kept(source):
            return _MODULE_SHAPE
        if isinstance(value, torch.nn.Parameter):
            return _PARAMETER_SHAPE
        if _is_special(cause):
            return _ZERO_ONE
        if not isinstance(value, torch.Tensor) or "___from_numpy" in guard.text:
            return _INNER_SHAPE
        return "" if self._frame.outermost and not is_passed_on(source) else _INNER_SHAPE

    def _of_number(self, cause: Cause, source: str, guard: Guard) -> str:
        if "param_groups" in source:
            return _RATE if source.endswith("['lr']") else _SETTING
        if is_passed_on(source):
            return _READ
        file = self._file(guard)
        if cause.argument.endswith((".start", ".stop", ".step")) and self._is_of_slice(source):
            return _SIZE
        line = guard.line or self._frame.identity.line  # torch 2.4 does not tell
        uses = set(_uses(file, line, cause.argument, cause.type_name))
        for use, hint in _BY_USE:
            if use in uses:
                special = hint == _SIZE and {cause.before, cause.after} & {"0", "1"}
                return _SPECIAL if special else hint
        if is_library(file):
            return _KEPT
        word = self._frame.word_of_bound
        if self._frame.module is not None and cause.argument.startswith((f"{word}.", f"{word}[")):
            return _BUFFER
        return "" if self._is_passed(source) else _MADE

    def _is_of_slice(self, source: str) -> bool:
        return isinstance(Scope(None, self._frame).value(source.rpartition(".")[0]), slice)

    def _is_passed(self, source: str) -> bool:
        """Whether it is an argument, and not closed over, global or an attribute."""
        free = source.startswith("L['") and source.split("'")[1] in self._frame.code.co_freevars
        return not free and source in (leaf.source for leaf in self._frame.leaves)

    def _file(self, guard: Guard) -> str:
        """The whole path of the file that a guard names by its end."""
        own = self._frame.identity.file
        if guard.file and not own.endswith(guard.file):
            modules = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
            return next((file for file in modules if file.endswith(guard.file)), own)
        return own


# What a number is used for, that which a tensor can't replace first.
_BY_USE: Final = (
    ("loop", _LOOP),
    ("index", _INDEX),
    ("store", _STORE),
    ("size", _SIZE),
    ("constant", _KEPT),
    ("branch", _BRANCH),
)


def _of_size(cause: Cause, guard: Guard) -> str:
    """For a guard on a size that is not fixed: `2 <= L['x'].size()[0] <= 5`."""
    if _is_special(cause):
        return _ZERO_ONE
    left, _, right = guard.text.partition("  #")[0].partition(" == ")
    if _SIZE_OF.fullmatch(left.strip()) and _SIZE_OF.fullmatch(right.strip()):
        return _DUCK if "duck sizing" in guard.text or not guard.line else _DECIDED
    return _DECIDED


def _is_special(cause: Cause) -> bool:
    """Whether a size that changed is or was 0 or 1."""
    before, after = (_ASKED.sub("", text).strip("[]").split(", ") for text in (cause.before, cause.after))
    return any({"0", "1"} & {was, now} for was, now in zip(before, after, strict=False) if was != now)


def _is_kept(source: str) -> bool:
    """Whether a tensor is one of a module's own."""
    return "._parameters[" in source or "._buffers[" in source


# What a function does with a number, read from its source.

_ITEMS: Final = re.compile(r"(?:\[\d+\]|\.(?:start|stop|step))+$")
_LAST: Final = re.compile(r"\w+")


def _uses(file: str, line: int, argument: str, type_name: str) -> Iterator[str]:
    """`loop`, `index`, `size`, `constant` or `branch` for each use of an argument in the function at a line."""
    function = _function_at(file, line)
    if function is None:
        return
    name = _LAST.findall(_ITEMS.sub("", argument))[-1:] or [""]
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(function):
        if _is_named(node, name[0]):
            yield from _use(node, parents, type_name)


def _is_named(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Attribute):
        return node.attr == name and isinstance(node.ctx, ast.Load)
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == name


def _use(node: ast.AST, parents: Mapping[ast.AST, ast.AST], type_name: str) -> Iterator[str]:
    """What the expressions around a name do with it, up to its statement."""
    while not isinstance(node, (ast.stmt, ast.Lambda)) and node in parents:
        inner, node = node, parents[node]
        if isinstance(node, ast.Call) and inner is not node.func:
            yield _use_in_call(node, inner, type_name)
        elif isinstance(node, ast.Slice):
            yield "size"
            return
        elif isinstance(node, ast.Subscript) and inner is node.slice and type_name == "int":
            yield "index" if isinstance(node.ctx, ast.Load) else "store"
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and inner is node.test:
            yield "branch"


def _use_in_call(call: ast.Call, given: ast.AST, type_name: str) -> str:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "range":
        return "loop"
    position = call.args.index(given) if given in call.args else -1
    kinds = operators.taken(name, position, getattr(given, "arg", None))
    if kinds is not None and not kinds & {"Tensor", "SymInt"}:
        return "constant"
    sizes = kinds is None or "SymInt" in kinds
    return "size" if type_name == "int" and sizes else ""


@functools.lru_cache(maxsize=64)
def _parsed(file: str, text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _function_at(file: str, line: int) -> ast.AST | None:
    """The innermost function or lambda that has a line of a file."""
    module = _parsed(file, "".join(linecache.getlines(file)))
    if module is None or not line:
        return None
    found = [
        node
        for node in ast.walk(module)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        and _first_line(node) <= line <= (node.end_lineno or node.lineno)
    ]
    return max(found, key=lambda node: (_first_line(node), node.col_offset), default=None)


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    """That of its first decorator, if it has one, as in its code."""
    decorators: list[ast.expr] = getattr(function, "decorator_list", [])
    return min([function.lineno, *(one.lineno for one in decorators)])
