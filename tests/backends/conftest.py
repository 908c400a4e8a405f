"""Fixtures for tests that need a framework."""

from __future__ import annotations

import functools

import pytest


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
