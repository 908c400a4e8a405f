"""Products of float32 in float32 on accelerators, where frameworks have other defaults; as before after a test."""

from typing import Any

import pytest

from pytest_graphmode.backends.specs import BACKENDS


def torch_products(torch: Any) -> set[Any]:
    from pytest_graphmode.backends.torch import state

    return {get() for get, _ in state._products()}


def allow_in_torch(torch: Any) -> None:
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    torch.set_float32_matmul_precision("medium")


# How products are computed, what that is in full precision, and a test that allows less.
PRODUCTS = {
    "torch": (torch_products, {"ieee", False}, allow_in_torch),
    "tf": (
        *(lambda tf: {tf.config.experimental.tensor_float_32_execution_enabled()}, {False}),
        lambda tf: tf.config.experimental.enable_tensor_float_32_execution(True),
    ),
    "jax": (
        *(lambda jax: {jax.config.jax_default_matmul_precision}, {"float32"}),
        lambda jax: jax.config.update("jax_default_matmul_precision", "tensorfloat32"),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_full_precision_ends_with_the_test(name: str) -> None:
    products, full, allow = PRODUCTS[name]
    spec = next(spec for spec in BACKENDS if spec.name == name)
    lib = pytest.importorskip(spec.module)
    backend: Any = spec.load()
    before = products(lib)
    assert before != full
    with backend.isolate():
        backend.full_precision()
        assert products(lib) <= full
        allow(lib)
        assert not products(lib) <= full
    assert products(lib) == before
