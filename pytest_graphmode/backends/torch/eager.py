"""Eager PyTorch: Python runs as it is, and autograd records a new graph on every call."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import torch
from torch._subclasses import FakeTensorMode

from pytest_graphmode.backends import keras_layers, tapping, trees
from pytest_graphmode.backends.layers import Layer
from pytest_graphmode.backends.python_mode import PythonMode
from pytest_graphmode.backends.torch import autograd, modules
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger.drawing import Drawing


def native_device(device: str) -> torch.device:
    """`cuda:0` for `gpu:0`."""
    kind, colon, index = device.partition(":")
    return torch.device(f"{'cuda' if kind == 'gpu' else kind}{colon}{index}")


@functools.cache
def device_name(device: torch.device) -> str:
    """`gpu:0` for `cuda:0`: the plugin's name of a device."""
    kind = "gpu" if device.type == "cuda" else device.type
    return kind if kind in ("cpu", "mps") else f"{kind}:{device.index or 0}"


def native_dtype(name: str) -> torch.dtype:
    """`torch.float32` for `float32`, `torch.bool` for NumPy's `bool`."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"torch has no dtype {name!r}")
    return found


class TorchMode(PythonMode):
    """Tensors, variables and gradients as every mode of torch has them."""

    moved_by = (
        "a stray .cpu() or .to() moved it, or it was made without device=graphmode.native_device, which "
        "graphmode.tensor never forgets"
    )

    def __init__(self, device: str) -> None:
        self.device = native_device(device)
        self._nesting = autograd.Nesting()

    def device_of(self, leaf: object) -> str | None:
        return device_name(leaf.device) if isinstance(leaf, torch.Tensor) else None

    def is_tensor(self, value: object) -> bool:
        return isinstance(value, torch.Tensor)

    def is_variable(self, value: object) -> bool:
        """A parameter, or a leaf that autograd tracks; under a gradient a parameter's view stands for it."""
        if not isinstance(value, torch.Tensor) or torch.compiler.is_compiling():
            return isinstance(value, torch.Tensor)
        if isinstance(value, torch.nn.Parameter) or (value.is_leaf and value.requires_grad):
            return True
        return value._base is not None and self.is_variable(value._base)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        if not array.flags.c_contiguous:
            array = array.copy()  # torch reads no array with a negative stride
        return torch.tensor(array, dtype=native_dtype(dtype), device=self.device)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        made = native_dtype(dtype)
        differentiable = made.is_floating_point or made.is_complex
        return torch.nn.Parameter(self.tensor(array, dtype), requires_grad=differentiable)

    def assign(self, variable: Any, value: Any) -> None:
        if not self.assigns:
            return
        with torch.no_grad():
            variable.copy_(torch.as_tensor(value, device=variable.device))

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        host = tensor.detach().cpu().resolve_conj().resolve_neg()
        if host.dtype == torch.bfloat16:
            host = host.float()  # NumPy has no bfloat16 of its own
        return np.array(host.numpy())

    # Each autograd node takes the next sequence number of its thread; no public API counts nodes this cheaply. It is
    # torch's own function, since two more Python calls would be felt on every eager call.
    recorded_nodes = staticmethod(torch.autograd._get_sequence_nr)

    def fingerprint(self, outputs: Any) -> str | None:
        return autograd.fingerprint(trees.leaves(outputs))

    def recorded_drawing(self, outputs: Any) -> Drawing | None:
        root, self._nesting.root = self._nesting.root, None
        return autograd.drawing(trees.leaves(outputs), root)

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        return autograd.value_and_grad(fn, args, argnums, variables, self._nesting)

    def differentiable(self, fn: Callable[..., Any], order: int) -> Callable[..., Any]:
        return autograd.tracking(fn)

    def undecorated(self) -> AbstractContextManager[None]:
        # Since torch 2.6; nothing is compiled where Dynamo is not imported, which takes seconds.
        stance = getattr(torch.compiler, "set_stance", None)
        if stance is None or "torch._dynamo" not in sys.modules:
            return nullcontext()
        forced: AbstractContextManager[None] = stance("force_eager")
        return forced

    def untappable(self, tap: str = "") -> str | None:
        if torch.compiler.is_compiling():
            return modules.OF_OTHERS
        return super().untappable()

    def leave_out(self, name: str, reason: str) -> None:
        if not torch.compiler.is_compiling():  # else it would be an effect of the graph
            tapping.leave_out(name, reason)

    def layers(self, model: Any) -> list[Layer]:
        return keras_layers.of(model) if keras_layers.is_layer(model) else modules.layers_of(model, traced=self.static)

    def tapped(self, name: str, value: Any) -> Any:
        # In a backward, as torch.utils.checkpoint itself asks: there it computes again what was tapped already.
        if torch._C._current_graph_task_id() != -1:
            return value
        autograd.watch_gradient(name, value)
        return super().tapped(name, value)

    def outputs_of(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> Any:
        """Of fake tensors, whose operations compute shapes only; where values decide, on zeros."""
        if torch.compiler.is_compiling():
            return super().outputs_of(f, init, xs)
        with suppress(Exception), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fake:
            carry = trees.map(fake.from_tensor, init)
            return f(carry, trees.map(lambda leaf: fake.from_tensor(leaf).new_zeros(leaf.shape[1:]), xs))[1]
        return super().outputs_of(f, init, xs)

    def rows_of_nothing(self, leaf: Any) -> Any:
        return torch.empty((0, *leaf.shape), dtype=leaf.dtype, device=self.device)

    def trainable_variables(self, owner: object) -> Mapping[str, Any]:
        """The parameters of a module that autograd tracks, by their names; none of anything else."""
        if not isinstance(owner, torch.nn.Module):
            return {}
        if any(map(torch.nn.parameter.is_lazy, owner.parameters())):
            raise UnsupportedError(
                "a lazy module has parameters without a shape until its first call: call it once before"
            )
        named = {name.replace("_orig_mod.", ""): parameter for name, parameter in owner.named_parameters()}
        return {name: one for name, one in named.items() if one.requires_grad and autograd.differentiable(one)}

    @contextmanager
    def holding(self, owners: Sequence[object], variables: Mapping[str, Any], dtype: str) -> Iterator[None]:
        """Tensors of modules, buffers too, and variables hold a dtype in the block, as `Module.to` would make them.

        What the block writes into them is gone after it: they have the very data back that they had before.
        """
        modules = [owner for owner in owners if isinstance(owner, torch.nn.Module)]
        tensors = [
            *variables.values(),
            *(one for module in modules for one in (*module.parameters(), *module.buffers())),
        ]
        kept = {id(tensor): (tensor, tensor.data) for tensor in tensors}
        try:
            for tensor, data in kept.values():
                tensor.data = _converted(data, native_dtype(dtype))
            yield
        finally:
            for tensor, data in kept.values():
                tensor.data = data

    def index(self, value: int) -> Any:
        return torch.tensor(value, dtype=torch.int32, device=self.device)

    def stack(self, leaves: Sequence[Any]) -> Any:
        return torch.stack([torch.as_tensor(leaf, device=self.device) for leaf in leaves])


class Eager(TorchMode):
    """The default mode."""

    # What a test compiles itself is counted by Dynamo's events, and would have what counts eager calls in its graphs.
    # It is asked in every eager call, and costs a third of `is_compiling`.
    compiling = staticmethod(torch.compiler.is_dynamo_compiling)

    def inside(self) -> bool:
        return torch.compiler.is_dynamo_compiling() or super().inside()


def _converted(data: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if data.is_complex():
        dtype = dtype.to_complex()
    elif not data.is_floating_point():
        return data.clone()
    return data.to(dtype, copy=True)
