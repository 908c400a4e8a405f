"""Says what guards speak of in the words of the user's code: `optimizer.param_groups[0]['lr']` for `L['self'].param_`.

Called by `guards.py`. These are samples of how guards spell what is reached from a variable (torch 2.4 to 2.15):

    L['self']._modules['0']._parameters['weight']       L['fn'].__closure__[0].cell_contents
    L['fn'].keywords['n']                               L['self'].state[list(dict.keys(L['self'].state))[0]]['step']
"""

from __future__ import annotations

import functools
import re
from typing import Final

from pytest_graphmode.backends.torch.dynamo.frames import Frame, positional
from pytest_graphmode.backends.torch.dynamo.managers import GuardManager

_ROOT: Final = re.compile(r"[LG]\['(\w+)'\]")
_CELL: Final = re.compile(r"(?P<function>.*)\.__closure__\[(?P<position>\d+)\]\.cell_contents")
_HELD: Final = re.compile(r"(?P<partial>.*?)\.(?:args\[(?P<position>\d+)\]|keywords\['(?P<name>\w+)'\])")
_SPELLINGS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(\.state)\[list\(dict\.keys\(.*?\)\)\[(\d+)\]\]", r"\1[parameter \2]"),
        (r"\[list\(dict\.keys\(.*?\)\)\[(\d+)\]\]", r"[key \1]"),
        (r"getattr\(([^(),]*), '(\w+)'\)", r"\1.\2"),
        (r"\._(?:modules|parameters|buffers)\['(\d+)'\]", r"[\1]"),
        (r"\._(?:modules|parameters|buffers)\['([^']*)'\]", r".\1"),
        (r"\.__dict__\['(\w+)'\]", r".\1"),
        (r"___from_numpy\(([^()]*)\)", r"\1"),  # how guards have a NumPy array as a tensor
        (r"dict\(([^()]*)\.__dict__\)\['(\w+)'\]", r"\1.\2"),
        (r"\.__(?:self|func|wrapped)__", ""),
        (r"\b__import_(?:\w+_dot_)*(\w+)", r"\1"),
    )
)


class Words:
    """The names of one frame's variables."""

    def __init__(self, frame: Frame, manager: GuardManager) -> None:
        self._frame = frame
        self._manager = manager

    def name(self, source: str) -> str:
        """An argument's name for `L['x']`, a path of attributes for anything else."""
        source = re.sub(r"^___from_numpy\((.*)\)$", r"\1", source)
        for pattern, named in ((_HELD, self._of_partial), (_CELL, self._closed_over)):
            found = pattern.match(source)
            if found is not None and (word := named(found)):
                return word + self._readable(source[found.end() :])
        for root in _beginnings(source):
            word = self._frame.word(root, self._manager.value(root))
            if word:
                return word + self._readable(source[len(root) :])
        leaves = [leaf for leaf in self._frame.leaves if leaf.source in _beginnings(source)]
        if not leaves:
            return self._readable(source)
        leaf = max(leaves, key=lambda leaf: len(leaf.source))
        found_name = leaf.argument.name + self._readable(source[len(leaf.source) :])
        return (
            f"{found_name} (line {self._frame.rest.line})" if is_passed_on(source) and self._frame.rest else found_name
        )

    def _of_partial(self, held: re.Match[str]) -> str:
        """The parameter that a partial gives a value to."""
        partial = self._manager.value(held["partial"])
        if not isinstance(partial, functools.partial):
            return ""
        return held["name"] or _at(positional(partial.func), int(held["position"]), f"args[{held['position']}]")

    def _closed_over(self, cell: re.Match[str]) -> str:
        code = getattr(self._manager.value(cell["function"]), "__code__", None)
        names = getattr(code, "co_freevars", ())
        return _at(names, int(cell["position"]), "a variable that it closes over")

    def _readable(self, text: str) -> str:
        """Torch's text with what is torch's own left out."""
        for pattern, replacement in _SPELLINGS:
            text = pattern.sub(replacement, text)
        return _ROOT.sub(lambda root: self._frame.word(root[0], self._manager.value(root[0])) or root[1], text)

    def sentence(self, text: str) -> str:
        """A guard as it stands, its variables by their names."""
        for source in sorted(self._manager.named(text), key=len, reverse=True):
            text = text.replace(source, self.name(source))
        return self._readable(text)


def is_passed_on(source: str) -> bool:
    """Whether this is what an expression gave at which a graph broke, in what the rest of the function goes on with."""
    return source.startswith("L['___stack")


def _beginnings(source: str) -> list[str]:
    """The objects on the way to what a path names, the longest first: `L['x'].a[0]`, `L['x'].a`, `L['x']`."""
    ends = [match.start() for match in re.finditer(r"[.\[,]", source)][1:]
    return [source, *(source[:end] for end in reversed(ends))]


def _at(names: list[str] | tuple[str, ...], position: int, otherwise: str) -> str:
    return names[position] if position < len(names) else otherwise
