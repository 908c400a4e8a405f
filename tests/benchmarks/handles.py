"""A handle outside of pytest, for timing what it does inside of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import numpy as np

from pytest_graphmode.backends.specs import BACKENDS
from pytest_graphmode.handle import Handle
from pytest_graphmode.ledger.watcher import recording
from pytest_graphmode.runtime import Runtime
from pytest_graphmode.select.variants import Variant


def _no_skip(reason: str) -> NoReturn:
    raise RuntimeError(reason)


@contextmanager
def handle_of(backend: str, mode: str) -> Iterator[Handle]:
    """What the `graphmode` fixture gives a test of this variant."""
    spec = next(spec for spec in BACKENDS if spec.name == backend)
    loaded = spec.load()
    runs = loaded.mode(mode, "cpu")
    with ExitStack() as stack:
        stack.enter_context(loaded.isolate())
        stack.enter_context(runs.scope())
        recorder = stack.enter_context(recording())
        runtime = Runtime(Variant(backend, mode), loaded, runs, recorder, rng=np.random.default_rng(0))
        yield Handle(runtime, skip=_no_skip)
