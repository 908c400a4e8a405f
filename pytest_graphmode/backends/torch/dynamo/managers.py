"""Reads Dynamo's guard managers: the graphs in its cache, the lines of their guards, and what these are tried in.

Called by `guards.py` and `memory.py`. A guard manager has no public way to tell its guards but its text, of which this
is a sample (torch 2.13; torch 2.4 writes the same):

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

_LINE: Final = re.compile(r"^[| ]*\+- (?P<kind>[A-Z_0-9]+): (?P<text>.*?)(?:\s+# (?P<comment>.*))?$")
_COMMENT: Final = re.compile(r"(?:.*# )?(?P<file>\S+):(?P<line>\d+) in ")
_CONSTANT: Final = re.compile(r"(?:-?\d+|-?\d+\.\d*(?:e[-+]?\d+)?|True|False)$")
_EMPTIED: Final = "TORCH_FUNCTION_MODE_STACK"  # Dynamo has taken the modes off the stack when a function is compiled
_BEGINNING: Final = re.compile(r"(?:getattr\(|\bdict\()*[LG]\['[^']*'\]")
_NEXT: Final = re.compile(r"\.\w+\b(?!\()")
# What closes getattr(L['x'], 'name') and dict(L['x'].__dict__)['name'].
_ATTRIBUTE: Final = re.compile(r", '[^']*'\)|(?<=\.__dict__)\)(?=\[)")


class Guard(NamedTuple):
    """One guard: its kind in torch's words, its expression, and the line of the user's code that it came from."""

    kind: str
    text: str
    file: str
    line: int


def sources(text: str) -> list[str]:
    """The variables, and what is reached from them, that a guard speaks of: `L['batch'].items[0]`."""
    found, position = [], 0
    while begun := _BEGINNING.search(text, position):
        position = _end(text, begun.end(), begun[0].count("("))
        found.append(text[begun.start() : position])
    return found


def _end(text: str, position: int, opened: int) -> int:
    """Where a path of attributes and items ends; an item may be named by an expression that has brackets too."""
    while position < len(text):
        following = (opened and _ATTRIBUTE.match(text, position)) or _NEXT.match(text, position)
        if following is not None:
            position = following.end()
        elif text[position] == "[" and (closed := _closing(text, position)):
            position = closed
        else:
            break
    return position


def _closing(text: str, position: int) -> int:
    depth = 0
    for index in range(position, len(text)):
        depth += {"[": 1, "]": -1}.get(text[index], 0)
        if not depth:
            return index + 1
    return 0


def manager_of(entry: Any) -> Any:
    return getattr(entry, "guard_manager", None) or entry.check_fn  # check_fn: torch 2.4


def guards_of(manager: Any) -> Iterator[Guard]:
    for line in str(manager).splitlines():
        match = _LINE.match(line)
        if match is not None and match["kind"] != _EMPTIED:
            where = _COMMENT.match(match["comment"] or "")
            file, number = (where["file"], int(where["line"])) if where else ("", 0)
            yield Guard(match["kind"], match["text"].strip(), file, number)


class Scope:
    """The variables that guards speak of, as they are in a frame."""

    def __init__(self, manager: Any, frame: Frame) -> None:
        known: Mapping[str, Any] = getattr(manager, "closure_vars", None) or {}
        self.names = {"L": frame.locals, "G": frame.globals, "torch": torch, "utils_device": _device, **known}

    def holds(self, guard: str) -> bool:
        """Whether a guard is true; one that can't be tried here is taken for true."""
        expression = re.split(r", type=<|\s+\(HINT", guard)[0]
        try:
            found = eval(expression, dict(self.names))
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
        if not equals or not _CONSTANT.match(asked) or sources(source) != [source]:
            return False
        return type(self.value(source)) is not type(ast.literal_eval(asked))

    def exists(self, source: str) -> bool:
        try:
            eval(source, dict(self.names))
        except Exception:
            return False
        return True

    def value(self, source: str) -> Any:
        try:
            return eval(source, dict(self.names))
        except Exception:
            return None
