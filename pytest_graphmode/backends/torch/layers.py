"""The layers of an nn.Module, whose outputs are met where modules are called. Called by torch's modes.

Forward hooks would be the public way. But a module that has one is called by another way: what torch does around a hook
is compiled and counted as a frame of its own wherever a graph is broken, and so is the hook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pytest_graphmode.backends import layers
from pytest_graphmode.backends.layers import Layer, Tap, Watch
from pytest_graphmode.backends.torch import modules


def of(model: Any, *, traced: bool = False) -> list[Layer]:
    """The modules in a module, or itself where there are none; not those of TorchScript, which are called elsewhere.

    Args:
        traced: whether they are tapped in what Dynamo traces, too.
    """
    if not isinstance(model, torch.nn.Module):
        raise layers.unknown(model, "an nn.Module")
    model = getattr(model, "_orig_mod", model)  # what torch.compile(model) wraps
    if isinstance(model, torch.jit.ScriptModule):
        raise layers.unknown(model, "an nn.Module that is not scripted")
    found = model.named_modules(remove_duplicate=False)
    inner = [(name, module) for name, module in found if name and not isinstance(module, torch.jit.ScriptModule)]

    def watching(module: torch.nn.Module) -> Watch:
        def watch(name: str, tap: Tap) -> Callable[[], None]:
            return modules.tapped.add(module, modules.OutputTap(name, tap, traced))

        return watch

    return layers.named(inner or [(type(model).__name__, model)], watching)
