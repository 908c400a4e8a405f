"""What to do about a cause under torch.compile: the hint that ends the rebuilds first, the one that limits them second.

Called by `guards.py` with what a guard says, and by `source.py` for what is found otherwise. `tests/backends/
test_torch_hints.py` does what each of them says, and holds that the rebuilds end.
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import torch

from pytest_graphmode.backends.torch.dynamo.frames import Frame
from pytest_graphmode.backends.torch.dynamo.managers import Guard, Scope, sources
from pytest_graphmode.backends.torch.dynamo.words import is_passed_on
from pytest_graphmode.ledger import Cause

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
            return self._of_shape(source, guard)
        if cause.kind == "grad-mode" and cause.argument.endswith(".requires_grad"):
            return _PARAMETER_GRADIENT if _is_kept(source) else _REQUIRES_GRAD
        if cause.kind == "structure" and source.endswith("['lr']"):
            return _RATE_REPLACED
        if cause.kind == "structure" and source.endswith(".grad"):
            return _LATE_GRADIENT
        if cause.kind == "python-value" and cause.type_name in ("bool", "int", "float"):
            return self._of_number(cause, source, guard)
        return ""

    def _of_shape(self, source: str, guard: Guard) -> str:
        if guard.text.startswith("2 <= "):
            return _ZERO_ONE
        value = Scope(None, self._frame).value(source)
        if _is_kept(source):
            return _MODULE_SHAPE
        if isinstance(value, torch.nn.Parameter):
            return _PARAMETER_SHAPE
        return "" if self._frame.outermost and not is_passed_on(source) else _INNER_SHAPE

    def _of_number(self, cause: Cause, source: str, guard: Guard) -> str:
        if "param_groups" in source:
            return _RATE if source.endswith("['lr']") else _SETTING
        if is_passed_on(source):
            return _READ
        uses = set(_uses(self._file(guard), guard.line, source))
        of_module = self._frame.module is not None and cause.argument.startswith(f"{self._frame.word_of_bound}.")
        for use, hint in (("loop", _LOOP), ("index", _INDEX), ("size", _SIZE)):
            if use in uses and not (cause.type_name != "int" and use != "loop"):
                return hint
        return _BUFFER if of_module else ""

    def _file(self, guard: Guard) -> str:
        """The whole path of the file that a guard names by its end."""
        own = self._frame.identity.file
        if guard.file and not own.endswith(guard.file):
            modules = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
            return next((file for file in modules if file.endswith(guard.file)), own)
        return own


def _is_kept(source: str) -> bool:
    """Whether a tensor is one of a module's own."""
    return "._parameters[" in source or "._buffers[" in source


# What a function does with a number, read from its source.


def _uses(file: str, line: int, source: str) -> Iterator[str]:
    """`loop`, `index` or `size` for each place where the function at a line uses what a source names last."""
    function = _function_at(file, line)
    if function is None:
        return
    name = source.rpartition("['")[2].removesuffix("']") if source.endswith("']") else source.rpartition(".")[2]
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(function):
        if _is_named(node, name):
            yield from _use(node, parents)


def _is_named(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Attribute):
        return node.attr == name and isinstance(node.ctx, ast.Load)
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == name


def _use(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> Iterator[str]:
    """What the expressions around a name do with it, up to its statement."""
    while not isinstance(node, ast.stmt) and node in parents:
        inner, node = node, parents[node]
        if isinstance(node, ast.Call) and inner is not node.func:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield "loop" if called == "range" else "size"
        elif isinstance(node, ast.Subscript) and inner is node.slice:
            yield "index"


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
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(found, key=lambda node: node.lineno, default=None)
