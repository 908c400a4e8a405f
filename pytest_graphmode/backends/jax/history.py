"""What earlier graphs of a function depended on, for causes that only JAX has: call forms, classes of trees, static
values, contexts. The rest is found by `causes.py` from the arguments. Called by `tracing.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_graphmode.backends.jax.hints import FORM, HINTS, of_static
from pytest_graphmode.backends.jax.structure import Structure
from pytest_graphmode.ledger.causes import changed_conditions
from pytest_graphmode.ledger.identity import Identity
from pytest_graphmode.ledger.ledger import Argument, Cause, Condition


@dataclass(frozen=True)
class Traced:
    """What one graph depended on."""

    identity: Identity
    structure: Structure
    conditions: tuple[Condition, ...]
    context: int

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return tuple(self.structure.arguments)


def causes(past: Sequence[Traced], now: Traced) -> Iterator[Cause]:
    """What changed, apart from arrays and configuration, since the graph that could have been reused."""
    before = _nearest(past, now)
    if before is None:
        return
    yield from changed_conditions(before.conditions, now.conditions)  # before what follows from it, such as dtypes
    yield from _forms(before.structure, now.structure)
    yield from _classes(before.structure, now.structure)
    yield from _statics(before.structure, now.structure)
    same = before.identity.owner == now.identity.owner and before.structure == now.structure
    if same and before.conditions == now.conditions and before.context != now.context:
        yield Cause("global-state", "the context of jax.jit (a mesh, an axis, a context manager)")


def _nearest(past: Sequence[Traced], now: Traced) -> Traced | None:
    """The latest with the same arguments in the same object, else the latest there, else of all."""
    mine = [traced for traced in past if traced.identity.owner == now.identity.owner] or past
    equal = [traced for traced in mine if traced.arguments == now.arguments]
    return next(reversed(equal or mine), None)


def _forms(before: Structure, now: Structure) -> Iterator[Cause]:
    for name, form in now.form.items():
        was = before.form.get(name, form)
        if was != form and not ("left out" in (was, form) and _value_differs(name, before, now)):
            yield Cause("structure", name, was, form, hint=FORM.replace("{argument}", name))


def _value_differs(name: str, before: Structure, now: Structure) -> bool:
    """Whether an argument changed by more than that it was left out once, so that there is more to say of it."""
    old, new = ([one for one in side.arguments if one.root == name] for side in (before, now))
    return old != new


def _classes(before: Structure, now: Structure) -> Iterator[Cause]:
    for path, cls in now.classes.items():
        was = before.classes.get(path, cls)
        if was != cls:
            yield Cause("structure", path, was, cls, hint=HINTS["structure"].replace("{argument}", path))


def _statics(before: Structure, now: Structure) -> Iterator[Cause]:
    for name, static in now.statics.items():
        was = before.statics.get(name)
        if was is not None and was.argument != static.argument:
            kind = static if static.argument.type_name != "NoneType" else was
            yield Cause(
                "python-value",
                name,
                was.argument.text,
                static.argument.text,
                hint=of_static(name, static, anew=was.argument.text == static.argument.text),
                type_name=kind.argument.type_name,
            )
