"""Reads Dynamo's guard managers: the guards of the graphs in its cache, what they are tried on, what users call it.

Called by `guards.py`, `hints.py` and `memory.py`. torch's recompile reasons name the first guard that fails and no
other, so that all are read from the text of a guard manager, for which there is no public way. This is a sample (torch
2.13; 2.4 and 2.15 write the same):

    | +- GuardManager: source=L['n'], accessed_by=FrameLocalsGuardAccessor(key='n', framelocals_idx=1)
    | | +- EQUALS_MATCH: L['n'] == 2      # return x * n  # tests/model.py:12 in forward

And these are samples of how guards spell what is reached from a variable (torch 2.4 to 2.15):

    L['self']._modules['0']._parameters['weight']       L['fn'].__closure__[0].cell_contents
    L['fn'].keywords['n']                               L['self'].state[list(dict.keys(L['self'].state))[0]]['step']
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch.utils import _device

from pytest_graphmode.backends.torch.dynamo.frames import Frame, positional

_LEAF: Final = re.compile(r"^(?P<depth>[| ]*)\+- (?P<kind>[A-Z_0-9]+): (?P<text>.*?)(?:\s+# (?P<comment>.*))?$")
_MANAGER: Final = re.compile(
    r"^(?P<depth>[| ]*)\+- (?:\w+Manager: )?\w*GuardManager: source=(?P<source>.*?), accessed_by"
)
_COMMENT: Final = re.compile(r"(?:.*# )?(?P<file>\S+):(?P<line>\d+) in ")
_KEY: Final = re.compile(r"^list\(dict\.keys\((.*)\)\)\[\d+\]$")
_CONSTANT: Final = re.compile(r"(?:-?\d+|-?\d+\.\d*(?:e[-+]?\d+)?|True|False)$")
_EMPTIED: Final = "TORCH_FUNCTION_MODE_STACK"  # Dynamo has taken the modes off the stack when a function is compiled

ROOT: Final = re.compile(r"[LG]\['(\w+)'\]")
_CELL: Final = re.compile(r"(?P<function>.*)\.__closure__\[(?P<position>\d+)\]\.cell_contents")
_HELD: Final = re.compile(r"(?P<partial>.*?)\.(?:args\[(?P<position>\d+)\]|keywords\['(?P<name>\w+)'\])")
_SPELLINGS: Final = {
    re.compile(pattern): replacement
    for pattern, replacement in {
        r"(\.state)\[list\(dict\.keys\(.*?\)\)\[(\d+)\]\]": r"\1[parameter \2]",
        r"\[list\(dict\.keys\(.*?\)\)\[(\d+)\]\]": r"[key \1]",
        r"getattr\(([^(),]*), '(\w+)'\)": r"\1.\2",
        r"\._(?:modules|parameters|buffers)\['(\d+)'\]": r"[\1]",
        r"\._(?:modules|parameters|buffers)\['([^']*)'\]": r".\1",
        r"\.__dict__\['(\w+)'\]": r".\1",
        r"___from_numpy\(([^()]*)\)": r"\1",  # how guards have a NumPy array as a tensor
        r"dict\(([^()]*)\.__dict__\)\['(\w+)'\]": r"\1.\2",
        r"\.__(?:self|func|wrapped)__": "",
        r"\b__import_(?:\w+_dot_)*(\w+)": r"\1",
    }.items()
}


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
        self.frame = frame
        self._manager = manager_of(entry)
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
        told = self._manager.check_verbose(self.frame.locals)
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
        source, _, asked = guard.partition(" == ")
        if not _CONSTANT.match(asked) or source not in self.sources:
            return False
        return type(self.value(source)) is not type(ast.literal_eval(asked))

    def exists(self, source: str) -> bool:
        return self.value(source, self) is not self

    def value(self, source: str, default: Any = None) -> Any:
        try:
            return eval(source, dict(self._names))
        except Exception:
            return default

    # In the words of the user's code: `optimizer.param_groups[0]['lr']` for `L['self'].param_groups[0]['lr']`.

    def name(self, source: str) -> str:
        """An argument's name for `L['x']`, a path of attributes for anything else."""
        source = re.sub(r"^___from_numpy\((.*)\)$", r"\1", source)
        for pattern, named in ((_HELD, self._of_partial), (_CELL, self._closed_over)):
            found = pattern.match(source)
            if found is not None and (word := named(found)):
                return word + self._readable(source[found.end() :])
        # The objects on the way to what a path names, the longest first: L['x'].a[0], L['x'].a, L['x'].
        ends = [match.start() for match in re.finditer(r"[.\[,]", source)][:0:-1]
        beginnings = [source, *(source[:end] for end in ends)]
        for root in beginnings:
            if word := self.frame.word(root, self.value(root)):
                return word + self._readable(source[len(root) :])
        arguments = {leaf.source: leaf.argument.name for leaf in reversed(self.frame.leaves)}
        known = next((root for root in beginnings if root in arguments), None)
        if known is None:
            return self._readable(source)
        name = arguments[known] + self._readable(source[len(known) :])
        return f"{name} (line {self.frame.rest.line})" if is_passed_on(source) and self.frame.rest else name

    def _of_partial(self, held: re.Match[str]) -> str:
        """The parameter that a partial gives a value to."""
        partial = self.value(held["partial"])
        if not isinstance(partial, functools.partial):
            return ""
        return held["name"] or _at(positional(partial.func), int(held["position"]), f"args[{held['position']}]")

    def _closed_over(self, cell: re.Match[str]) -> str:
        code = getattr(self.value(cell["function"]), "__code__", None)
        names = getattr(code, "co_freevars", ())
        return _at(names, int(cell["position"]), "a variable that it closes over")

    def _readable(self, text: str) -> str:
        """Torch's text with what is torch's own left out."""
        for pattern, replacement in _SPELLINGS.items():
            text = pattern.sub(replacement, text)
        return ROOT.sub(lambda root: self.frame.word(root[0], self.value(root[0])) or root[1], text)

    def sentence(self, text: str) -> str:
        """A guard as it stands, its variables by their names."""
        for source in sorted(self.named(text), key=len, reverse=True):
            text = text.replace(source, self.name(source))
        return self._readable(text)


def manager_of(entry: Any) -> Any:
    """torch's own guard manager of a graph; check_fn is its name in torch 2.4."""
    return getattr(entry, "guard_manager", None) or entry.check_fn


def is_passed_on(source: str) -> bool:
    """Whether this is what an expression gave at which a graph broke, in what the rest of the function goes on with."""
    return source.startswith("L['___stack")


def _at(names: Sequence[str], position: int, otherwise: str) -> str:
    return names[position] if position < len(names) else otherwise
