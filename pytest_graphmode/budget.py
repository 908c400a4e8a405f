"""Holds a ledger against the limits of the rebuild and budget markers, for `item.py` when a test is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pytest_graphmode.ledger import GraphLedger
from pytest_graphmode.markers import Limit
from pytest_graphmode.variant import Variant

_VACUOUS: Final = (
    "the test asserts graph counts, but no graph was built and no existing graph was called: "
    "check that the code under test runs in a graph here (tf.config.run_functions_eagerly, TORCHDYNAMO_DISABLE, "
    "torch.compiler.set_stance('force_eager') and jax.disable_jit switch graphs off), or remove the marker"
)
_FALLEN: Final = "rebuilds can't be asserted: a function fell back to eager execution, where nothing is counted"


@dataclass(frozen=True)
class _Bound:
    """A limit that applies to a ledger, or to the part of one that `key` names; "" for all of it."""

    name: str
    key: str
    value: float
    exact: bool
    ledger: GraphLedger

    @property
    def actual(self) -> float:
        return float(getattr(self.ledger, self.name))

    @property
    def kept(self) -> bool:
        return self.actual == self.value if self.exact else self.actual <= self.value

    def is_empty(self, static: bool) -> bool:
        """Whether nothing was there that could have broken the limit; that no graph is built may be the point.

        Calls of eager code are nothing, and where a `static` mode was asked for, graphs that autograd records neither.
        """
        if self.name == "builds" and self.value == 0:
            return False
        return not (self.ledger.graph_calls or (self.ledger.graph_builds if static else self.ledger.builds))

    def __str__(self) -> str:
        actual = f"{self.actual:.2f} s spent building" if self.name == "seconds" else _counted(self.name, self.actual)
        allowed = f"exactly {self.value:g} expected" if self.exact and self.value else f"at most {self.value:g} allowed"
        where = f" ({self.key})" if self.key else ""
        return f"{actual}, {allowed}{where}{self._hint}"

    @property
    def _hint(self) -> str:
        if self.exact and self.actual < self.value:
            return f": fewer than expected, write graph_rebuilds({self.actual:g}), or at_most={self.value:g}"
        return ""


def _counted(name: str, count: float) -> str:
    return f"{count:g} {name.removesuffix('s') if count == 1 else name}"


def verdict(
    ledger: GraphLedger, limits: Sequence[Limit], variant: Variant | None, *, static: bool = True
) -> str | None:
    """Why the test fails by its limits, None when it keeps them.

    A test that built no graph and called none fails too, unless its variant's mode is not `static` and has no graphs:
    nothing that could have broken its limits was there.
    """
    bounds = list(_bounds(ledger, limits, variant))
    broken = [bound for bound in bounds if not bound.kept]
    if broken:
        return "\n".join(_explained(broken))
    fallen = [bound for bound in bounds if bound.name == "rebuilds" and bound.ledger.fallbacks]
    if fallen:
        return f"{_FALLEN}\n{fallen[0].ledger.explain()}"
    if static and bounds and all(bound.is_empty(variant is not None) for bound in bounds):
        return _VACUOUS
    return None


def _bounds(ledger: GraphLedger, limits: Sequence[Limit], variant: Variant | None) -> Iterator[_Bound]:
    """What the limits mean for a ledger, and those that count the framework's own machinery too for all of it."""
    for internal in (False, True):
        chosen = [limit for limit in limits if limit.internal is internal]
        if chosen:
            counted = ledger.with_internal() if internal else ledger
            yield from _of_variant(counted, chosen, variant) if variant else _of_parts(counted, chosen)


def _explained(broken: Sequence[_Bound]) -> Iterator[str]:
    """The broken bounds, those of one part of the ledger together, above what happened in that part."""
    for _, bounds in groupby(broken, key=lambda bound: bound.key):
        together = list(bounds)
        yield from map(str, together)
        yield together[0].ledger.explain()


def _by_name(limits: Sequence[Limit]) -> Mapping[str, Sequence[tuple[str, float, bool]]]:
    """Key, value and exactness of each count's limits, so that `at_most` and `tf=0` of one marker go together."""
    found: dict[str, list[tuple[str, float, bool]]] = {}
    for limit in limits:
        found.setdefault(limit.name, []).extend((key, value, limit.exact) for key, value in limit.values.items())
    return found


def _of_variant(ledger: GraphLedger, limits: Sequence[Limit], variant: Variant) -> Iterator[_Bound]:
    """The most specific limits of each count hold for all that the variant did."""
    for name, entries in _by_name(limits).items():
        keys = {key for key, _, _ in entries}
        governing = next((key for key in (*variant.keys, "") if key in keys), None)
        yield from (_Bound(name, *entry, ledger) for entry in entries if entry[0] == governing)


def _of_parts(ledger: GraphLedger, limits: Sequence[Limit]) -> Iterator[_Bound]:
    """Each limit holds for what its key names and no more specific key does."""
    for name, entries in _by_name(limits).items():
        keys = frozenset(key for key, _, _ in entries)
        for key, value, exact in entries:
            yield _Bound(name, key, value, exact, ledger.part(_Governed(key, keys)))


@dataclass(frozen=True)
class _Governed:
    """Whether `key` is the most specific of the keys that name a backend and mode."""

    key: str
    keys: frozenset[str]

    def __call__(self, backend: str, mode: str) -> bool:
        governing = (key for key in (f"{backend}_{mode}", backend, "") if key in self.keys)
        return next(governing, None) == self.key
