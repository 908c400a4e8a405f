"""Taps what layers return in what Dynamo traces, without a guard, a break or a hook.

Called by `source.py`, which attaches it, and by the compile mode. Forward hooks are compiled as frames of their own
where a graph is broken, and a `forward` that an object has of its own is a thing to guard by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import torch
from torch._dynamo import variables
from torch._dynamo.variables import nn_module

from pytest_graphmode.backends import tapping
from pytest_graphmode.backends.patching import Replacement
from pytest_graphmode.backends.torch.modules import OF_OTHERS, OutputTap, tapped
from pytest_graphmode.errors import UnsupportedError

# What Dynamo (torch 2.4 to 2.15) has for modules, as its own arguments or as parts of the graph; it calls a module by a
# method that both have. No public way sees what is called in a trace.
_CLASSES: Final = ("UnspecializedNNModuleVariable", "NNModuleVariable")
_CALL: Final = "call_function"


def replacements() -> Iterator[Replacement]:
    """What is to be replaced for it, as far as this version of torch has that."""
    for name in _CLASSES:
        if hasattr(getattr(nn_module, name, None), _CALL):
            yield getattr(nn_module, name), _CALL, _tapping


def require() -> None:
    """Raise UnsupportedError where this version of torch lacks what is replaced."""
    if not any(replacements()):
        raise UnsupportedError(
            f"torch {torch.__version__} has no {_CLASSES[0]}.{_CALL}, by which layers are tapped under torch.compile: "
            "tap the values themselves, h = graphmode.tap('h', h)"
        )


def _tapping(call_function: Callable[..., Any]) -> Callable[..., Any]:
    def calling(layer: Any, tx: Any, args: Any, kwargs: Any) -> Any:
        output = call_function(layer, tx, args, kwargs)
        found = tapped.of(layer.value if hasattr(layer, "value") else layer.module)
        return _tapped(layer, tx, found, output) if found else output

    return calling


def _tapped(layer: Any, tx: Any, found: Sequence[OutputTap], output: Any) -> Any:
    """A layer's output with its taps."""
    # Here, since they need more of torch, which is imported where something is tapped.
    from pytest_graphmode.backends.torch import taps, tracing

    # What is a part of the graph has no `value`, and is reached by no other module's calls: its name is the same.
    of_any = not isinstance(layer, variables.NNModuleVariable)
    for number, tap in enumerate(found):
        reason = tracing.operator_around(tx) if tap.traced else OF_OTHERS
        if reason is not None:
            tapping.leave_out(tap.name, reason)
            continue
        function, given = (taps.of_layer, [layer, tap.name, number == 0]) if of_any else (taps.tap, [tap.name])
        given = [variables.ConstantVariable.create(one) if isinstance(one, (str, bool)) else one for one in given]
        around = tracing.with_effects(tx)
        if around is not None:
            function, given = around, [variables.UserFunctionVariable(function), *given]
        output = variables.UserFunctionVariable(function).call_function(tx, [*given, output], {})
    return output
