"""Fixtures for tests that need a framework."""

import functools
from collections.abc import Callable, Sequence

import pytest

from tests.backends.natives import Native
from tests.backends.natives import native as native_of
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


@pytest.fixture(params=["tf", "torch", "jax"])
def native(request: pytest.FixtureRequest) -> Native:
    """tf.function, torch.compile and jax.jit, each in a test of its own."""
    return native_of(request.param, request)


@pytest.fixture
def run_tests(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs a file of tests, which is to end with these outcomes and to print these lines.

    What a test uses of a framework in this process is to be imported before: ask for `jax`, `torch` or `native` first.
    """

    def run(
        source: str, *options: str, said: Sequence[str] = (), fresh: bool = False, **outcomes: int
    ) -> pytest.RunResult:
        pytester.makepyfile(source)
        run = pytester.runpytest_subprocess if fresh else pytester.runpytest_inprocess
        result = run("-p", "no:cacheprovider", *options)
        result.assert_outcomes(**outcomes)
        result.stdout.fnmatch_lines(said)
        return result

    return run
