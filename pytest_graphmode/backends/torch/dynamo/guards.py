"""Why Dynamo could not use the graphs it had: the guards of the nearest of them that do not hold any more.

Called by `source.py` before a function is compiled again. torch itself names only the first guard that fails, and only
in its log; so the guards are read from the text of a guard manager, which names all of them, and tried one by one.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch.utils import _device

from pytest_graphmode.backends.torch.dynamo.frames import Frame, describe
from pytest_graphmode.backends.torch.dynamo.tensors import (
    ExpectedTensor,
    autocast_changed,
    dtype_name,
    gradient_mode,
    listed,
)
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
    "train-eval": "accept one build for train() and one for eval(), or compile two modules",
    "layout": "call .contiguous() before the call, or accept one build per memory layout",
    "global-state": "set it before the first call, and leave it",
    "cache-reset": "leave out torch._dynamo.reset() and torch._dynamo.explain(), which drop the graphs there are",
    "guard": "keep it the same between calls, or accept one build for each",
}

_LINE: Final = re.compile(r"^[| ]*\+- ([A-Z_0-9]+): (.*?)(?:\s+# .*)?$")
_SOURCE: Final = re.compile(r"(?:getattr\()*[LG]\['[^']*'\](?:, '[^']*'\)|\.\w+\b(?!\()|\[[^\]]*\])*")
_ALIASES: Final = re.compile(r"^check_no_aliasing\((.*)\)$")
_EMPTIED: Final = "TORCH_FUNCTION_MODE_STACK"  # Dynamo has taken the modes off the stack when a function is compiled
_ZERO_ONE: Final = "torch builds graphs of their own for sizes 0 and 1; pad, or accept one build for each"
_TYPES: Final = {
    id(kind): kind.__name__ for kind in (bool, int, float, complex, str, bytes, type(None), list, tuple, dict, set)
}
# The numbers of c10::ScalarType, by which guards name the default dtype.
_SCALAR_TYPES: Final[Mapping[object, str]] = {5: "float16", 6: "float32", 7: "float64", 15: "bfloat16"}
_STRUCTURE: Final = re.compile(r"^(?:not )?(?:len\(|___dict_contains|list\(|dict\.keys|set\(|L\['[^']*'\]$)")


def causes(entries: Sequence[Any], frame: Frame) -> tuple[Cause, ...]:
    """What fails in the nearest of the graphs that a frame's function has; empty where it has none."""
    if not entries:
        return ()
    try:
        graphs = [EarlierGraph(entry, frame) for entry in entries]  # the latest first
        nearest = min(graphs, key=lambda graph: len(graph.causes))
        return nearest.causes or (nearest.first_failure(),)
    except Exception as error:  # guards look into the user's own objects, and the compilation must go on
        return (Cause("guard", f"what its guards ask for (they can't be read: {error!r})"),)


class EarlierGraph:
    """A graph in Dynamo's cache, held against a frame that can't use it.

    Attributes:
        causes: what its guards that fail say, each once.
    """

    def __init__(self, entry: Any, frame: Frame) -> None:
        self._manager = getattr(entry, "guard_manager", None) or entry.check_fn  # check_fn: torch 2.4
        self._frame = frame
        known = getattr(self._manager, "closure_vars", None) or {}
        self._scope = {"L": frame.locals, "G": frame.globals, "torch": torch, "utils_device": _device, **known}
        self._tensors: dict[str, ExpectedTensor] = {}
        self._mode = "grad" if torch.is_grad_enabled() else "no_grad"  # of the graph, but for inference mode
        found: dict[tuple[str, str], Cause] = {}
        for cause in self._failures():
            if cause.kind != "structure" or (cause.kind, cause.argument) not in found:
                found[cause.kind, cause.argument] = cause  # the later guards are the more precise ones
        self.causes = tuple(_once(found.values(), "train-eval"))

    def first_failure(self) -> Cause:
        """What torch itself says, where no guard was found that fails."""
        gone = getattr(self._manager, "invalidation_reason", None)
        if gone:
            return Cause("guard", str(gone))
        told = self._manager.check_verbose(self._frame.locals)
        if told.result:
            return Cause(
                "guard", "the compiler backend", hint="compile with one backend object, or name it by a string"
            )
        return Cause("guard", self._readable(str(told.verbose_code_parts[0]).partition("  #")[0].strip()))

    def _failures(self) -> Iterator[Cause]:
        for line in str(self._manager).splitlines():
            match = _LINE.match(line)
            if match is not None and match[1] != _EMPTIED:
                yield from self._tried(match[1], match[2].strip())

    def _tried(self, kind: str, guard: str) -> Iterator[Cause]:
        tensor = ExpectedTensor.parse(guard)
        if kind == "GLOBAL_STATE":
            yield from self._global_state(guard)
        elif tensor is not None:
            self._tensors[tensor.source] = tensor
            yield from tensor.differences(self._name(tensor.source), self._value(tensor.source), self._mode)
        elif aliases := _ALIASES.match(guard):
            yield from self._aliases(_SOURCE.findall(aliases[1]))
        elif not self._holds(guard):
            yield self._failed(guard)

    def _holds(self, guard: str) -> bool:
        """Whether a guard is true; one that can't be tried here is taken for true."""
        expression = re.split(r", type=<|\s+\(HINT", guard)[0]
        try:
            found = eval(expression, dict(self._scope))
            return not isinstance(found, torch.Tensor) and bool(found)  # a tensor where a number was
        except (KeyError, IndexError, AttributeError):
            return False
        except Exception:
            return True

    def _value(self, source: str) -> Any:
        try:
            return eval(source, dict(self._scope))
        except Exception:
            return None

    # What a guard that fails means.

    def _failed(self, guard: str) -> Cause:
        sources = _SOURCE.findall(guard)
        if not sources:
            return self._of_setting(guard)
        source = sources[0]
        name, value = self._name(source), self._value(source)
        if source.endswith(".training"):
            return Cause("train-eval", name, str(not value), str(value))
        if ".size()" in guard or ".stride()" in guard:
            return self._of_shape(guard, source, name, value)
        if " is " in guard and len(sources) > 1:
            return self._of_alias(sources)
        if "hasattr" in guard:
            return Cause("guard", self._readable(guard))
        if isinstance(value, torch.Tensor):
            return Cause("structure", name, _python(_before(guard, value)), self._text(value))
        if _STRUCTURE.match(guard) or isinstance(value, (dict, list, tuple, set)):
            return Cause("structure", name, *_structures(guard, value))
        return Cause("python-value", name, _before(guard, value), self._text(value), type_name=type(value).__name__)

    def _of_setting(self, guard: str) -> Cause:
        setting, _, before = guard.partition(" == ")
        if setting == "utils_device.CURRENT_DEVICE":
            return Cause("global-state", "the default device", before, str(self._value(setting)))
        return Cause("guard", guard)

    def _of_shape(self, guard: str, source: str, name: str, value: Any) -> Cause:
        expected = self._tensors.get(source)
        if not isinstance(value, torch.Tensor) or expected is None:
            return Cause("guard", self._readable(guard))
        if ".size()" not in guard:
            return Cause("layout", name, expected.strides, listed(value.stride()))
        hint = _ZERO_ONE if guard.startswith("2 <= ") else ""
        return Cause("shape", name, expected.shape, listed(value.shape), hint)

    def _global_state(self, guard: str) -> Iterator[Cause]:
        check = self._scope.get("___check_global_state")
        if check is None or check():
            return
        known = json.loads(guard.partition(" against ")[2] or "{}")
        for name in check.__self__.reason().split():
            if name == "grad_mode":
                self._mode = "no_grad" if torch.is_grad_enabled() else "grad"
                yield Cause("grad-mode", "", self._mode, gradient_mode())
            elif name == "default_dtype":
                before = _SCALAR_TYPES.get(known.get(name), "another")
                yield Cause("global-state", "the default dtype", before, dtype_name(torch.get_default_dtype()))
            elif name.startswith("autocast"):
                yield autocast_changed(None)
            else:
                yield Cause("global-state", name.replace("_", " "))

    def _aliases(self, sources: Sequence[str]) -> Iterator[Cause]:
        """Arguments that were tensors of their own, and are one tensor now."""
        values = [self._value(source) for source in sources]
        for position, value in enumerate(values):
            first = next(index for index, other in enumerate(values) if other is value)
            if first < position:
                same = f"the same tensor as {self._name(sources[first])}"
                yield Cause("structure", self._name(sources[position]), "a tensor of its own", same)

    def _of_alias(self, sources: Sequence[str]) -> Cause:
        """An argument that was the same tensor as another one, and is not any more."""
        first, second = (self._name(source) for source in sources[:2])
        value = self._value(sources[1])
        now = "a tensor of its own" if isinstance(value, torch.Tensor) else self._text(value)
        return Cause("structure", second, f"the same tensor as {first}", now)

    # Words.

    def _text(self, value: Any) -> str:
        return describe("", value).text

    def _name(self, source: str) -> str:
        """An argument's name for `L['x']`, a path of attributes for anything else."""
        leaves = [leaf for leaf in self._frame.leaves if source.startswith(leaf.source)]
        if leaves:
            leaf = max(leaves, key=lambda leaf: len(leaf.source))
            return leaf.argument.name + source[len(leaf.source) :]
        return self._readable(source)

    def _readable(self, text: str) -> str:
        for pattern, replacement in _SPELLINGS:
            text = pattern.sub(replacement, text)
        return text.replace("L['fn']", self._frame.subject_name) if self._frame.subject_name else _BARE.sub(r"\1", text)


_BARE: Final = re.compile(r"[LG]\['(\w+)'\]")
_SPELLINGS: Final = (
    (re.compile(r"getattr\(([^(),]*), '(\w+)'\)"), r"\1.\2"),
    (re.compile(r"\._(?:modules|parameters|buffers)\['([^']*)'\]"), r".\1"),
)


def _before(guard: str, value: object) -> str:
    """The value that a guard asks for."""
    left, equals, right = guard.partition(" == ")
    if equals and not left.startswith("___"):
        return right
    asked = _type_asked(guard)
    if asked not in (None, type(value).__name__):
        return f"any {asked}"
    return str(not value) if isinstance(value, bool) else "another one"


def _type_asked(guard: str) -> str | None:
    """The type that a guard asks for, by its name, or by what names most types where only its `id` is told."""
    match = re.search(r"___check_type_id\(.*, (\d+)\)(?:, type=<class '(?:\w+\.)*(\w+)'>)?", guard)
    return None if match is None else match[2] or _TYPES.get(int(match[1]), "another type")


def _python(text: str) -> str:
    """`Python int 2` for `2`, `Python int` for `any int`."""
    try:
        return f"Python {type(ast.literal_eval(text)).__name__} {text}"
    except (SyntaxError, ValueError):
        return f"Python {text.removeprefix('any ')}"


def _structures(guard: str, value: Any) -> tuple[str, str]:
    """What a guard asks of a container, and what the container is."""
    asked = _type_asked(guard)
    if asked is not None:
        return asked, type(value).__name__
    length = re.search(r"^len\(.*\) == (\d+)$", guard)
    before = f"length {length[1]}" if length else "empty" if guard.startswith("not ") else "other keys"
    return before, f"length {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _once(found: Iterable[Cause], kind: str) -> Iterator[Cause]:
    """All causes, of one kind only the first: a module that was set to eval() says so for each of its parts."""
    met = False
    for cause in found:
        if cause.kind != kind or not met:
            yield cause
        met = met or cause.kind == kind
