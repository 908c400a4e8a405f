"""Fixtures for tests that need a framework."""

from __future__ import annotations

import functools
import importlib
import warnings

import pytest


@pytest.fixture(scope="session")
def dynamo():
    """torch._dynamo with all that it imports late.

    An in-process run of pytester's forgets what was imported in it, and much of torch can be imported only once; so a
    test that compiles in such a run asks for this.
    """
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("torch._inductor.compile_fx")
        value = torch.compile(lambda x: x * 2, backend="aot_eager")(torch.ones(1, requires_grad=True))
        value.backward()
    torch._dynamo.reset()
    return torch._dynamo


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
