"""Sees the modules that record autograd graphs when they are called eagerly, in code that nobody wrapped.

It also taps what they return, where `tap_layers` asked for that. Attached by `watcher.py`. `nn.Module.__call__` is
replaced for it. Forward hooks would be the public way. But Dynamo builds its graphs for a global hook, and builds them
again once that is removed; and what torch does around the hook of one module is compiled and counted as a frame of its
own wherever a graph is broken, and so is the hook.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from pytest_graphmode.backends import layers, trees
from pytest_graphmode.backends.calls import FRAMEWORK, within
from pytest_graphmode.backends.layers import Layer, Tap, Watch
from pytest_graphmode.backends.torch import autograd
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.watcher import Sink

_ORIGINAL: Final = "__graphmode_original__"
_OWN: Final = "unpatched_nn_module_call"


# Why nothing is tapped in what the test compiles itself.
OF_OTHERS: Final = "inside of a torch.compile that is not graphmode.function's"


class OutputTap(NamedTuple):
    """What a module returns is tapped: by which name and function, and whether in what Dynamo traces, too."""

    name: str
    tap: Tap
    traced: bool


class TappedModules:
    """The modules whose outputs are tapped, by their `ids`; they are kept as long as they are tapped."""

    def __init__(self) -> None:
        self.ids: dict[int, tuple[nn.Module, list[OutputTap]]] = {}

    def add(self, module: nn.Module, tap: OutputTap) -> Callable[[], None]:
        """Tap what a module returns; returns what ends that."""
        self.ids.setdefault(id(module), (module, []))[1].append(tap)

        def remove() -> None:
            taps = self.of(module)
            taps.remove(tap)
            if not taps:
                del self.ids[id(module)]

        return remove

    def of(self, module: nn.Module) -> list[OutputTap]:
        return self.ids[id(module)][1] if id(module) in self.ids else []

    def output(self, module: nn.Module, output: Any) -> Any:
        """Tap what a call of a module returned outside of Dynamo's graphs; returns what to go on with."""
        for name, tap, _ in self.of(module):
            output = tap(name, output)
        return output


tapped: Final = TappedModules()


def layers_of(model: Any, *, traced: bool = False) -> list[Layer]:
    """The modules in a module, or itself where there are none; not those of TorchScript, which are called elsewhere.

    Args:
        traced: whether they are tapped in what Dynamo traces, too.
    """
    if not isinstance(model, nn.Module):
        raise layers.unknown(model, "an nn.Module")
    model = getattr(model, "_orig_mod", model)  # what torch.compile(model) wraps
    if isinstance(model, torch.jit.ScriptModule):
        raise layers.unknown(model, "an nn.Module that is not scripted")
    found = model.named_modules(remove_duplicate=False)
    inner = [(name, module) for name, module in found if name and not isinstance(module, torch.jit.ScriptModule)]

    def watching(module: nn.Module) -> Watch:
        return lambda name, tap: tapped.add(module, OutputTap(name, tap, traced))

    return layers.named(inner or [(type(model).__name__, model)], watching)


class ModuleSource:
    """Reports outermost calls of modules; see `watcher.EventSource`."""

    def __init__(self) -> None:
        self._identities: weakref.WeakKeyDictionary[nn.Module, Identity] = weakref.WeakKeyDictionary()
        self._calling: Callable[..., Any] | None = None
        self._sink: Sink | None = None

    def attach(self, sink: Sink) -> Callable[[], None]:
        self._sink = sink
        original = nn.Module.__call__
        if getattr(self._calling, _ORIGINAL, None) is not original:
            # One function for all times, because Dynamo would compile again for another one.
            self._calling = self._wrapper(original)
        calling = self._calling
        nn.Module.__call__ = calling
        hide_from_dynamo()

        def detach() -> None:
            self._sink = None
            if nn.Module.__call__ is calling:
                nn.Module.__call__ = original

        return detach

    def _wrapper(self, call: Callable[..., Any]) -> Callable[..., Any]:
        recorded = torch.autograd._get_sequence_nr  # see `TorchMode.recorded_nodes`

        @functools.wraps(call)
        def calling(module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if torch.compiler.is_compiling():
                return call(module, *args, **kwargs)
            thread = get_ident()
            if thread in within or _in_compiled_code():
                result = call(module, *args, **kwargs)
                # Where a graph break left the call outside of the graphs, Dynamo would make graphs of what taps do.
                if id(module) in tapped.ids:
                    tap = torch.compiler.disable(tapped.output) if "torch._dynamo" in sys.modules else tapped.output
                    result = tap(module, result)
                return result
            within[thread] = FRAMEWORK
            before = recorded()
            try:
                result = call(module, *args, **kwargs)
            finally:
                del within[thread]
            nodes = recorded() - before
            if nodes and not _compiled(module):
                self._report(module, nodes, result)
            return tapped.output(module, result) if id(module) in tapped.ids else result

        setattr(calling, _ORIGINAL, call)
        return calling

    def _report(self, module: nn.Module, nodes: int, result: Any) -> None:
        if self._sink is not None:
            known = self._identities.get(module)
            if known is None:
                known = self._identities[module] = identity.of(module.forward, owner=module)
            self._sink.eager_call(
                "torch",
                "eager",
                known,
                nodes,
                lambda: autograd.fingerprint(trees.leaves(result)),
                lambda: autograd.drawing(trees.leaves(result)),
            )


def _compiled(module: nn.Module) -> bool:
    """Whether a module is what torch.compile made of one, or was compiled in place."""
    return "_orig_mod" in module._modules or module._compiled_call_impl is not None


def _in_compiled_code() -> bool:
    """Whether the caller's caller is a part of a compiled function, in a graph or left outside by a graph break."""
    eval_frame = sys.modules.get("torch._C._dynamo.eval_frame")
    callback = getattr(eval_frame, "get_eval_frame_callback", None)
    if callback is not None:
        return callback() not in (None, False)
    # torch 2.4 does not tell; its graphs call modules in code that torch.fx has written.
    return sys._getframe(2).f_code.co_filename.startswith("<eval_with_key>")


@contextmanager
def as_torchs_own() -> Iterator[None]:
    """While Dynamo traces it takes the watched `Module.__call__` for torch's own, and inlines what torch's own does.

    Putting torch's own back meanwhile would not do: code that names `Module.__call__`, as a `super().__call__` does, is
    guarded by the function found there, and that guard would fail as soon as the trace is over, in every call.
    """
    calling = nn.Module.__call__
    homes = _homes() if hasattr(calling, _ORIGINAL) else []
    kept = [home[_OWN] for home in homes]
    for home in homes:
        home[_OWN] = calling
    try:
        yield
    finally:
        for home, own in zip(homes, kept, strict=True):
            home[_OWN] = own


def hide_from_dynamo() -> None:
    """Let Dynamo, where it is imported, treat the watched calls of modules as it does torch's own.

    It runs the frames of torch's `Module.__call__` as they are, and compiles what they call. And where it was imported
    while somebody watched, it took the replaced `Module.__call__` for torch's own.
    """
    calling = nn.Module.__call__
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    if not hasattr(calling, _ORIGINAL) or dynamo is None:
        return
    dynamo.skip_code(calling.__code__)
    for home in _homes():
        home[_OWN] = getattr(home[_OWN], _ORIGINAL, home[_OWN])


def _homes() -> list[dict[str, Any]]:
    """Where Dynamo keeps torch's own `Module.__call__`, to know whether it was replaced; nowhere in torch 2.4."""
    names = ("torch._dynamo.utils", "torch._dynamo.variables.nn_module")
    return [vars(sys.modules[name]) for name in names if _OWN in vars(sys.modules.get(name, object))]
