"""Variants for tests of one backend, which run whatever the command line selects."""

from __future__ import annotations

import pytest

from pytest_graphmode.builtin import BACKENDS
from pytest_graphmode.variant import Variant

_SPECS = {spec.name: spec for spec in BACKENDS}


def variants(*names: str) -> pytest.MarkDecorator:
    """A mark for tests that use `graphmode`: `variants("jax:jit", "jax:eager")`; skipped where JAX is not installed."""
    params = []
    for name in names:
        backend, _, mode = name.partition(":")
        spec = _SPECS[backend]
        skip = [] if spec.installed else [pytest.mark.skip(reason=f"{spec.module} is not installed: {spec.cure}")]
        params.append(Variant(backend, mode or spec.default_mode).param(skip))
    return pytest.mark.parametrize("graphmode", params, indirect=True)
