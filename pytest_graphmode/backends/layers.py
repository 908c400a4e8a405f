"""The layers of a model as `tap_layers` sees them, whatever the framework: names, and a way to watch what comes out.

Made by the modes' `layers`; each framework has its own hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

Tap = Callable[[str, Any], Any]
Watch = Callable[[str, Tap], Callable[[], None]]


class Layer(NamedTuple):
    """One layer.

    Attributes:
        names: where it stands in the model; a shared layer has several, the first of which it is known by.
        watch: takes a name and a function, and calls that with the name and every output of the layer, which goes on
            with what that returns; returns what undoes it.
    """

    names: tuple[str, ...]
    watch: Watch


def attributes(owner: object) -> Iterator[tuple[str, Any]]:
    """The public attributes of an object, and what stands in those that are lists, tuples or dicts: `blocks.0`."""
    for name, value in vars(owner).items():
        if not name.startswith("_"):
            yield from _elements(name, value)


def _elements(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _elements(f"{path}.{index}", one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _elements(f"{path}.{key}", one)
    else:
        yield path, value


def named(found: Iterable[tuple[str, Any]], watch: Callable[[Any], Watch]) -> list[Layer]:
    """Layers from what stands where in a model; an object found in several places is one layer."""
    names: dict[int, list[str]] = {}
    objects = {}
    for name, one in found:
        names.setdefault(id(one), []).append(name)
        objects[id(one)] = one
    return [Layer(tuple(names[key]), watch(one)) for key, one in objects.items()]


def unknown(model: object, kinds: str) -> TypeError:
    return TypeError(
        f"graphmode.tap_layers taps the layers of {kinds}, not of a {type(model).__name__}: "
        "tap the values themselves, h = graphmode.tap('h', h)"
    )
