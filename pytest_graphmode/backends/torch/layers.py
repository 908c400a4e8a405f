"""The layers of an nn.Module, watched by forward hooks, which Dynamo traces with them. Called by torch's modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pytest_graphmode.backends import layers
from pytest_graphmode.backends.layers import Layer, Watch


def of(model: Any) -> list[Layer]:
    """The modules in a module, or itself where there are none; not those of TorchScript, which take no hooks."""
    if not isinstance(model, torch.nn.Module):
        raise layers.unknown(model, "an nn.Module")
    model = getattr(model, "_orig_mod", model)  # what torch.compile(model) wraps
    if isinstance(model, torch.jit.ScriptModule):
        raise layers.unknown(model, "an nn.Module that is not scripted")
    found = model.named_modules(remove_duplicate=False)
    inner = [(name, module) for name, module in found if name and not isinstance(module, torch.jit.ScriptModule)]
    return layers.named(inner or [(type(model).__name__, model)], _watch)


def _watch(module: torch.nn.Module) -> Watch:
    def watch(tap: Callable[[Any], Any]) -> Callable[[], None]:
        removed: Callable[[], None] = module.register_forward_hook(lambda _, args, output: tap(output)).remove
        return removed

    return watch
