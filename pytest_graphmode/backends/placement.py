"""Whether what a variant computed is where the variant runs: frameworks move values to other devices without a word.

Used by `runtime.py`, and only where the variant could have run on another device.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, cast

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.errors import UnsupportedError

__tracebackhide__ = True  # in failures, the user's frames are of interest


class PlacingMode(Protocol):
    """A mode that knows where its tensors are.

    Attributes:
        moved_by: how a value comes to another device in this framework, for messages.
    """

    moved_by: str

    def device_of(self, leaf: object) -> str | None:
        """The device of a tensor by the plugin's name; None for what has none, or one that says nothing."""


class Placement(NamedTuple):
    """Where a variant runs: its device, and its name for messages."""

    device: str
    variant: str

    def checked(self, run: Callable[..., Any], mode: Mode, name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`run` with the results of its outermost calls checked; `name` is what `fn` is called.

        The variables of `fn` are checked too, after its first call, which may have made them: they stay where they are.
        """
        owners = [getattr(fn, "__self__", fn)]

        def call(*args: Any, **kwargs: Any) -> Any:
            if mode.inside():
                return run(*args, **kwargs)
            result = run(*args, **kwargs)
            while owners:
                with suppress(UnsupportedError):  # some have no values yet
                    variables = mode.trainable_variables(owners.pop())
                    for variable, value in variables.items():
                        self.require(mode, value, f"the variable {variable} of {name}")
            self.require(mode, result, f"what {name} returned")
            return result

        return call if hasattr(mode, "device_of") else run

    def require(self, mode: Mode, tree: Any, what: str) -> None:
        """Raise AssertionError for the first leaf of a tree that is on another device."""
        placing = cast(PlacingMode, mode)
        if not hasattr(mode, "device_of") or all(self._is_here(placing.device_of(leaf)) for leaf in trees.leaves(tree)):
            return
        for path, leaf in trees.paths(tree):
            device = placing.device_of(leaf)
            if not self._is_here(device):
                where = f"{path} of {what}" if path else what
                backend, kind = self.variant.partition("-")[0], self.device.removesuffix(":0")
                raise AssertionError(
                    f"{where} is on {device}, and {self.variant} runs on {self.device}: {placing.moved_by}; where that "
                    "is meant, do it after the call, or leave the variant out with "
                    f"graph_skip('{backend}@{kind}', reason=...)"
                )

    def _is_here(self, device: str | None) -> bool:
        return device is None or device == self.device
