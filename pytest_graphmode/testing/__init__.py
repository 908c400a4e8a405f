"""The contract that every backend keeps, as tests for its authors to run.

A test module of three lines runs it in every mode of a backend, whatever the command line selects:

    from pytest_graphmode.testing import BackendContract
    from my_package import SPEC

    class TestMyBackend(BackendContract, spec=SPEC): ...

`ForwardContract` is its part without gradients and `GradientContract` the part about them. What a backend says it can't
do (`gradients`, `traces_python`, `UnsupportedError`) is skipped with its own words, and held to be true.
"""

import pytest

pytest.register_assert_rewrite("pytest_graphmode.testing")

from pytest_graphmode.testing.contract import Contract  # noqa: E402 - after the assertions are told to explain themselves
from pytest_graphmode.testing.derivatives import GradientContract  # noqa: E402
from pytest_graphmode.testing.environment import EnvironmentContract  # noqa: E402
from pytest_graphmode.testing.functions import CountingContract, FunctionContract  # noqa: E402
from pytest_graphmode.testing.loops import OperatorContract  # noqa: E402
from pytest_graphmode.testing.values import ValueContract, VariableContract  # noqa: E402


class ForwardContract(
    EnvironmentContract, ValueContract, VariableContract, FunctionContract, CountingContract, OperatorContract
):
    """Everything but gradients: for backends that only run models, and for a first version."""


class BackendContract(ForwardContract, GradientContract):
    """Everything."""


__all__ = ["BackendContract", "Contract", "ForwardContract", "GradientContract"]
