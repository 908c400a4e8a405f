"""Variants for tests of one backend, which run whatever the command line selects."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from pytest_graphmode.backends.specs import BACKENDS
from pytest_graphmode.select.variants import Variant

_SPECS = {spec.name: spec for spec in BACKENDS}


def variant(name: str, *marks: pytest.MarkDecorator) -> ParameterSet:
    """`torch:compile` as an argument of tests that use `graphmode`; skipped where the framework is not installed."""
    backend, _, mode = name.partition(":")
    spec = _SPECS[backend]
    skip = [] if spec.installed else [pytest.mark.skip(reason=f"{spec.module} is not installed: {spec.hint}")]
    return Variant(backend, mode or spec.default_mode).param([*skip, *marks])


def variants(*names: str) -> pytest.MarkDecorator:
    """A mark for tests that use `graphmode`: `variants("jax:jit", "jax:eager")`.

    Beside others `torch:compile` is slow: it compiles for seconds what they run at once.
    """
    slow = {"torch:compile"} if len(names) > 1 else set()
    params = [variant(name, *([pytest.mark.slow] if name in slow else [])) for name in names]
    return pytest.mark.parametrize("graphmode", params, indirect=True)


def failure(check: Callable[..., object], *args: Any, **options: Any) -> str:
    """What a check that must fail says."""
    with pytest.raises(AssertionError) as caught:
        check(*args, **options)
    return str(caught.value)


def imported_jax() -> Any:
    """JAX, with all that it and its backend import when they are first used; skips where it is not installed.

    The fixture `jax` calls it, for tests that use pytester in-process, which forgets the modules that were imported
    during a test, and extension modules load only once.
    """
    jax = pytest.importorskip("jax")
    importlib.import_module("pytest_graphmode.backends.jax.tracing")
    jax.jit(jax.grad(lambda x: jax.numpy.linalg.solve(x, x).sum()))(jax.numpy.eye(2)).block_until_ready()
    return jax
