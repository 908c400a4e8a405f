"""What the graphs in Dynamo's cache were built for: guards say what they ask, and not always what there was.

Called by `source.py`, which has each graph that is built remembered, and by `guards.py` and `counters.py`. Nothing here
keeps a value alive.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch.utils import _device

from pytest_graphmode.backends.torch.dynamo.frames import CODE, SHOWN, Frame
from pytest_graphmode.backends.torch.dynamo.managers import ROOT, GuardManager, manager_of
from pytest_graphmode.ledger import contents
from pytest_graphmode.ledger.closure import Key
from pytest_graphmode.ledger.contents import Content
from pytest_graphmode.ledger.identity import token
from pytest_graphmode.ledger.ledger import Condition

# How many guards of one graph are remembered: a large model has thousands, nearly all of them of tensors.
_MOST: Final = 2000
_OF_TENSORS: Final = ("TENSOR_MATCH", "NO_TENSOR_ALIASING", "GLOBAL_STATE", "DYNAMIC_INDICES", "NO_HASATTR")
# The attribute of torch's guard manager: it lives as long as the graph, and code takes no attributes.
_REMEMBERED: Final = "__graphmode_remembered__"


class Remembered(NamedTuple):
    """One graph: the function it is of, the object that was bound to it, the values that its guards ask for, the
    settings under which it was built, and whether no operation was left to make a graph of.
    """

    place: Key = None
    bound: int = 0
    values: Mapping[str, Content] = types.MappingProxyType({})
    conditions: tuple[Condition, ...] = ()
    graphless: bool = False


_NOTHING: Final = Remembered()


def remember(made: Any, frame: Frame, built_under: tuple[Condition, ...], *, graphless: bool) -> GuardManager | None:
    """Remember what a compilation returned; returns its guards, None where it made no code."""
    guarded = getattr(made, "guarded_code", made)  # torch 2.4 returns the guarded code itself
    if not hasattr(guarded, "code"):
        return None
    manager = GuardManager(guarded, frame)
    known = Remembered(frame.identity.place, _bound(frame), _values(manager), built_under, graphless)
    setattr(manager_of(guarded), _REMEMBERED, known)
    return manager


def of(entry: Any) -> Remembered:
    """What is known of a graph in Dynamo's cache: nothing where nobody watched when it was built."""
    found: Remembered = getattr(manager_of(entry), _REMEMBERED, _NOTHING)
    return found


def reusable(entries: Sequence[Any], frame: Frame) -> list[Any]:
    """The graphs of the same function: torch keeps those of all that have one code in one place.

    Those of the same object come first, else the order is torch's: first what ran last.
    """
    found = [entry for entry in entries if _is_of(entry, frame)]
    return sorted(found, key=lambda entry: of(entry).bound != _bound(frame))


def are_of_others(entries: Sequence[Any], frame: Frame) -> bool:
    """Whether all graphs are known to be of other objects, so that this is the first of its object."""
    mine = _bound(frame)
    return bool(mine) and all(of(entry).bound not in (0, mine) for entry in entries)


def _is_of(entry: Any, frame: Frame) -> bool:
    known = of(entry)
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


def _values(manager: GuardManager) -> dict[str, Content]:
    """The values that the guards of a new graph speak of, tensors apart, in words."""
    sources = dict.fromkeys(guard.source for guard in manager.guards[:_MOST] if guard.kind not in _OF_TENSORS)
    return {source: contents.described("closure", "", manager.value(source)) for source in sources if source}


def in_words(manager: GuardManager | None, built_under: tuple[Condition, ...]) -> dict[str, str]:
    """What a graph was built for beside its arguments: settings, and the plain values that its guards look at."""
    found = {one.name or "autograd": one.value for one in built_under if one.value not in ("off", "None")}
    if manager is None:
        return found
    frame = manager.frame
    known = {leaf.argument.name for leaf in frame.leaves}
    for source in dict.fromkeys(guard.source for guard in manager.guards[:_MOST]):
        root = ROOT.match(source)
        # What the function itself closes over is told anyway; what hooks do is theirs alone.
        of_library = source.startswith("G") and (frame.identity.library or frame.of_plugin)
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
    return own or isinstance(value, CODE)


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
