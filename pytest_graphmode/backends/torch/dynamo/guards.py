"""Why Dynamo could not use the graphs it had: the guards of the latest that it could have reused which do not hold.

Called by `source.py` before a function is compiled again. torch itself names only the first guard that fails, and only
in its log; so the guards are read from the text of a guard manager, which names all of them, and tried one by one. What
torch names is never left out: where nothing else is found, or where it names something else, it stands by itself.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch

from pytest_graphmode.backends.torch.dynamo.frames import SHOWN, Frame, describe
from pytest_graphmode.backends.torch.dynamo.hints import Hints
from pytest_graphmode.backends.torch.dynamo.managers import Guard, Scope, guards_of, manager_of, sources
from pytest_graphmode.backends.torch.dynamo.memory import Memory
from pytest_graphmode.backends.torch.dynamo.tensors import (
    ExpectedTensor,
    autocast_changed,
    dtype_name,
    gradient_mode,
    listed,
)
from pytest_graphmode.backends.torch.dynamo.words import Words
from pytest_graphmode.ledger.contents import Content, described
from pytest_graphmode.ledger.ledger import Cause

_ALIASES: Final = re.compile(r"^check_no_aliasing\((.*)\)$")
_TYPES: Final = {
    id(kind): kind.__name__ for kind in (bool, int, float, complex, str, bytes, type(None), list, tuple, dict, set)
}
# The numbers of c10::ScalarType, by which guards name the default dtype.
_SCALAR_TYPES: Final[Mapping[object, str]] = {5: "float16", 6: "float32", 7: "float64", 15: "bfloat16"}
_STRUCTURE: Final = re.compile(r"^(?:not )?(?:len\(|___dict_contains|list\(|dict\.keys|set\(|L\['[^']*'\]$)")
_LENGTH: Final = re.compile(r"^len\((?P<source>.*)\) != (?P<length>\d+)")
_PARTS: Final = re.compile(r"\._(?:modules|parameters|buffers)$")
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_PLAIN: Final = ("bool", "int", "float", "complex", "str", "bytes", "NoneType")


def causes(reusable: Sequence[Any], frame: Frame, memory: Memory) -> tuple[Cause, ...]:
    """What fails in the first of the graphs that a frame could have reused; empty where there is none."""
    if not reusable:
        return ()
    try:
        return EarlierGraph(reusable[0], frame, memory.of(reusable[0]).values).causes
    except Exception as error:  # guards look into the user's own objects, and the compilation must go on
        return (Cause("guard", f"what its guards ask for (they can't be read: {type(error).__name__})"),)


class EarlierGraph:
    """A graph in Dynamo's cache, held against a frame that can't use it.

    Attributes:
        causes: what its guards that fail say, each once.
    """

    def __init__(self, entry: Any, frame: Frame, known: Mapping[str, Content]) -> None:
        self._manager = manager_of(entry)
        self._frame = frame
        self._known = known
        self._scope = Scope(self._manager, frame)
        self._words = Words(frame, self._scope)
        self._hints = Hints(frame)
        self._tensors: dict[str, ExpectedTensor] = {}
        self._failed_sources: set[str] = set()
        self._mode = "grad" if torch.is_grad_enabled() else "no_grad"  # of the graph, but for inference mode
        found: dict[tuple[str, str], Cause] = {}
        for cause in self._failures():
            if cause.kind != "structure" or (cause.kind, cause.argument) not in found:
                found[cause.kind, cause.argument] = cause  # the later guards are the more precise ones
        kept = tuple(_once(_without_repetition(list(found.values())), "train-eval"))
        self.causes = (*kept, *self._told_by_torch(bool(kept)))

    def _told_by_torch(self, explained: bool) -> Iterator[Cause]:
        """What torch itself names, unless it is among what was found."""
        told = self._first_failure()
        first = sources(told)[:1]
        tensor = re.match(r"tensor '(.*?)' ", told)  # torch's words for a tensor, in which L['x'] is x
        named = first or ([tensor[1]] if tensor else [])
        if explained and (not named or any(self._is_explained(source) for source in named)):
            return
        cause = self._hints.hinted(self.first_failure(), Guard("", told, "", 0))
        if not explained or cause.argument not in ("", "the compiler backend"):
            yield cause

    def _is_explained(self, source: str) -> bool:
        return any(source in (known, _shortened(known)) or known.startswith(source) for known in self._failed_sources)

    def _first_failure(self) -> str:
        if getattr(self._manager, "invalidation_reason", None):
            return ""
        told = self._manager.check_verbose(self._frame.locals)
        return "" if told.result else str(told.verbose_code_parts[0])

    def first_failure(self) -> Cause:
        """What torch itself says, where no guard was found that fails."""
        gone = getattr(self._manager, "invalidation_reason", None)
        if gone:
            return self._of_the_dead(str(gone))
        told = self._first_failure()
        if not told:
            return Cause(
                "guard", "the compiler backend", hint="compile with one backend object, or name it by a string"
            )
        return self._of_length(told) or Cause("guard", self._words.sentence(told.partition("  #")[0].strip()))

    def _of_length(self, told: str) -> Cause | None:
        """A dict that grew, which torch 2.13 tells by what is not so any more: `len(L['c'].d) != 1`."""
        match = _LENGTH.match(told)
        if match is None or sources(told) != [match["source"]]:
            return None
        name, value = self._words.name(match["source"]), self._scope.value(match["source"])
        now = f"length {len(value)}" if hasattr(value, "__len__") else "another object"
        return Cause("structure", _PARTS.sub("", name), f"length {match['length']}", now)

    def _of_the_dead(self, reason: str) -> Cause:
        """A graph that went with an object; torch 2.13: "Cache line invalidated because L['self'] got deallocated"."""
        named = sources(reason)
        if not named:
            return Cause("guard", reason)
        value = self._scope.value(named[0])
        if value is self._frame.bound and value is not None:
            return Cause("another-object", type(value).__name__, type_name=type(value).__name__)
        text = describe("", value).text
        return Cause("python-value", self._words.name(named[0]), text, text, type_name=type(value).__name__)

    def _failures(self) -> Iterator[Cause]:
        for guard in guards_of(self._manager):
            source = next(iter(sources(guard.text)), "")
            if source and self._follows_from_others(source, guard.text):
                continue
            for cause in self._tried(guard):
                self._failed_sources.add(source)
                yield self._hints.hinted(cause, guard)

    def _follows_from_others(self, source: str, guard: str) -> bool:
        """Whether a guard speaks of a part of what is another thing already, or of torch's marks on it."""
        parts = [known for known in self._failed_sources if known and source.startswith(known)]
        if "hasattr(" in guard and source in self._failed_sources:
            return True
        return any(source[len(known) :][:1] in (".", "[") for known in parts) and not self._scope.exists(source)

    def _tried(self, guard: Guard) -> Iterator[Cause]:
        tensor = ExpectedTensor.parse(guard.text)
        if guard.kind == "GLOBAL_STATE":
            yield from self._global_state(guard.text)
        elif tensor is not None:
            self._tensors[tensor.source] = tensor
            name, value = self._words.name(tensor.source), self._scope.value(tensor.source)
            yield from tensor.differences(name, value, self._mode)
        elif aliases := _ALIASES.match(guard.text):
            yield from self._aliases(sources(aliases[1]))
        elif not self._scope.holds(guard.text):
            yield from self._failed(guard.text)

    # What a guard that fails means.

    def _failed(self, guard: str) -> Iterator[Cause]:
        named = sources(guard)
        if not named:
            yield self._of_setting(guard)
            return
        source = named[0]
        name, value = self._words.name(source), self._scope.value(source)
        if source.endswith(".training"):
            yield Cause("train-eval", name, str(not value), str(value))
        elif ".size()" in guard or ".stride()" in guard:
            yield self._of_shape(guard, source, name, value)
        elif " is " in guard and len(named) > 1:
            yield self._of_alias(named)
        elif "hasattr" in guard:
            yield Cause("guard", self._words.sentence(guard))
        elif _STRUCTURE.match(guard) or isinstance(value, _CONTAINERS):
            yield Cause("structure", name, *_structures(guard, value, self._known.get(source)))
        else:
            yield from self._of_value(guard, name, self._known.get(source), value)

    def _of_value(self, guard: str, name: str, before: Content | None, value: Any) -> Iterator[Cause]:
        now = describe(name, value)
        if isinstance(value, torch.Tensor) and before is not None and before.type_name in ("Tensor", "Parameter"):
            constant = f"the value of {name}, which the graph has as a constant,"
            yield Cause("guard", constant, _asked(guard, None), _item(value))
        elif isinstance(value, torch.Tensor):
            yield Cause("structure", name, _python(_asked(guard, None if _type_asked(guard) else before)), now.text)
        elif before is not None and before.type_name in ("Tensor", "Parameter"):
            yield Cause("structure", name, before.text, _python(now.text))
        elif before is None or before.type_name in _PLAIN or type(value).__name__ in _PLAIN:
            yield Cause("python-value", name, _asked(guard, before), now.text, type_name=_type_name(value, before))
        else:
            yield from self._of_object(guard, name, before, value)

    def _of_object(self, guard: str, name: str, before: Content, value: Any) -> Iterator[Cause]:
        """Another object: by its class, by the attributes that differ, else it was made anew."""
        after = described("closure", name, value)
        if before.type_name != after.type_name:
            yield Cause("structure", name, before.type_name, after.type_name)
            return
        old = dict(before.attributes)
        differing = [(key, old[key], text) for key, text in after.attributes if old.get(key, text) != text]
        for key, was, text in differing[:3]:
            yield Cause("python-value", f"{name}.{key}", was, text, type_name="value")
        if not differing:
            texts = (before.text, after.text)
            if isinstance(value, SHOWN):
                texts = (_asked(guard, before), describe("", value).text)
            yield Cause("python-value", name, *texts, type_name=after.type_name)

    def _of_setting(self, guard: str) -> Cause:
        setting, _, before = guard.partition(" == ")
        if setting == "utils_device.CURRENT_DEVICE":
            return Cause("global-state", "the default device", before, str(self._scope.value(setting)))
        return Cause("guard", guard)

    def _of_shape(self, guard: str, source: str, name: str, value: Any) -> Cause:
        expected = self._tensors.get(source)
        if not isinstance(value, torch.Tensor) or expected is None:
            return Cause("guard", self._words.sentence(guard))
        if ".size()" not in guard:
            return Cause("layout", name, expected.strides, listed(value.stride()))
        told = self._words.sentence(guard.partition("  #")[0].strip())
        special = any(size in (0, 1) for size in value.shape)  # of which torch makes graphs of their own anyway
        before = expected.shape if special else f"{expected.shape} where {told}"
        return Cause("shape", name, before, listed(value.shape))

    def _global_state(self, guard: str) -> Iterator[Cause]:
        check = self._scope.names.get("___check_global_state")
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

    def _aliases(self, named: Sequence[str]) -> Iterator[Cause]:
        """Arguments that were tensors of their own, and are one tensor now."""
        values = [self._scope.value(source) for source in named]
        for position, value in enumerate(values):
            first = next(index for index, other in enumerate(values) if other is value)
            if first < position:
                same = f"the same tensor as {self._words.name(named[first])}"
                yield Cause("structure", self._words.name(named[position]), "a tensor of its own", same)

    def _of_alias(self, named: Sequence[str]) -> Cause:
        """An argument that was the same tensor as another one, and is not any more."""
        first, second = (self._words.name(source) for source in named[:2])
        value = self._scope.value(named[1])
        now = "a tensor of its own" if isinstance(value, torch.Tensor) else describe("", value).text
        return Cause("structure", second, f"the same tensor as {first}", now)


def _asked(guard: str, before: Content | None) -> str:
    """The value that a guard asks for: what it names, else what there was when it was made."""
    left, equals, right = guard.partition(" == ")
    if equals and not left.startswith("___"):
        return right
    named = guard.partition(" is ")[2]
    if named in ("None", "True", "False"):
        return named
    if before is not None:
        return before.text
    asked = _type_asked(guard)
    return f"{'an' if asked[0] in 'aeiou' else 'a'} {asked}" if asked else "another value"


def _item(tensor: torch.Tensor) -> str:
    return str(tensor.item()) if tensor.numel() == 1 else describe("", tensor).text


def _type_asked(guard: str) -> str | None:
    """The type that a guard asks for, by its name, or by what names most types where only its `id` is told."""
    match = re.search(r"___check_type_id\(.*, (\d+)\)(?:, type=<class '(?:[\w<>]+\.)*(\w+)'>)?", guard)
    return None if match is None else match[2] or _TYPES.get(int(match[1]), "object of another type")


def _type_name(value: object, before: Content | None) -> str:
    """`int` for None that became 3, and for 3 that became None."""
    name = type(value).__name__
    return before.type_name if name == "NoneType" and before is not None else name


def _python(text: str) -> str:
    """`Python int 2` for `2`; None is None in every language."""
    if text == "None":
        return text
    try:
        return f"Python {type(ast.literal_eval(text)).__name__} {text}"
    except (SyntaxError, ValueError):
        return text if text[:1] == "<" else f"Python {text.removeprefix('an ').removeprefix('a ')}"


def _structures(guard: str, value: Any, known: Content | None) -> tuple[str, str]:
    """What a guard asks of a container, and what the container is."""
    asked = _type_asked(guard)
    if asked is not None:
        return asked, type(value).__name__
    if "len(" not in guard and known is not None and isinstance(value, _CONTAINERS):
        now = described("closure", "", value).text
        if known.text != now:
            return known.text, now
    length = re.search(r"^len\(.*\) == (\d+)$", guard)
    before = f"length {length[1]}" if length else "empty" if guard.startswith("not ") else "other keys"
    return before, f"length {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _shortened(source: str) -> str:
    """As torch's own messages write it: `x` for `L['x']`."""
    return re.sub(r"^[LG]\['(\w+)'\]", r"\1", source)


def _without_repetition(found: list[Cause]) -> Iterator[Cause]:
    """A value that became a tensor, or another one: its type is told with it, as the shape is with the rank."""
    values = {cause.argument for cause in found if cause.kind in ("python-value", "structure")}
    met: set[str] = set()
    ranks = {cause.argument for cause in found if cause.kind == "rank"}
    for cause in found:
        if cause.kind in ("shape", "layout") and cause.argument in ranks:
            continue
        if cause.kind in ("python-value", "structure") and cause.argument in values:
            if cause.argument in met:
                continue
            met.add(cause.argument)
        yield cause


def _once(found: Iterable[Cause], kind: str) -> Iterator[Cause]:
    """All causes, of one kind only the first: a module that was set to eval() says so for each of its parts."""
    met = False
    for cause in found:
        if cause.kind != kind or not met:
            yield cause
        met = met or cause.kind == kind
