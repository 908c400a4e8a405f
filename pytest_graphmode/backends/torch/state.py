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

_Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def _default_device() -> torch.device | None:
    """The default device, None where none is set; torch.get_default_device() says cpu then, as it does for cpu."""
    context = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return None if context is None else torch.get_default_device()


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(setting: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(setting[0], warn_only=setting[1])


_SETTINGS: Final[tuple[_Setting, ...]] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (_default_device, torch.set_default_device),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (_deterministic, _set_deterministic),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_num_threads, torch.set_num_threads),
)


@contextmanager
def restored() -> Iterator[None]:
    """Give settings, random numbers and Dynamo's configuration the values they had, where a block changed them."""
    before = [get() for get, _ in _SETTINGS]
    random = _random()
    dynamo = _Dynamo()
    try:
        yield
    finally:
        for (get, put), value in zip(_SETTINGS, before, strict=True):
            if get() != value:
                put(value)
        _set_random(random)
        dynamo.restore()


def _random() -> tuple[torch.Tensor, list[torch.Tensor]]:
    accelerated = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), accelerated


def _set_random(state: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


class _Dynamo:
    """Dynamo's configuration and stance, as far as Dynamo is imported.

    The stance is private to torch (`torch.compiler.set_stance` sets it, nothing tells it); torch 2.4 has none.
    """

    def __init__(self) -> None:
        self._config = _config()
        self._stance = _stance()

    def restore(self) -> None:
        now = _config()
        for name, value in self._config.items():
            if now[name] != value:
                setattr(sys.modules["torch._dynamo.config"], name, value)
        stance = _stance()
        if stance is not None and stance != self._stance:
            sys.modules["torch._dynamo.eval_frame"]._set_stance(self._stance or type(stance)())


def _config() -> dict[str, Any]:
    config = sys.modules.get("torch._dynamo.config")
    return {} if config is None else config.get_config_copy()


def _stance() -> Any:
    return getattr(sys.modules.get("torch._dynamo.eval_frame"), "_stance", None)


@contextmanager
def fresh_graphs() -> Iterator[None]:
    """Dynamo without graphs at the beginning of a block, and at its end; its structured log is off unless asked for.

    It is for torch's own tools (TORCH_TRACE=folder). pytest would show hundreds of its records, which have no message,
    with each test that fails.
    """
    log = logging.getLogger("torch.__trace")
    disabled, log.disabled = log.disabled, log.disabled or "TORCH_TRACE" not in os.environ
    _reset()
    try:
        yield
    finally:
        _reset()
        log.disabled = disabled


def _reset() -> None:
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        dynamo.reset()
