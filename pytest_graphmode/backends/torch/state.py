"""torch's global state, which a test may change and which must not outlive it.

Called by `backend.py` around every variant, and by `compile.py`. Dynamo is looked at only where it is imported already,
since importing it takes seconds.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from pytest_graphmode.backends.torch.default_compiler import default

SUPPORTED: Final = "torch 2.4 to 2.15"  # whose internals the event sources know; named when one of these is missing

_Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def _default_device() -> torch.device | None:
    """The default device, None where none is set; torch.get_default_device() says cpu then, as it does for cpu."""
    context = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return None if context is None else torch.get_default_device()


_SETTINGS: Final[tuple[_Setting, ...]] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (_default_device, torch.set_default_device),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_num_threads, torch.set_num_threads),
)


@contextmanager
def restored() -> Iterator[None]:
    """Give settings, random numbers and Dynamo's configuration the values they had, where a block changed them."""
    before = [get() for get, _ in _SETTINGS]
    accelerated = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    random = torch.get_rng_state()
    dynamo = _Dynamo()
    try:
        yield
    finally:
        for (get, put), value in zip(_SETTINGS, before, strict=True):
            if get() != value:
                put(value)
        torch.set_rng_state(random)
        if accelerated:
            torch.cuda.set_rng_state_all(accelerated)
        dynamo.restore()


class _Dynamo:
    """Dynamo's configuration, stance and default compiler backend, as far as Dynamo is imported.

    The stance is private to torch (`torch.compiler.set_stance` sets it, nothing tells it); torch 2.4 has none.
    """

    def __init__(self) -> None:
        config = sys.modules.get("torch._dynamo.config")
        self._config: dict[str, Any] = {} if config is None else config.get_config_copy()
        self._stance = _stance()
        self._compiler = _compiler()

    @classmethod
    def by_default(cls) -> _Dynamo:
        """As torch is when it is imported, whatever was set since; torch tells its defaults nowhere in public."""
        made = cls()
        config = sys.modules["torch._dynamo.config"]
        entries = getattr(config, "_config", {})
        known: dict[str, Any] | None = getattr(config, "_default", None)  # torch 2.4
        own = {name: entry.default for name, entry in entries.items() if not _is_from_elsewhere(entry)}
        made._config = dict(own if known is None else known)
        made._stance = made._compiler = None
        return made

    def restore(self) -> None:
        config = sys.modules.get("torch._dynamo.config")
        now = {} if config is None else config.get_config_copy()
        for name, value in self._config.items():
            if name in now and now[name] != value:
                setattr(config, name, value)
        stance = _stance()
        if stance is not None and stance != self._stance:
            sys.modules["torch._dynamo.eval_frame"]._set_stance(self._stance or type(stance)())
        before = default.name if self._compiler is None else self._compiler
        if _compiler() not in (None, before):
            torch.compiler.set_default_backend(before)


def _stance() -> Any:
    return getattr(sys.modules.get("torch._dynamo.eval_frame"), "_stance", None)


def _compiler() -> Any:
    """torch.compile's default backend, as far as it is known and can be set: not before torch 2.12."""
    known = "torch._dynamo.backends.registry" in sys.modules and hasattr(torch.compiler, "set_default_backend")
    return torch.compiler.get_default_backend() if known else None


def _is_from_elsewhere(entry: Any) -> bool:
    """Whether a setting has its value from the environment, or is another name of one that is elsewhere."""
    values = [getattr(entry, name, None) for name in ("env_value_default", "env_value_force")]
    unset = getattr(sys.modules["torch.utils._config_module"], "_UNSET_SENTINEL", None)
    return getattr(entry, "alias", None) is not None or any(value is not unset for value in values)


class Beginning:
    """Dynamo's configuration as a run began with it, which tests that assert counts start from.

    Where Dynamo was not imported then, torch's own defaults are what it began with.
    """

    def __init__(self) -> None:
        self._dynamo: _Dynamo | None = None

    def remember(self) -> None:
        self._dynamo = _Dynamo()

    def restore(self) -> None:
        self._dynamo = self._dynamo or _Dynamo.by_default()
        self._dynamo.restore()


@contextmanager
def compiling() -> Iterator[None]:
    """Dynamo compiles in the block, whatever somebody has switched off."""
    before = _Dynamo()
    switched_off = os.environ.pop("TORCHDYNAMO_DISABLE", None)
    config = sys.modules["torch._dynamo.config"]
    config.disable = config.error_on_recompile = False  # type: ignore[attr-defined]
    if before._stance is not None:
        sys.modules["torch._dynamo.eval_frame"]._set_stance(type(before._stance)())
    try:
        yield
    finally:
        before.restore()
        if switched_off is not None:
            os.environ["TORCHDYNAMO_DISABLE"] = switched_off


@contextmanager
def fresh_graphs() -> Iterator[None]:
    """Dynamo without graphs at the beginning of a block, and at its end."""
    _reset()
    try:
        yield
    finally:
        _reset()


def quiet_trace_log() -> None:
    """Keep the records of torch's structured log out of what pytest shows with a test that fails.

    There are hundreds of them for one graph, and they have no message: they are for torch's own tools (TORCH_TRACE),
    which go on having them, as has everybody who adds a handler.
    """
    for handler in logging.getLogger(_TRACE_LOG).handlers:
        if type(handler).__module__ == "_pytest.logging" and _without_message not in handler.filters:
            handler.addFilter(_without_message)


_TRACE_LOG: Final = "torch.__trace"


def _without_message(record: logging.LogRecord) -> bool:
    """Whether a handler should take a record."""
    return record.name != _TRACE_LOG or bool(record.msg)


def _reset() -> None:
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
