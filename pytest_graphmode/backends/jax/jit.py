"""JAX's default mode: jax.jit, traced once per signature and run many times."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax

from pytest_graphmode.backends import tapping
from pytest_graphmode.backends.jax.control_flow import LaxOperators
from pytest_graphmode.backends.jax.eager import JaxMode
from pytest_graphmode.backends.jax.packing import Passed, Statics, pack, unpack, untraceable
from pytest_graphmode.backends.jax.taps import trace_state
from pytest_graphmode.backends.jax.variables import (
    TOLD,
    VARIABLES,
    Retrace,
    TracedVariables,
    Variable,
    VariableSpace,
    value_of,
)
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.watcher import watcher


class Jit(LaxOperators, JaxMode):
    name = "jit"
    static = True
    carries_taps = True

    def inside(self) -> bool:
        return self.variables.tracing

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        run = _JittedFunction(self, fn, options)

        @functools.wraps(fn, updated=())
        def call(*args: Any, **kwargs: Any) -> Any:
            return run(*args, **kwargs)

        return identity.subject(call, fn)


class _JittedFunction:
    """`fn` under jax.jit, with every variable of the variant as an input; XLA drops those that are not read."""

    def __init__(self, mode: Jit, fn: Callable[..., Any], options: dict[str, Any]) -> None:
        self._name = identity.of(fn).name
        self._space = mode.variables
        self._untappable = mode.untappable
        self._run = jax.jit(_traceable(mode.variables, fn), **options)
        self._statics = Statics(fn, options)
        self._variables: tuple[Variable, ...] | None = None
        self._arrays: set[type] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._variables is None:
            self._variables = self._space.alive()
        if self._space.tracing or jax.config.jax_disable_jit:
            return self._run_again(args, kwargs)
        try:
            return self._run_again(args, kwargs)
        finally:
            watcher.call("jax", "jit", self._name)  # JAX runs its cached graphs without a word

    def _run_again(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, again: bool = False) -> Any:
        """Run, and once more where it made a variable."""
        try:
            return self._call(self._variables or (), args, kwargs)
        except Retrace:
            if again:
                raise ValueError(
                    f"{self._name} makes a variable each time it is traced, and uses it: make variables "
                    "outside of graphmode.function, or once and keep them"
                ) from None
        self._variables = self._space.alive()
        return self._run_again(args, kwargs, again=True)

    def _call(self, variables: tuple[Variable, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ready, named = self._statics.pack(args, kwargs)
        if variables:
            named[VARIABLES] = Passed(variables, [variable.value for variable in variables])
        try:
            result, updates = self._run(*ready, **named)
        except TypeError as error:
            hint = untraceable(self._statics, args, kwargs)
            if hint is None:
                raise
            raise TypeError(hint) from error
        for number, value in updates.items():
            self._space.assign(variables[number], value)
        return result if type(result) in self._arrays else self._unpacked(result)

    def _unpacked(self, result: Any) -> Any:
        if isinstance(result, jax.Array):
            self._arrays.add(type(result))
        return unpack(tapping.received(result, self._untappable))


def _traceable(space: VariableSpace, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` as the pure function that jax.jit wants: variables come in, and what it assigned goes out."""

    @functools.wraps(fn, updated=())
    def traceable(*args: Any, **kwargs: Any) -> tuple[Any, dict[int, Any]]:
        passed = kwargs.pop(VARIABLES, None) or Passed((), ())
        frame = TracedVariables(dict(zip(passed.variables, passed.values, strict=True)), sealed=True)
        args, kwargs = unpack(args), unpack(kwargs)
        with space.opened(frame), tapping.collecting(trace_state()) as taps:
            result = taps.carried(pack(fn(*args, **kwargs), value_of))
        if frame.missing:
            raise Retrace
        numbers = {id(variable): number for number, variable in enumerate(passed.variables)}
        return result, {numbers[id(variable)]: frame.values[variable] for variable in frame.assigned}

    with suppress(TypeError, ValueError):  # a callable without a signature
        signature = inspect.signature(fn)
        added = inspect.Parameter(VARIABLES, inspect.Parameter.KEYWORD_ONLY, default=None)
        every = sorted((*signature.parameters.values(), added), key=lambda parameter: parameter.kind)
        # JAX takes the names of arguments from it.
        traceable.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
    setattr(traceable, TOLD, True)
    return identity.subject(traceable, fn)
