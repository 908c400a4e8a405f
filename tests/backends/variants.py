"""Variants for tests of one backend, which run whatever the command line selects."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from pytest_graphmode.backends.builtin import BACKENDS
from pytest_graphmode.select.variants import Variant

_SPECS = {spec.name: spec for spec in BACKENDS}


def variants(*names: str) -> pytest.MarkDecorator:
    """A mark for tests that use `graphmode`: `variants("jax:jit", "jax:eager")`; skipped where JAX is not installed."""
    params = []
    for name in names:
        backend, _, mode = name.partition(":")
        spec = _SPECS[backend]
        skip = [] if spec.installed else [pytest.mark.skip(reason=f"{spec.module} is not installed: {spec.hint}")]
        params.append(Variant(backend, mode or spec.default_mode).param(skip))
    return pytest.mark.parametrize("graphmode", params, indirect=True)


def imported_jax() -> Any:
    """JAX, with all that it and its backend import when they are first used; skips where it is not installed.

    To be called by a fixture of a module whose tests use pytester in-process: it forgets the modules that were imported
    during a test, and extension modules load only once.
    """
    jax = pytest.importorskip("jax")
    importlib.import_module("pytest_graphmode.backends.jax.tracing")
    jax.jit(jax.grad(lambda x: jax.numpy.linalg.solve(x, x).sum()))(jax.numpy.eye(2)).block_until_ready()
    return jax
