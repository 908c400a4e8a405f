"""`graphmode.native_device` and `native_dtype`: what the framework's own calls take."""

import numpy as np
import pytest

from pytest_graphmode.backends.base import native
from pytest_graphmode.errors import UnsupportedError

from .variants import variants

EVERY = variants(
    "tf:graph", "tf:session", "tf:eager", "tf:xla", "torch:eager", "torch:compile", "jax:jit", "jax:eager", "numpy"
)


@variants("torch:eager", "torch:compile")
def test_torch(graphmode):
    torch = graphmode.lib
    assert graphmode.native_device == torch.device("cpu")
    assert isinstance(graphmode.native_device, torch.device)
    assert graphmode.native_dtype is torch.float32

    def filled(x):
        return x + torch.ones(2, dtype=graphmode.native_dtype, device=graphmode.native_device)

    result = graphmode.function(filled)(torch.zeros(2))
    assert (result.dtype, result.device, result.tolist()) == (torch.float32, torch.device("cpu"), [1.0, 1.0])
    assert graphmode.ledger.breaks == 0


@variants("tf:graph", "tf:session", "tf:eager", "tf:xla")
def test_tensorflow(graphmode):
    tf = graphmode.lib
    assert graphmode.native_device == "/CPU:0"
    assert graphmode.native_dtype is tf.float32

    def filled(x):
        with tf.device(graphmode.native_device):
            return x + tf.ones([2], graphmode.native_dtype)

    assert graphmode.numpy(graphmode.function(filled)(np.zeros(2))).tolist() == [1.0, 1.0]


@EVERY
def test_the_dtype_is_the_one_in_use(graphmode):
    before = graphmode.native_dtype
    with graphmode.runtime.using_dtype("float64"):
        assert "float64" in str(graphmode.native_dtype)
    assert graphmode.native_dtype == before


@pytest.mark.parametrize("backend", ["tf", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_dtype_of_the_plugin_has_one(backend: str, dtype: str) -> None:
    from pytest_graphmode.backends.specs import BACKENDS

    spec = next(spec for spec in BACKENDS if spec.name == backend)
    if not spec.installed:
        pytest.skip(spec.hint)
    assert dtype in str(native(spec.load(), "native_dtype", dtype))


def test_gpus_have_the_frameworks_names() -> None:
    torch = pytest.importorskip("torch")
    from pytest_graphmode.backends.torch import Torch

    for ours, theirs in (("gpu:1", "cuda:1"), ("mps", "mps"), ("xpu:0", "xpu:0")):
        assert Torch().native_device(ours) == torch.device(theirs)


def test_numpy_has_no_bfloat16() -> None:
    from pytest_graphmode.backends.numpy import NumPy

    with pytest.raises(UnsupportedError, match="numpy has no bfloat16: use float16 or float32"):
        NumPy().native_dtype("bfloat16")


# Devices.


def test_torch_takes_its_share_of_each_gpu(monkeypatch):
    cuda = pytest.importorskip("torch").cuda
    from pytest_graphmode.backends.torch.backend import Torch

    taken = []
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "set_per_process_memory_fraction", lambda *arguments: taken.append(arguments))
    Torch().limit_memory(0.25)
    assert taken == [(0.25, 0), (0.25, 1)]


def test_torch_lists_the_devices_it_has_and_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has all of them; the calls are those that such a torch has."""
    torch = pytest.importorskip("torch")
    from pytest_graphmode.backends.torch.backend import Torch
    from pytest_graphmode.backends.torch.eager import device_name

    calls = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 2)
    for kind, module in {"cuda": torch.cuda, "mps": torch.mps, "xpu": torch.xpu}.items():
        for name in ("synchronize", "empty_cache"):
            monkeypatch.setattr(module, name, lambda *given, kind=kind, name=name: calls.append((kind, name, *given)))
    backend = Torch()
    devices = backend.devices()
    assert devices == ["cpu", "gpu:0", "mps", "xpu:0", "xpu:1"]
    assert [device_name(backend.native_device(device)) for device in devices] == devices
    assert device_name(torch.device("mps:0")) == "mps"  # as tensors there have it
    for device in devices:
        backend.synchronize(device)
        backend.release_memory(device)
    native = [torch.device(device) for device in ("cuda:0", "xpu:0", "xpu:1")]
    waited = [("cuda", native[0]), ("mps",), ("xpu", native[1]), ("xpu", native[2])]
    assert calls == [call for kind, *at in waited for call in ((kind, "synchronize", *at), (kind, "empty_cache"))]
