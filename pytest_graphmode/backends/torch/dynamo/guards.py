"""Why Dynamo could not use the graphs it had: the guards of the latest that it could have reused which do not hold.

Called by `source.py` before a function is compiled again. What torch itself names, the first guard that fails, is never
left out: where nothing else is found, or where it names something else, it stands by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import torch

from pytest_graphmode.backends.torch.dynamo import memory
from pytest_graphmode.backends.torch.dynamo.frames import SHOWN, Frame, describe
from pytest_graphmode.backends.torch.dynamo.hints import hinted
from pytest_graphmode.backends.torch.dynamo.managers import Guard, GuardManager
from pytest_graphmode.ledger.causes import changed_arguments, changed_conditions
from pytest_graphmode.ledger.contents import Content, described
from pytest_graphmode.ledger.describe import dimensions
from pytest_graphmode.ledger.ledger import Argument, Cause, tensor_argument

# TENSOR_MATCH, a guard on a tensor (torch 2.4 to 2.15):
#     check_tensor(L['x'], Tensor, DispatchKeySet(CPU, BackendSelect, ADInplaceOrView, AutogradCPU), torch.float32,
#     device=None, requires_grad=False, size=[None, 3], stride=[3, 1])
_TENSOR: Final = re.compile(
    r"check_tensor\(.+, (?P<type>\w+), DispatchKeySet\((?P<keys>[^)]*)\), torch\.(?P<dtype>\w+), "
    r"device=(?P<index>\w+), requires_grad=(?P<grad>\w+), size=\[(?P<size>[^\]]*)\], stride=\[(?P<stride>[^\]]*)\]\)"
)
# What torch says of a tensor by itself: "tensor 'x' size mismatch at index 0. expected 4, actual 5".
_TOLD_OF_TENSOR: Final = re.compile(r"tensor '(.*?)' ")
# ___check_type_id(L['n'], 9414, type=<class 'int'>); torch 2.4 writes no type.
_TYPE: Final = re.compile(r"___check_type_id\(.*, (\d+)\)(?:, type=<class '(?:[\w<>]+\.)*(\w+)'>)?")
_TYPES: Final = {id(kind): kind.__name__ for kind in (bool, int, float, complex, str, type(None), list, tuple, dict)}
_SAME: Final = re.compile(r"^([LG]\[.*) is ([LG]\[.*)$")
# What torch says of what is around a call: "___check_torch_function_mode_stack()" and "tensor 'x' dispatch key set
# mismatch. expected DispatchKeySet(CPU, ...), actual DispatchKeySet(CPU, ..., FuncTorchBatched)" (torch 2.13).
_AROUND: Final = {
    "___check_torch_function_mode_stack": "the mode (torch.device, for one)",
    "FuncTorch": "the transform of torch.func (vmap, grad, ...)",
}
_AROUND_HINT: Final = "call the function only inside or only outside of it, or accept one build for each"
_LENGTH: Final = re.compile(r"^len\(.*\) (?:==|!=) (\d+)")
_PARTS: Final = re.compile(r"\._(?:modules|parameters|buffers)$")
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_PLAIN: Final = ("bool", "int", "float", "complex", "str", "bytes", "NoneType")


def causes(earlier: Any, frame: Frame) -> tuple[Cause, ...]:
    """What fails in a graph that a frame could have reused."""
    try:
        return tuple(EarlierGraph(earlier, frame).causes())
    except Exception as error:  # guards look into the user's own objects, and the compilation must go on
        return (Cause("guard", f"what its guards ask for (they can't be read: {type(error).__name__})"),)


class EarlierGraph:
    """A graph in Dynamo's cache, held against a frame that can't use it."""

    def __init__(self, entry: Any, frame: Frame) -> None:
        self._frame = frame
        self._known = memory.of(entry)
        self._manager = GuardManager(entry, frame)
        self._shapes: dict[str, Argument] = {}
        self._failed: dict[str, str] = {}  # guards by what they are on

    def causes(self) -> Iterator[Cause]:
        """What its guards that fail say, each once, and what torch names where that is not among them."""
        if self._manager.invalid:
            yield hinted(self._of_the_dead(), Guard("", self._manager.invalid), self._manager)
            return
        found: dict[tuple[str, str], Cause] = {}
        for cause in self._all():
            key = "value" if cause.kind in ("python-value", "structure") else cause.kind
            # A module that was set to eval() says so for each of its parts.
            found.setdefault((key, "" if key == "train-eval" else cause.argument), cause)
        yield from found.values()
        told = self._manager.first_failure()
        if not found or not self._is_explained(told):
            named = next(iter(self._manager.named(told)), "")
            yield hinted(self.told(told), Guard("", told, named), self._manager)

    def _all(self) -> Iterator[Cause]:
        yield from changed_conditions(self._known.conditions, memory.conditions())
        for guard in self._manager.guards:
            if self._follows_from_others(guard) or guard.kind in ("GLOBAL_STATE", "DEFAULT_DEVICE"):
                continue
            for cause in self._tried(guard):
                self._failed.setdefault(guard.source, guard.text)
                yield hinted(cause, guard, self._manager)

    # What torch itself says.

    def _is_explained(self, told: str) -> bool:
        named = self._manager.named(told)[:1]
        if "dispatch key set mismatch" in told and "FuncTorch" not in told:
            return True  # inference mode or autocast, which are compared by themselves
        if told.startswith(tuple(self._failed.values())):
            return True
        if tensor := _TOLD_OF_TENSOR.match(told):  # in which L['x'] is x
            named = [f"L['{tensor[1]}'", tensor[1]]
        short = [re.sub(r"^[LG]\['(\w+)'\]", r"\1", source) for source in self._failed]
        failed = [*self._failed, *short]
        return not named or any(known.startswith(source) for source in named for known in failed)

    def told(self, told: str) -> Cause:
        """The cause that torch's own words are."""
        if not told:
            once = "compile with one backend object, or name it by a string, and with the same options each time"
            return Cause("guard", "the compiler backend", hint=once)
        # "GLOBAL_STATE changed: deterministic_algorithms " (torch 2.13), of what has no public name to be compared by
        if setting := told.partition("GLOBAL_STATE changed: ")[2].partition("  #")[0].strip():
            return Cause("global-state", setting.replace("_", " "))
        if around := next((what for part, what in _AROUND.items() if part in told), ""):
            return Cause("global-state", f"{around} around the call", hint=_AROUND_HINT)
        length, named = _LENGTH.match(told), self._manager.named(told)[:1]
        if length and named and hasattr(value := self._manager.value(named[0]), "__len__"):
            # A dict that grew is told by what is not so any more (torch 2.13): len(L['c'].d) != 1
            name = _PARTS.sub("", self._manager.name(named[0]))
            return Cause("structure", name, f"length {length[1]}", f"length {len(value)}")
        return Cause("guard", self._manager.sentence(told.partition("  #")[0].strip()))

    def _of_the_dead(self) -> Cause:
        """A graph that went with an object; torch 2.13: "Cache line invalidated because L['self'] got deallocated"."""
        found = re.search(r"[LG]\['\w+'\]\S*", self._manager.invalid)
        if found is None:
            return Cause("guard", self._manager.invalid)
        value = self._manager.value(found[0])
        if value is self._frame.bound and value is not None:
            return Cause("another-object", type(value).__name__, type_name=type(value).__name__)
        text = describe("", value).text
        return Cause("python-value", self._manager.name(found[0]), text, text, type_name=type(value).__name__)

    # What a guard that fails means.

    def _follows_from_others(self, guard: Guard) -> bool:
        """Whether a guard speaks of a part of what is another thing already, of its size, or of torch's marks on it."""
        if guard.source in self._failed and any(part in guard.text for part in ("hasattr(", ".size()", ".stride()")):
            return True
        wholes = [known for known in self._failed if known and guard.source.startswith((f"{known}.", f"{known}["))]
        return bool(wholes) and not self._manager.exists(guard.source)

    def _tried(self, guard: Guard) -> Iterator[Cause]:
        name, value = self._manager.name(guard.source), self._manager.value(guard.source)
        if tensor := _TENSOR.match(guard.text):
            yield from self._of_tensor(guard.source, tensor, name, value)
        elif guard.kind == "NO_TENSOR_ALIASING":  # check_no_aliasing(L['x'], L['y'])
            yield from self._of_twins(self._manager.named(guard.text))
        elif self._manager.holds(guard):
            return
        elif same := _SAME.match(guard.text):  # L['x'] is L['y'], for one tensor that was given twice
            first, second = map(self._manager.name, same.groups())
            yield Cause("structure", second, f"the same object as {first}", "an object of its own")
        elif not guard.source or "hasattr(" in guard.text:
            yield Cause("guard", self._manager.sentence(guard.text))
        elif guard.source.endswith(".training"):
            yield Cause("train-eval", name, str(not value), str(value))
        elif ".size()" in guard.text or ".stride()" in guard.text:
            yield self._of_shape(guard, name, value)
        else:
            yield from self._of_value(guard, name, self._known.values.get(guard.source), value)

    def _of_twins(self, sources: Sequence[str]) -> Iterator[Cause]:
        """Tensors that were several, and are one now."""
        first: dict[int, str] = {}
        for source in sources:
            twin = first.setdefault(id(self._manager.value(source)), source)
            if twin is not source:
                name, other = self._manager.name(source), self._manager.name(twin)
                yield Cause("structure", name, "a tensor of its own", f"the same tensor as {other}")

    def _of_tensor(self, source: str, asked: re.Match[str], name: str, value: Any) -> Iterator[Cause]:
        device = asked["keys"].split(", ")[0].lower()
        more = {
            "device": device if asked["index"] == "None" else f"{device}:{asked['index']}",
            "layout": f"strides [{asked['stride']}]",
            "requires_grad": asked["grad"] == "True",
        }
        before = self._shapes[source] = tensor_argument(name, asked["dtype"], _numbers(asked["size"]), **more)
        if not isinstance(value, torch.Tensor):
            yield Cause("structure", name, before.text, _python(describe(name, value)))
        else:
            if type(value).__name__ != asked["type"]:
                yield Cause("structure", name, asked["type"], type(value).__name__)
            yield from changed_arguments([before], [_fitted(value, before, _numbers(asked["stride"]))])

    def _of_shape(self, guard: Guard, name: str, value: Any) -> Cause:
        """A guard on a size that is not fixed: `2 <= L['x'].size()[0] <= 5`."""
        if not isinstance(value, torch.Tensor) or guard.source not in self._shapes:
            return Cause("guard", self._manager.sentence(guard.text))
        now, was = describe(name, value), dimensions(self._shapes[guard.source].shape or ())
        if ".size()" not in guard.text:
            return Cause("layout", name, str(self._shapes[guard.source].layout), str(now.layout))
        special = any(size in (0, 1) for size in value.shape)  # of which torch makes graphs of their own anyway
        told = "" if special else f" where {self._manager.sentence(guard.text.partition('  #')[0].strip())}"
        return Cause("shape", name, was + told, dimensions(value.shape))

    def _of_value(self, guard: Guard, name: str, before: Content | None, value: Any) -> Iterator[Cause]:
        now = describe(name, value)
        asked, kind = _asked(guard.text, before), _type_asked(guard.text)
        was_tensor = before is not None and before.type_name in ("Tensor", "Parameter")
        if now.is_tensor and was_tensor:
            constant = f"the value of {name}, which the graph has as a constant,"
            yield Cause("guard", constant, asked, str(value.item()) if value.numel() == 1 else now.text)
        elif now.is_tensor or was_tensor:
            was = asked if was_tensor or before is None else _python(Argument("", asked, type_name=before.type_name))
            yield Cause("structure", name, was, _python(now))
        elif isinstance(value, _CONTAINERS) or (kind or "") in ("list", "tuple", "dict", "set"):
            yield Cause("structure", name, *_structures(guard.text, kind, value, before))
        elif before is None or before.type_name in _PLAIN or now.type_name in _PLAIN:
            named = before.type_name if before is not None and value is None else now.type_name
            yield Cause("python-value", name, asked, now.text, type_name=named)
        else:
            yield from _of_object(name, asked, before, value)


def _of_object(name: str, asked: str, before: Content, value: Any) -> Iterator[Cause]:
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
        texts = (asked, describe("", value).text) if isinstance(value, SHOWN) else (before.text, after.text)
        yield Cause("python-value", name, *texts, type_name=after.type_name)


def _structures(guard: str, kind: str | None, value: Any, before: Content | None) -> tuple[str, str]:
    """What a guard asks of a container, and what the container is: by type, by contents, by length."""
    now = type(value).__name__
    if kind is not None and kind != now:
        return kind, now
    length = _LENGTH.match(guard)
    text = described("closure", "", value).text
    if length is None and before is not None and before.text != text:
        return before.text, text
    was = f"length {length[1]}" if length else "empty" if guard.startswith("not ") else "other keys"
    return was, f"length {len(value)}" if hasattr(value, "__len__") else now


def _asked(guard: str, before: Content | None) -> str:
    """The value that a guard asks for: what it names, else what there was when it was made."""
    left, equals, right = guard.partition(" == ")
    if equals and not left.startswith("___"):
        return right
    named = guard.partition(" is ")[2]
    if named in ("None", "True", "False"):
        return named
    return before.text if before is not None else _type_asked(guard) or "another value"


def _type_asked(guard: str) -> str | None:
    """The type that a guard asks for, by its name, or by what names most types where only its `id` is told."""
    match = _TYPE.search(guard)
    return None if match is None else match[2] or _TYPES.get(int(match[1]), "object of another type")


def _python(argument: Argument) -> str:
    """`Python int 2` for `2`; None is None in every language."""
    plain = argument.is_tensor or argument.text == "None" or argument.text[:1] == "<"
    return argument.text if plain else f"Python {argument.type_name} {argument.text}"


def _fitted(value: torch.Tensor, before: Argument, steps: Sequence[int | None]) -> Argument:
    """A tensor as guards spell it, alike to `before` where that takes any size or stride, or where one follows."""
    now = replace(describe(before.name, value), layout=f"strides {dimensions(value.stride())}")
    sizes = before.shape or ()
    if not _fits(sizes, value.shape):
        return replace(now, layout=before.layout)
    return replace(now, shape=before.shape, layout=before.layout if _fits(steps, value.stride()) else now.layout)


def _fits(expected: Sequence[int | None], found: Sequence[int]) -> bool:
    pairs = zip(expected, found, strict=False)
    return len(expected) == len(found) and all(one is None or one == other for one, other in pairs)


def _numbers(text: str) -> tuple[int | None, ...]:
    return tuple(None if part == "None" else int(part) for part in text.split(", ") if part)
