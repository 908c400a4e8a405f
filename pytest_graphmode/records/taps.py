"""What the handle's `tap` and `tap_layers` do: record values on the way of a computation, wherever they come from.

How they leave graphs is the modes' affair; see `backends.tapping`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_graphmode.backends.tapping import LeftOut
from pytest_graphmode.records.recording import Recording, copied

if TYPE_CHECKING:
    from pytest_graphmode.backends.layers import Layer
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest


def receiver(runtime: Runtime, recording: Recording) -> Callable[[str, Any], None]:
    """What puts taps that have left all graphs into a recording."""

    def receive(name: str, value: Any) -> None:
        if isinstance(value, LeftOut):
            recording.left_out[name] = value
            return
        recording.taps.setdefault(name, []).append(copied(runtime, "graphmode.tap", name, value))

    return receive


def require_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"graphmode.tap takes a name and a value, graphmode.tap('h', h); the name was {name!r}")


def tap_layers(runtime: Runtime, model: Any, names: Mapping[str, str] | None) -> None:
    """See `Handle.tap_layers`; undone when the runtime ends."""
    layers = runtime.layers(model)
    for layer, name in zip(layers, _common(layers, names or {}), strict=True):
        runtime.ending.callback(layer.watch(name, runtime.tap_output))


def _common(layers: Sequence[Layer], names: Mapping[str, str]) -> list[str]:
    legal = {name for layer in layers for name in layer.names}
    unknown = [name for name in names if name not in legal]
    if unknown:
        known = ", ".join(layer.names[0] for layer in layers)
        raise ValueError(f"graphmode.tap_layers: the model has no layer {unknown[0]!r}: its layers are {known}")
    made = [next((names[name] for name in layer.names if name in names), layer.names[0]) for layer in layers]
    for name in made:
        require_name(name)
        if made.count(name) > 1:
            both = " and ".join(layer.names[0] for layer, one in zip(layers, made, strict=True) if one == name)
            raise ValueError(
                f"graphmode.tap_layers: {both} would both be tapped as {name!r}: give each a name of its own"
            )
    return made
