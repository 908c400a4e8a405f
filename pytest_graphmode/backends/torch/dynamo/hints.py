"""What to do about a cause under torch.compile: the hint that ends the rebuilds first, the one that limits them second.

Called by `guards.py` with what a guard says, and by `source.py` for what is found otherwise. `tests/backends/
test_torch_hints.py` does what each of them says, and holds that the rebuilds end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import torch

from pytest_graphmode.backends.torch.dynamo.managers import Guard, GuardManager, is_passed_on
from pytest_graphmode.backends.torch.dynamo.uses import file_named, uses
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
_INNER_SHAPE: Final = "torch.compile(dynamic=True), or accept one build per shape"
_SIZE: Final = "torch.compile(dynamic=True), or accept one build per value"
_KEPT: Final = "keep it the same, for torch takes no tensor there, or accept one build per value"
_GRADIENTS: Final = "pass tensors of which all or none require gradients (.detach())"
_GRADIENT_LATE: Final = "let it have a gradient before the first step, or accept one build for each"
_GRADIENT_GONE: Final = "zero_grad(set_to_none=False) keeps its gradient, or accept one build for each"
# What to do by what a number is used for, that which a tensor can't replace first.
_BY_USE: Final[Mapping[str, str]] = {
    "loop": "a Python loop is unrolled for each value: loop over one fixed range and mask the rest by a tensor "
    "{argument}, or accept one build per value",
    "index": "index outside and pass the element, or accept one build per value",
    "store": "write by index_copy_ with a tensor {argument} of one element, or accept one build per value",
    "size": _SIZE,
    "constant": _KEPT,
    "branch": "pass a tensor, or accept one build per value; an if on a tensor breaks the graph: choose by torch.where "
    "or torch.cond",
}
_SIZE_OF: Final = re.compile(r"L\[.*\]\.size\(\)\[\d+\]")


def hinted(cause: Cause, guard: Guard, manager: GuardManager) -> Cause:
    """The cause with a hint of its own, where the general one would not do."""
    hint = cause.hint or _hint(cause, guard, manager)
    return replace(cause, hint=hint.replace("{argument}", cause.argument))


def _hint(cause: Cause, guard: Guard, manager: GuardManager) -> str:
    kind, source = cause.kind, guard.source
    if kind == "shape":
        return _of_shape(cause, guard, manager)
    if kind == "grad-mode" and cause.argument.endswith(".requires_grad"):
        what = "freeze it in all objects or in none" if _is_of_module(source) else _GRADIENTS
        return f"{what}, or accept one build for each"
    if kind == "structure":
        if source.endswith("['lr']"):
            return "write into the tensor, lr.fill_(value), instead of putting a number in its place"
        if source.endswith(".grad"):
            return _GRADIENT_GONE if cause.after == "None" else _GRADIENT_LATE
        if cause.argument.startswith("optimizer.state"):
            return "take a first step before, which makes the optimizer's state, or accept one build more"
        if "the same tensor as" in f"{cause.before} {cause.after}":
            return "pass {argument} as a tensor of its own each time (.clone()), or accept one build for each"
    if kind in ("python-value", "structure") and "None" in (cause.before, cause.after):
        given = "give {argument} in all calls or in none, or accept one build for each"
        return "" if is_passed_on(source) else given
    if kind == "python-value" and cause.type_name in ("bool", "int", "float"):
        return _of_number(cause, guard, manager)
    return ""


def _of_shape(cause: Cause, guard: Guard, manager: GuardManager) -> str:
    value = manager.value(guard.source)
    if _is_of_module(guard.source):
        return "accept one build per shape, for torch takes the shapes of a module's tensors for constants"
    if isinstance(value, torch.nn.Parameter):
        return f"torch._dynamo.config.force_parameter_static_shapes = False with {_INNER_SHAPE}"
    if _is_special(cause):
        return "torch builds graphs of their own for sizes 0 and 1; pad, or accept one build for each"
    if guard.kind != "TENSOR_MATCH":
        return _of_size(guard)
    marked = isinstance(value, torch.Tensor) and "___from_numpy" not in guard.text
    return "" if marked and manager.frame.outermost and not is_passed_on(guard.source) else _INNER_SHAPE


def _of_number(cause: Cause, guard: Guard, manager: GuardManager) -> str:
    source, frame = guard.source, manager.frame
    if "param_groups" in source:
        kept = "leave it between steps as it is (a scheduler's cycle_momentum=False)"
        what = "pass a tensor lr to the optimizer" if source.endswith("['lr']") else kept
        return f"{what}, or accept one build per value"
    if is_passed_on(source):
        return "keep it a tensor and leave out what reads its value, or accept one build per value"
    if isinstance(manager.value(source.rpartition(".")[0]), slice):
        return _SIZE
    file = file_named(guard.file, frame.identity.file)
    line = guard.line or frame.identity.line  # torch 2.4 does not tell
    found = uses(file, line, cause.argument, cause.type_name)
    use = next((use for use in _BY_USE if use in found), None)
    if use == "size" and {cause.before, cause.after} & {"0", "1"}:
        return "torch builds graphs of their own for 0 and 1; begin at 2, or accept one build for each"
    if use is not None:
        return _BY_USE[use]
    if is_library(file):
        return _KEPT
    if frame.module is not None and cause.argument.startswith((f"{frame.word_of_bound}.", f"{frame.word_of_bound}[")):
        return "make it a tensor (register it as a buffer), or accept one build per value"
    free = source.startswith("L['") and source.split("'")[1] in frame.code.co_freevars
    passed = not free and source in (leaf.source for leaf in frame.leaves)
    return "" if passed else "make it a tensor, or accept one build per value"


def _of_size(guard: Guard) -> str:
    """For a guard on sizes that are not fixed: `2 <= L['x'].size()[0] <= 5`."""
    left, _, right = guard.text.partition("  #")[0].partition(" == ")
    equal = _SIZE_OF.fullmatch(left.strip()) and _SIZE_OF.fullmatch(right.strip())
    if equal and ("duck sizing" in guard.text or not guard.line):
        return (
            "torch took equal sizes for one: torch.fx.experimental._config.use_duck_shape = False, or accept one build "
            "more"
        )
    return "the code depends on this size: pad to sizes that it takes alike, or accept one build for each"


def _is_special(cause: Cause) -> bool:
    """Whether a size that changed is or was 0 or 1."""
    before, after = (text.partition(" where ")[0].strip("[]").split(", ") for text in (cause.before, cause.after))
    return any({"0", "1"} & {was, now} for was, now in zip(before, after, strict=False) if was != now)


def _is_of_module(source: str) -> bool:
    """Whether a tensor is one of a module's own."""
    return "._parameters[" in source or "._buffers[" in source
