"""Fixtures for tests that need a framework."""

from __future__ import annotations

import functools

import pytest

from tests.backends.variants import imported_jax


@pytest.fixture
def torch(dynamo):
    """torch without graphs, before a test and after it."""
    dynamo.reset()
    yield pytest.importorskip("torch")
    dynamo.reset()


@pytest.fixture
def compiled(torch):
    """torch.compile with Dynamo's own, quick backend."""
    return functools.partial(torch.compile, backend="eager")


@pytest.fixture(scope="session")
def jax():
    return imported_jax()


@pytest.fixture
def jnp(jax):
    return jax.numpy
