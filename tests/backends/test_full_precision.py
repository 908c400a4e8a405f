"""Products of float32 in float32 on accelerators, where frameworks have other defaults; as before after a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_graphmode.backends.specs import BACKENDS


def torch_products() -> set[Any]:
    from pytest_graphmode.backends.torch import state

    return {get() for get, _ in state._products()}


def tensorflow_products() -> set[Any]:
    import tensorflow as tf

    return {tf.config.experimental.tensor_float_32_execution_enabled()}


def jax_products() -> set[Any]:
    import jax

    return {jax.config.jax_default_matmul_precision}


def allow_in_torch() -> None:
    import torch

    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    torch.set_float32_matmul_precision("medium")


def allow_in_tensorflow() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(True)


def allow_in_jax() -> None:
    import jax

    jax.config.update("jax_default_matmul_precision", "tensorfloat32")


@pytest.mark.parametrize(
    ("name", "products", "full", "allow"),
    [
        ("torch", torch_products, {"ieee", False}, allow_in_torch),
        ("tf", tensorflow_products, {False}, allow_in_tensorflow),
        ("jax", jax_products, {"float32"}, allow_in_jax),
    ],
)
def test_full_precision_ends_with_the_test(
    name: str, products: Callable[[], set[Any]], full: set[Any], allow: Callable[[], None]
) -> None:
    spec = next(spec for spec in BACKENDS if spec.name == name)
    if not spec.installed:
        pytest.skip(f"{spec.module} is not installed")
    backend: Any = spec.load()
    before = products()
    assert before != full
    with backend.isolate():
        backend.full_precision()
        assert products() <= full
        allow()  # as a test may
        assert not products() <= full
    assert products() == before
