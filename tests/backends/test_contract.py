"""Every backend of the plugin keeps the contract in every mode."""

import pytest

from pytest_graphmode.backends.specs import BACKENDS
from pytest_graphmode.testing import BackendContract

SPECS = {spec.name: spec for spec in BACKENDS}


class TestTensorFlow(BackendContract, spec=SPECS["tf"]):
    def disturb(self, graphmode):
        graphmode.lib.config.run_functions_eagerly(not graphmode.lib.config.functions_run_eagerly())

    def state(self, graphmode):
        return graphmode.lib.config.functions_run_eagerly()

    def random(self, graphmode):
        if graphmode.mode == "session":
            pytest.skip("TensorFlow 1 derives an operation's seed from its place in the graph too")
        return graphmode.lib.random.uniform([4])


class Torch(BackendContract):
    def disturb(self, graphmode):
        graphmode.lib.set_default_dtype(graphmode.lib.float16)
        graphmode.lib.set_grad_enabled(not graphmode.lib.is_grad_enabled())

    def state(self, graphmode):
        return graphmode.lib.get_default_dtype(), graphmode.lib.is_grad_enabled()

    def random(self, graphmode):
        return graphmode.lib.rand(4)


class TestTorch(Torch, spec=SPECS["torch"], modes=["eager"]): ...


@pytest.mark.slow
class TestTorchCompile(Torch, spec=SPECS["torch"], modes=["compile"]): ...


class TestJax(BackendContract, spec=SPECS["jax"]):
    def disturb(self, graphmode):
        graphmode.lib.config.update("jax_enable_x64", not graphmode.lib.config.jax_enable_x64)
        graphmode.lib.config.update("jax_debug_nans", True)

    def state(self, graphmode):
        return graphmode.lib.config.jax_enable_x64, graphmode.lib.config.jax_debug_nans


class TestNumPy(BackendContract, spec=SPECS["numpy"]):
    def disturb(self, graphmode):
        graphmode.lib.seterr(divide="raise")

    def state(self, graphmode):
        return graphmode.lib.geterr()


def test_a_mode_that_is_not_there():
    with pytest.raises(ValueError, match=r"jax has no mode graph; it has jit, eager"):
        type("Wrong", (BackendContract,), {}, spec=SPECS["jax"], modes=["graph"])
