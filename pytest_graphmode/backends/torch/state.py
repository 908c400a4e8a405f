"""torch's global state, which a test may change and which must not outlive it.

Called by `backend.py` around every variant, and by `compile.py`. Dynamo is looked at only where it is imported already,
since importing it takes seconds.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import torch

from pytest_graphmode.backends.torch.default_compiler import default

SUPPORTED: Final = "torch 2.4 to 2.15"  # whose internals the event sources know; named when one of these is missing

_Setting = tuple[Callable[[], Any], Callable[[Any], object]]


def _default_device() -> torch.device | None:
    """The default device, None where none is set; torch.get_default_device() says cpu then, as it does for cpu."""
    context = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return None if context is None else torch.get_default_device()


def _products() -> Iterator[_Setting]:
    """How exactly an accelerator multiplies: TF32 for float32, sums of float16 and bfloat16 in fewer bits.

    Since torch 2.9 TF32 has names of its own, and reading the old ones raises where somebody has set the new ones.
    """
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    yield _attribute(matmul, "allow_fp16_reduced_precision_reduction")
    yield _attribute(matmul, "allow_bf16_reduced_precision_reduction")
    if hasattr(cudnn, "conv"):
        yield from (_attribute(one, "fp32_precision") for one in (matmul, cudnn.conv, cudnn.rnn))
    else:
        yield _attribute(cudnn, "allow_tf32")


def _attribute(owner: Any, name: str) -> _Setting:
    return functools.partial(getattr, owner, name), functools.partial(setattr, owner, name)


_SETTINGS: Final[tuple[_Setting, ...]] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (_default_device, torch.set_default_device),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_num_threads, torch.set_num_threads),
    *_products(),
)


def full_precision() -> None:
    """Multiply float32 in float32, and add up in it; what this changes is among the settings that are restored."""
    torch.set_float32_matmul_precision("highest")
    for get, put in _products():
        put("ieee" if isinstance(get(), str) else False)


@contextmanager
def restored() -> Iterator[None]:
    """Give settings, random numbers and Dynamo's configuration the values they had, where a block changed them."""
    before = [get() for get, _ in _SETTINGS]
    accelerated = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    random = torch.get_rng_state()
    dynamo = Dynamo.now()
    try:
        yield
    finally:
        for (get, put), value in zip(_SETTINGS, before, strict=True):
            if get() != value:
                put(value)
        torch.set_rng_state(random)
        if accelerated:
            with suppress(RuntimeError):  # of a GPU that nothing can use any more, which `release_memory` tells
                torch.cuda.set_rng_state_all(accelerated)
        dynamo.restore()


class Dynamo(NamedTuple):
    """Dynamo's configuration, stance and default compiler backend, as far as Dynamo is imported.

    The stance is private to torch (`torch.compiler.set_stance` sets it, nothing tells it); torch 2.4 has none.
    """

    config: Mapping[str, Any]
    stance: Any = None
    compiler: str | None = None

    @classmethod
    def now(cls) -> Dynamo:
        config = sys.modules.get("torch._dynamo.config")
        return cls({} if config is None else config.get_config_copy(), _stance(), _compiler())

    @classmethod
    def by_default(cls) -> Dynamo:
        """As torch is when it is imported, whatever was set since: it is told nowhere, so the module runs again."""
        config = sys.modules["torch._dynamo.config"]
        spec: Any = config.__spec__
        fresh = importlib.util.module_from_spec(spec)
        try:
            sys.modules[spec.name] = fresh  # where it looks itself up
            spec.loader.exec_module(fresh)
        finally:
            sys.modules[spec.name] = config
        return cls(fresh.get_config_copy())

    def restore(self) -> None:
        config = sys.modules.get("torch._dynamo.config")
        now = {} if config is None else config.get_config_copy()
        for name, value in self.config.items():
            if name in now and now[name] != value:
                setattr(config, name, value)
        stance = _stance()
        if stance is not None and stance != self.stance:
            sys.modules["torch._dynamo.eval_frame"]._set_stance(self.stance or type(stance)())
        before = default.name if self.compiler is None else self.compiler
        if _compiler() not in (None, before):
            torch.compiler.set_default_backend(before)


def _stance() -> Any:
    return getattr(sys.modules.get("torch._dynamo.eval_frame"), "_stance", None)


def _compiler() -> Any:
    """torch.compile's default backend, as far as it is known and can be set: not before torch 2.12."""
    known = "torch._dynamo.backends.registry" in sys.modules and hasattr(torch.compiler, "set_default_backend")
    return torch.compiler.get_default_backend() if known else None


@contextmanager
def compiling() -> Iterator[None]:
    """Dynamo compiles in the block, whatever somebody has switched off."""
    before = Dynamo.now()
    switched_off = os.environ.pop("TORCHDYNAMO_DISABLE", None)
    config = sys.modules["torch._dynamo.config"]
    config.disable = config.error_on_recompile = False  # type: ignore[attr-defined]
    if before.stance is not None:
        sys.modules["torch._dynamo.eval_frame"]._set_stance(type(before.stance)())
    try:
        yield
    finally:
        before.restore()
        if switched_off is not None:
            os.environ["TORCHDYNAMO_DISABLE"] = switched_off


@contextmanager
def fresh_graphs() -> Iterator[None]:
    """Dynamo without graphs at the beginning of a block, and at its end."""
    reset()
    try:
        yield
    finally:
        reset()


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


def reset() -> None:
    """Clear Dynamo's caches. With CUDA torch imports Inductor for it, which warns of what torch itself deprecated."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dynamo.reset()
