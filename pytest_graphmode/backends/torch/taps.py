"""Taps under torch.compile: what Dynamo traces for them, and gradients by them, which come out of a compiled backward.

Called by `compile.py` and `capture.py`. A tap is put into a cell, an effect that Dynamo makes good after the graph has
run: the value is one more output of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from pytest_graphmode.backends import tapping
from pytest_graphmode.backends.torch.autograd import differentiable
from pytest_graphmode.backends.torch.modules import tapped

_Link = tuple[Any, Any, Any]
"""A name, or a layer that is known by its name; what was tapped; and the link before it."""

_SEVERAL: Final = "of several tensors tapped together; tap each by itself before others are made of it"


class Pending:
    """What the call under way has tapped, `handed_on` when it is over.

    Each is a list of one element, the last link of a chain. Dynamo (2.13) loses the attributes that are set before and
    after a loop, and guards on the length of a list that grows, so that code after a graph break would be built anew.

    Attributes:
        taps: what was tapped.
        watched: the tensors that a gradient in the graph goes through; None where none is being taken.
    """

    def __init__(self) -> None:
        self.taps: list[_Link | None] = [None]
        self.watched: list[_Link | tuple[()] | None] = [None]

    def hand_on(self) -> None:
        """Out of the graph; called when a compiled function has returned."""
        last, self.taps[0], self.watched[0] = self.taps[0], None, None
        for of, value in reversed(list(_links(last))):
            for name in [of] if isinstance(of, str) else [tap.name for tap in tapped.of(of)]:
                tapping.emit(name, value)
                if len(_leaves(name, value)) > 1:
                    tapping.leave_out(f"grad({name})", _SEVERAL)


# One, which traces reach in all ways by one name: another for each mode would be a thing to guard by.
pending: Final = Pending()


def _links(last: Any) -> Iterator[tuple[Any, Any]]:
    while last:
        of, value, last = last
        yield of, value


def tap(name: str, value: Any) -> Any:
    """Tap a value in code that Dynamo traces, or has left out of its graphs; returns what to go on with."""
    put(name, value)
    return _followed(name, value)


def of_layer(layer: Any, name: str, first: bool, output: Any) -> Any:
    """Tap what a layer returned, in code that Dynamo traces; the `first` time for all the names that it has.

    The layer is kept instead of its name: one graph may serve several, and must not be built again for another name.
    """
    if first:
        put(layer, output)
    return _followed(name, output)


def _followed(name: str, value: Any) -> Any:
    """A value that a gradient by it can be found of.

    What is found goes through what comes after the tap. Of several tensors one may have been made of another, as the
    state of an LSTM cell: the gradient by that one has a part which does not go through the tap.
    """
    if len(_leaves(name, value)) > 1:
        return value
    if pending.watched[0] is not None:
        pending.watched[0] = (name, value, pending.watched[0])
        return _each(_clone, name, value)  # what is modified in place later on is not what was tapped
    return _each(_probed, name, value)


def put(of: Any, value: Any) -> None:
    pending.taps[0] = (of, _each(_copy, "", value), pending.taps[0])


def _each(function: Callable[[str, torch.Tensor], Any], name: str, tree: Any) -> Any:
    """`function` at each tensor of a tree, with its path: Dynamo can't trace how optree finds paths."""
    if isinstance(tree, torch.Tensor):
        return function(name, tree)
    if isinstance(tree, dict):
        return {key: _each(function, f"{name}[{key!r}]", value) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        made = [_each(function, f"{name}[{index}]", value) for index, value in enumerate(tree)]
        return made if isinstance(tree, list) else tuple(made) if type(tree) is tuple else type(tree)(*made)
    return tree


def _leaves(name: str, tree: Any) -> list[tapping.Tap]:
    """The tensors of a tree, with their paths."""
    found: list[tapping.Tap] = []

    def keep(path: str, leaf: torch.Tensor) -> torch.Tensor:
        found.append(tapping.Tap(path, leaf))
        return leaf  # of which namedtuples are made anew, some of which look at their fields

    _each(keep, name, tree)
    return found


def _copy(name: str, leaf: torch.Tensor) -> torch.Tensor:
    return leaf.detach().clone()


def _clone(name: str, leaf: torch.Tensor) -> torch.Tensor:
    return leaf.clone()


# Gradients in the graph.


def watch() -> Any:
    """Begin a gradient in the graph; returns what `watched` needs."""
    kept = pending.watched[0]
    pending.watched[0] = ()
    return kept


def watched(kept: Any) -> list[tapping.Tap]:
    """The tensors that were tapped on the way of a gradient that began with `watch`, in the order of the code."""
    found: list[tapping.Tap] = []
    last: Any = pending.watched[0]
    pending.watched[0] = kept
    while last:
        name, value, last = last
        tracked = [tap for tap in _leaves(name, value) if differentiable(tap.value) and tap.value.requires_grad]
        found = [*tracked, *found]
    return found


# Gradients outside of the graph, by operators of our own: the backward of a graph is compiled too, and has no outputs
# but the gradients of its inputs. Hooks on tensors inside of a graph break it, and an autograd.Function is a
# higher-order operator through which second derivatives are wrong (torch 2.13).


class _BackwardTaps:
    """Where the backward of compiled functions, in whatever thread of autograd's it runs, puts what it meets."""

    gradients: list[tapping.Tap] | None = None


def _note_gradient(value: torch.Tensor, name: str) -> torch.Tensor:
    if _BackwardTaps.gradients is not None:
        _BackwardTaps.gradients.append(tapping.Tap(name, value.detach().clone()))
    return value.clone()


def _copy_value(value: torch.Tensor, name: str) -> torch.Tensor:
    return value.clone()


def _remember(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.name = inputs[1]


def _unnamed(value: torch.Tensor, name: str) -> torch.Tensor:
    return torch.empty_like(value)


# torch 2.4 reads no schema from annotations that are text.
_SCHEMA: Final = "(Tensor value, str name) -> Tensor"
_gradient = torch.library.custom_op(
    "pytest_graphmode::tapped_gradient", _note_gradient, mutates_args=(), schema=_SCHEMA
)
_probe = torch.library.custom_op("pytest_graphmode::tapped", _copy_value, mutates_args=(), schema=_SCHEMA)
_probe.register_fake(_unnamed)
_probe.register_autograd(lambda ctx, gradient: (_gradient(gradient, ctx.name), None), setup_context=_remember)
_gradient.register_fake(_unnamed)
_gradient.register_autograd(lambda ctx, gradient: (gradient, None))


def _probed(name: str, leaf: torch.Tensor) -> torch.Tensor:
    if not differentiable(leaf) or not leaf.requires_grad or not torch.is_grad_enabled():
        return leaf
    probed: torch.Tensor = _probe(leaf, name)
    return probed


@contextmanager
def seeing_gradients() -> Iterator[None]:
    """Around a differentiation of compiled functions: hand on the gradients that go through taps of theirs."""
    kept, _BackwardTaps.gradients = _BackwardTaps.gradients, []
    try:
        yield
        found = _BackwardTaps.gradients
    finally:
        _BackwardTaps.gradients = kept
    tapping.emit_gradients(found[::-1])
