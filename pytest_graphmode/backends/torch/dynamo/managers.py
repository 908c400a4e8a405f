"""Reads Dynamo's guard managers: the graphs in its cache, their guards, and what these are tried on.

Called by `guards.py` and `memory.py`. torch's recompile reasons name the first guard that fails and no other, so that
all are read from the text of a guard manager, for which there is no public way. This is a sample (torch 2.13; 2.4 and
2.15 write the same):

    | +- GuardManager: source=L['n'], accessed_by=FrameLocalsGuardAccessor(key='n', framelocals_idx=1)
    | | +- EQUALS_MATCH: L['n'] == 2      # return x * n  # tests/model.py:12 in forward
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch.utils import _device

from pytest_graphmode.backends.torch.dynamo.frames import Frame

_LEAF: Final = re.compile(r"^(?P<depth>[| ]*)\+- (?P<kind>[A-Z_0-9]+): (?P<text>.*?)(?:\s+# (?P<comment>.*))?$")
_MANAGER: Final = re.compile(
    r"^(?P<depth>[| ]*)\+- (?:\w+Manager: )?\w*GuardManager: source=(?P<source>.*?), accessed_by"
)
_COMMENT: Final = re.compile(r"(?:.*# )?(?P<file>\S+):(?P<line>\d+) in ")
_KEY: Final = re.compile(r"^list\(dict\.keys\((.*)\)\)\[\d+\]$")
_CONSTANT: Final = re.compile(r"(?:-?\d+|-?\d+\.\d*(?:e[-+]?\d+)?|True|False)$")
_EMPTIED: Final = "TORCH_FUNCTION_MODE_STACK"  # Dynamo has taken the modes off the stack when a function is compiled


class Guard(NamedTuple):
    """One guard: its kind in torch's words, its expression, the variable that it is on ("" for none, or several), and
    the line of the user's code that it came from.
    """

    kind: str
    text: str
    source: str = ""
    file: str = ""
    line: int = 0


class GuardManager:
    """The guards of one graph, with the variables that they speak of as these are in a frame.

    Attributes:
        invalid: why the graph can't be used by anybody any more, "" where it can.
        guards: all guards, in torch's order.
        sources: the variables, and what is reached from them, as guards spell them: `L['batch'].items[0]`.
    """

    def __init__(self, entry: Any, frame: Frame) -> None:
        self._manager = getattr(entry, "guard_manager", None) or entry.check_fn  # check_fn: torch 2.4
        self._locals = frame.locals
        known: Mapping[str, Any] = getattr(self._manager, "closure_vars", None) or {}
        self._names = {"L": frame.locals, "G": frame.globals, "torch": torch, "utils_device": _device, **known}
        self.invalid = str(getattr(self._manager, "invalidation_reason", None) or "")
        self.sources: dict[str, None] = {}
        self.guards = list(self._read())

    def _read(self) -> Iterator[Guard]:
        source, depth = "", 0
        for line in str(self._manager).splitlines():
            if manager := _MANAGER.match(line):
                source, depth = _KEY.sub(r"\1", manager["source"]), len(manager["depth"])
                if "[" in source:  # and not G, which has all globals
                    self.sources.setdefault(source)
            elif (leaf := _LEAF.match(line)) and leaf["kind"] != _EMPTIED:
                text, where = leaf["text"].strip(), _COMMENT.match(leaf["comment"] or "")
                on = source if len(leaf["depth"]) > depth else next(iter(self.named(text)), "")
                place = (where["file"], int(where["line"])) if where else ("", 0)
                yield Guard(leaf["kind"], text, on, *place)

    def named(self, text: str) -> list[str]:
        """The variables that a text speaks of, in its order: where several begin at one place, the longest."""
        found: dict[int, str] = {}
        for source in self.sources:
            position = text.find(source)
            if position >= 0 and len(source) > len(found.get(position, "")):
                found[position] = source
        ordered = [found[position] for position in sorted(found)]
        return [one for one in ordered if not any(one != other and one in other for other in ordered)]

    def first_failure(self) -> str:
        """What torch itself names: the first guard that fails; "" where none does."""
        told = self._manager.check_verbose(self._locals)
        return "" if told.result else str(told.verbose_code_parts[0])

    def holds(self, guard: Guard) -> bool:
        """Whether a guard is true; one that can't be tried here is taken for true."""
        expression = re.split(r", type=<|\s+\(HINT", guard.text)[0]
        try:
            found = eval(expression, dict(self._names))
            if isinstance(found, torch.Tensor):  # a tensor where a number was
                return False
            return bool(found) and not self._is_of_another_type(expression)
        except (KeyError, IndexError, AttributeError):
            return False
        except Exception:
            return True

    def _is_of_another_type(self, guard: str) -> bool:
        """Whether a value equals the constant that is asked for, 2.0 for 2: a guard tells them apart."""
        source, equals, asked = guard.partition(" == ")
        if not equals or not _CONSTANT.match(asked) or source not in self.sources:
            return False
        return type(self.value(source)) is not type(ast.literal_eval(asked))

    def exists(self, source: str) -> bool:
        return self.value(source, self) is not self

    def value(self, source: str, default: Any = None) -> Any:
        try:
            return eval(source, dict(self._names))
        except Exception:
            return default
