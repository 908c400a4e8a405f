"""What the graphs in Dynamo's cache were built for: guards say what they ask, and not always what there was.

Called by `source.py`, which has each graph that is built remembered, and by `guards.py`. A graph is known by the code
that Dynamo made, as long as that lives; nothing here keeps a value alive.
"""

from __future__ import annotations

import re
import types
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import torch
from torch.utils import _device

from pytest_graphmode.backends.torch.dynamo.frames import SHOWN, Frame
from pytest_graphmode.backends.torch.dynamo.managers import GuardManager
from pytest_graphmode.ledger import contents
from pytest_graphmode.ledger.closure import Key
from pytest_graphmode.ledger.contents import Content
from pytest_graphmode.ledger.identity import token
from pytest_graphmode.ledger.ledger import Condition

T = TypeVar("T")

# How many guards of one graph are remembered: a large model has thousands, nearly all of them of tensors.
_MOST: Final = 2000
_PLUGIN: Final = str(Path(__file__).parents[3])
_ROOT: Final = re.compile(r"[LG]\['\w+'\]")
_OF_TENSORS: Final = ("TENSOR_MATCH", "NO_TENSOR_ALIASING", "GLOBAL_STATE", "DYNAMIC_INDICES", "NO_HASATTR")


class ByCode(Generic[T]):
    """A mapping from code objects, by identity: code that Dynamo makes has constants that can't be hashed, and equal
    code of two functions is equal.

    What dies is dropped when more is added: a callback of a weak reference is Python code, and Dynamo looks at it where
    it runs between graphs.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[types.CodeType], T]] = {}
        self._limit = 64

    def __setitem__(self, code: types.CodeType, value: T) -> None:
        if len(self._entries) >= self._limit:
            self._entries = {key: entry for key, entry in list(self._entries.items()) if entry[0]() is not None}
            self._limit = 2 * max(len(self._entries), 32)
        self._entries[id(code)] = (weakref.ref(code), value)

    def get(self, code: types.CodeType) -> T | None:
        found = self._entries.get(id(code))
        return found[1] if found is not None and found[0]() is code else None


class Remembered(NamedTuple):
    """One graph: the function it is of, the object that was bound to it, the values that its guards ask for, and the
    settings under which it was built.
    """

    place: Key = None
    bound: int = 0
    values: Mapping[str, Content] = types.MappingProxyType({})
    conditions: tuple[Condition, ...] = ()


_NOTHING: Final = Remembered()


class WatchedGraphs:
    """The graphs that were built while somebody watched."""

    def __init__(self) -> None:
        self._graphs: ByCode[Remembered] = ByCode()

    def add(self, made: Any, frame: Frame, built_under: tuple[Condition, ...]) -> types.CodeType | None:
        """Remember what a compilation returned, and return the code that it made, if any."""
        guarded = _guarded(made)
        code = getattr(guarded, "code", None)
        if not isinstance(code, types.CodeType):
            return None
        self._graphs[code] = Remembered(frame.identity.place, _bound(frame), _values(guarded, frame), built_under)
        return code

    def of(self, entry: Any) -> Remembered:
        return self._graphs.get(entry.code) or _NOTHING

    def reusable(self, entries: Sequence[Any], frame: Frame) -> list[Any]:
        """The graphs of the same function: torch keeps those of all that have one code in one place.

        Those of the same object come first, else the order is torch's: first what ran last.
        """
        found = [entry for entry in entries if self._is_of(entry, frame)]
        return sorted(found, key=lambda entry: self.of(entry).bound != _bound(frame))

    def of_others(self, entries: Sequence[Any], frame: Frame) -> bool:
        """Whether all graphs are known to be of other objects, so that this is the first of its object."""
        mine = _bound(frame)
        return bool(mine) and all(self.of(entry).bound not in (0, mine) for entry in entries)

    def _is_of(self, entry: Any, frame: Frame) -> bool:
        known = self.of(entry)
        return known.place == frame.identity.place if known is not _NOTHING else _has_the_class(entry, frame)


def _bound(frame: Frame) -> int:
    """A number for the object that a frame's function belongs to, or for the function; 0 where neither is known."""
    subject = frame.bound if frame.bound is not None else frame.compiled
    owner = getattr(subject, "__self__", None) if isinstance(subject, types.MethodType) else subject
    return 0 if owner is None else token(owner)


def _has_the_class(entry: Any, frame: Frame) -> bool:
    """Whether a graph that nobody saw built is of the class that the frame is bound to, if it is to any."""
    manager = GuardManager(entry, frame)
    bound = [one for one in ("L['self']", "L['fn']", "L['fn'].__self__") if manager.value(one) is frame.bound]
    asked = [guard for guard in manager.guards if guard.source in bound and guard.text.startswith("___check_type_id(")]
    return frame.bound is None or all(map(manager.holds, asked))


def _values(guarded: Any, frame: Frame) -> dict[str, Content]:
    """The values that the guards of a new graph speak of, tensors apart, in words."""
    manager = GuardManager(guarded, frame)
    sources = dict.fromkeys(guard.source for guard in manager.guards[:_MOST] if guard.kind not in _OF_TENSORS)
    return {source: contents.described("closure", "", manager.value(source)) for source in sources if source}


def _guarded(made: Any) -> Any:
    return getattr(made, "guarded_code", made)  # torch 2.4 returns the guarded code itself


def in_words(made: Any, frame: Frame, built_under: tuple[Condition, ...]) -> dict[str, str]:
    """What a graph was built for beside its arguments: settings, and the plain values that its guards look at."""
    found = {one.name or "autograd": one.value for one in built_under if one.value not in ("off", "None")}
    if not hasattr(_guarded(made), "code"):
        return found
    manager, known = GuardManager(_guarded(made), frame), {leaf.argument.name for leaf in frame.leaves}
    for source in dict.fromkeys(guard.source for guard in manager.guards[:_MOST]):
        root = _ROOT.match(source)
        # What the function itself closes over is told anyway; what hooks do is theirs alone.
        of_library = source.startswith("G") and (frame.identity.library or frame.code.co_filename.startswith(_PLUGIN))
        if root is None or of_library or "__closure__" in source or _is_code(manager.value(root[0])):
            continue
        value, name = manager.value(source, manager), manager.name(source)
        told = name in known or name.rpartition(".")[0] == frame.word_of_bound  # what it is bound to is told anyway
        if isinstance(value, SHOWN) and not told and "__" not in name:
            found[name] = contents.described("", "", value).text
    return found


def _is_code(value: Any) -> bool:
    """Whether what guards reach from a variable is how the plugin, or a library, works."""
    own = type(value).__module__.partition(".")[0] == __package__.partition(".")[0]
    return own or isinstance(value, (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type))


def conditions() -> tuple[Condition, ...]:
    """The settings that graphs are built for, each of which every graph has a guard for."""
    grad = "inference_mode" if torch.is_inference_mode_enabled() else "grad" if torch.is_grad_enabled() else "no_grad"
    found = {"the default dtype": _name(torch.get_default_dtype()), "the default device": str(_device.CURRENT_DEVICE)}
    for device in ("cpu", "cuda"):
        on = torch.is_autocast_enabled(device)
        found[f"autocast of {device}"] = _name(torch.get_autocast_dtype(device)) if on else "off"
    return Condition("grad-mode", "", grad), *(Condition("global-state", name, is_) for name, is_ in found.items())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
