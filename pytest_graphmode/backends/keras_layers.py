"""The layers of a Keras model, on whatever backend Keras runs. Called by the modes that meet one; imports no Keras."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pytest_graphmode.backends import layers
from pytest_graphmode.backends.layers import Layer, Tap, Watch


def is_layer(model: object) -> bool:
    """Whether something is a layer or model of Keras 3."""
    cls = getattr(getattr(sys.modules.get("keras"), "layers", None), "Layer", None)
    return cls is not None and isinstance(model, cls)


def of(model: Any) -> list[Layer]:
    """The layers in a model or layer, or itself where there are none."""
    inner = list(_inner(model, "", {}))
    return layers.named(inner or [(_name(model, {}), model)], _watch)


def _inner(model: Any, path: str, numbers: dict[str, int]) -> Iterator[tuple[str, Any]]:
    """The layers of a model by its attributes, else by their names; what is in an RNN runs in its loop."""
    keras: Any = sys.modules["keras"]
    if isinstance(model, keras.layers.RNN):
        return
    attributes = {id(layer): name for name, layer in layers.attributes(model) if is_layer(layer)}
    # No public name gives the layers of a layer that is no model.
    children: Any = getattr(model, "layers", None) or getattr(model, "_layers", ())
    for layer in children:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        name = path + (attributes.get(id(layer)) or _name(layer, numbers))
        yield name, layer
        yield from _inner(layer, f"{name}.", {})


def _name(layer: Any, numbers: dict[str, int]) -> str:
    """A layer's name; of those that Keras names itself, as it would if the model were the first of the process."""
    kind = snake_case(type(layer).__name__)
    if not re.fullmatch(rf"{kind}(_\d+)?", layer.name):
        return str(layer.name)
    number = numbers[kind] = numbers.get(kind, -1) + 1
    return f"{kind}_{number}" if number else kind


def snake_case(name: str) -> str:
    """`conv2d` for `Conv2D`, as Keras names layers by their classes."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _watch(layer: Any) -> Watch:
    def watch(name: str, tap: Tap) -> Callable[[], None]:
        call, before = layer.call, vars(layer).get("call")

        def calling(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            return output if _is_symbolic(output) else tap(name, output)

        def undo() -> None:
            if before is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", before)

        # Keras has no hooks. It calls `self.call`; by way of its own __setattr__ it would track what is set.
        object.__setattr__(layer, "call", calling)
        return undo

    return watch


def _is_symbolic(output: Any) -> bool:
    """Whether Keras only asks what shape would come out."""
    keras: Any = sys.modules["keras"]
    found = output if isinstance(output, (tuple, list)) else [output]
    return any(isinstance(one, keras.KerasTensor) for one in found)
