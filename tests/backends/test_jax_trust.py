"""Counts of JAX are right or said to be wrong: what is patched, renamed or gone, and what JAX's public events show."""

from __future__ import annotations

import types

import pytest

from pytest_graphmode import UnsupportedError
from tests.backends.test_jax_tracing import _watched_attributes

pytestmark = pytest.mark.usefixtures("jax")

COUNTED = """
import jax, jax.numpy as jnp, pytest

@pytest.mark.graph_rebuilds(0)
def test_it():
    double = jax.jit(lambda x: x * 2)
    double(jnp.ones(3)), double(jnp.ones(4))
"""


def run(pytester):
    pytester.makepyfile(COUNTED)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider")


@pytest.mark.parametrize("number", range(3))
def test_a_jax_without_a_private_step_says_so(jax, monkeypatch, number):
    from pytest_graphmode.backends.jax.tracing import JitSource

    owner, name = _watched_attributes()[number]
    if isinstance(owner, type):
        owner, name = __import__(owner.__module__, fromlist=["_"]), owner.__name__
    monkeypatch.delattr(owner, name)
    later = "|trace_to_jaxpr" if name == "_initial_style_open_jaxpr" else ""  # what versions after 0.6 have instead
    with pytest.raises(
        UnsupportedError, match=rf"has no jax\._src\.\S+({name}{later}), by which graphs are counted: use"
    ):
        JitSource().attach(None)


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_test_of_counts_fails_as_not_counted_where_a_step_is_not_as_it_was(jax, monkeypatch, pytester, how):
    from pytest_graphmode.backends.jax import steps

    owner, name = _watched_attributes()[0]
    step = getattr(owner, name)  # without which JAX does nothing
    if how == "gone":
        monkeypatch.setattr(steps, "_module", lambda name: types.SimpleNamespace(__name__=f"jax._src.{name}"))
    else:
        monkeypatch.setattr(owner, name, lambda *inputs: step(*inputs))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    said = f"has no jax._src.pjit.{name}" if how == "gone" else f"jax._src.pjit.{name} of this version"
    result.stdout.fnmatch_lines([f"*not counted*{jax.__version__}*{said}, by which graphs are counted*"])


def test_a_trace_that_begins_elsewhere_is_not_taken_for_none(jax, monkeypatch, pytester):
    """The beginning of a trace is no longer seen: the probe finds out."""
    from pytest_graphmode.backends.jax import steps
    from pytest_graphmode.ledger.watcher import watcher

    for attachment in watcher._attachments:
        monkeypatch.setattr(attachment, "_proved", False)
    monkeypatch.setattr(steps, "_begun", lambda original, begin: original)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*not counted*one build of a trivial function of x was expected*none*"])


def test_a_trace_that_only_jaxs_public_event_shows_is_not_counted(jax, pytester):
    pytester.makepyfile(
        """
        import jax, jax.numpy as jnp, jax.monitoring, pytest

        @pytest.mark.graph_rebuilds(0)
        def test_it():
            jax.jit(lambda x: x * 2)(jnp.ones(3))
            jax.monitoring.record_event_duration_secs(
                "/jax/core/compile/jaxpr_trace_duration", 0.1, fun_name="elsewhere"
            )
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*not counted*monitoring events*elsewhere*"])


def test_other_events_of_jax_mean_nothing(jax, pytester):
    pytester.makepyfile(
        """
        import jax, jax.numpy as jnp, jax.monitoring, pytest

        @pytest.mark.graph_rebuilds(0)
        def test_it():
            jax.jit(lambda x: x * 2)(jnp.ones(3))
            jax.monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", 0.1)
            jax.monitoring.clear_event_listeners()
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
