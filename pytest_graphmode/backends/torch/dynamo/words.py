"""Says what guards speak of in the words of the user's code: `optimizer.param_groups[0]['lr']` for `L['self'].param_`.

Called by `guards.py`.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from pytest_graphmode.backends.torch.dynamo.frames import Frame, positional
from pytest_graphmode.backends.torch.dynamo.managers import Scope, sources

_ROOT: Final = re.compile(r"[LG]\['(\w+)'\]")
_CELL: Final = re.compile(r"^(?P<function>.*)\.__closure__\[(?P<position>\d+)\]\.cell_contents")
_CONVERTED: Final = re.compile(r"^___from_numpy\((.*)\)$")
_HELD: Final = re.compile(r"^(?P<partial>.*?)\.(?:args\[(?P<position>\d+)\]|keywords\['(?P<name>\w+)'\])")
_IMPORTED: Final = re.compile(r"\b__import_(\w+)")
_SPELLINGS: Final = (
    (re.compile(r"(\.state)\[list\(dict\.keys\(.*?\)\)\[(\d+)\]\]"), r"\1[parameter \2]"),
    (re.compile(r"\[list\(dict\.keys\(.*?\)\)\[(\d+)\]\]"), r"[key \1]"),
    (re.compile(r"getattr\(([^(),]*), '(\w+)'\)"), r"\1.\2"),
    (re.compile(r"\._(?:modules|parameters|buffers)\['(\d+)'\]"), r"[\1]"),
    (re.compile(r"\._(?:modules|parameters|buffers)\['([^']*)'\]"), r".\1"),
    (re.compile(r"\.__dict__\['(\w+)'\]"), r".\1"),
    (re.compile(r"___from_numpy\(([^()]*)\)"), r"\1"),  # how guards have a NumPy array as a tensor
    (re.compile(r"dict\(([^()]*)\.__dict__\)\['(\w+)'\]"), r"\1.\2"),
    (re.compile(r"\.__(?:self|func|wrapped)__"), ""),
)


class Words:
    """The names of one frame's variables."""

    def __init__(self, frame: Frame, scope: Scope) -> None:
        self._frame = frame
        self._scope = scope

    def name(self, source: str) -> str:
        """An argument's name for `L['x']`, a path of attributes for anything else."""
        source = _CONVERTED.sub(r"\1", source)
        held = _HELD.match(source)
        if held is not None and isinstance(partial := self._scope.value(held["partial"]), functools.partial):
            return self._of_partial(partial, held) + self.readable(source[held.end() :])
        cell = _CELL.match(source)
        if cell is not None:
            return self._closed_over(cell) + self.readable(source[cell.end() :])
        for root in self._objects(source):
            word = self._frame.word(root, self._scope.value(root))
            if word:
                return word + self.readable(source[len(root) :])
        leaves = [leaf for leaf in self._frame.leaves if _begins(source, leaf.source)]
        if leaves:
            leaf = max(leaves, key=lambda leaf: len(leaf.source))
            found = leaf.argument.name + self.readable(source[len(leaf.source) :])
            return f"{found} (line {self._frame.rest.line})" if is_passed_on(source) and self._frame.rest else found
        return self.readable(source)

    def _objects(self, source: str) -> list[str]:
        """The longest beginnings of a path first: the objects on the way to what it names."""
        ends = [match.start() for match in re.finditer(r"[.\[]", source)][1:]
        return [source[:end] for end in reversed(ends)] + [source]

    def _of_partial(self, partial: functools.partial[Any], held: re.Match[str]) -> str:
        """The parameter that a partial gives a value to."""
        if held["name"]:
            return held["name"]
        position, names = int(held["position"]), positional(partial.func)
        return names[position] if position < len(names) else f"args[{position}]"

    def _closed_over(self, cell: re.Match[str]) -> str:
        function = self._scope.value(cell["function"])
        names = getattr(getattr(function, "__code__", None), "co_freevars", ())
        position = int(cell["position"])
        return names[position] if position < len(names) else "a variable that it closes over"

    def readable(self, text: str) -> str:
        """Torch's text with what is torch's own left out."""
        for pattern, replacement in _SPELLINGS:
            text = pattern.sub(replacement, text)
        text = _IMPORTED.sub(lambda match: match[1].replace("_dot_", "."), text)
        return _ROOT.sub(self._root, text)

    def _root(self, match: re.Match[str]) -> str:
        found = self._frame.word(match[0], self._scope.value(match[0]))
        return found or match[1]

    def sentence(self, text: str) -> str:
        """A guard as it stands, its sources by their names."""
        for source in sorted(sources(text), key=len, reverse=True):
            text = text.replace(source, self.name(source))
        return self.readable(text)


def is_passed_on(source: str) -> bool:
    """Whether this is what an expression gave at which a graph broke, in what the rest of the function goes on with."""
    return source.startswith("L['___stack")


def _begins(source: str, beginning: str) -> bool:
    rest: Any = source[len(beginning) : len(beginning) + 1]
    return source.startswith(beginning) and rest in ("", ".", "[", ",")
