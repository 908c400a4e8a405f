"""Holds a ledger against the limits of the rebuild and budget markers; `item.py` calls it when a test's body is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_graphmode.ledger import GraphLedger
from pytest_graphmode.markers import Limit
from pytest_graphmode.variant import Variant


@dataclass(frozen=True)
class _Bound:
    """A limit that applies to a ledger: of one backend or mode, "" for all of it."""

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

    def __str__(self) -> str:
        unit = " s spent building" if self.name == "seconds" else f" {_noun(self.name, self.actual)}"
        allowed = f"exactly {self.value:g} expected" if self.exact else f"at most {self.value:g} allowed"
        where = f" ({self.key})" if self.key else ""
        return f"{self.actual:g}{unit}, {allowed}{where}"


def _noun(name: str, count: float) -> str:
    return name.removesuffix("s") if count == 1 else name


def verdict(ledger: GraphLedger, limits: Sequence[Limit], variant: Variant | None) -> str | None:
    """Why the test fails by its limits, None when it keeps them.

    A test that built no graph and called none fails too: nothing it could have broken was there.
    """
    bounds = [bound for limit in limits for bound in _bounds(ledger, limit, variant)]
    broken = [bound for bound in bounds if not bound.kept]
    if broken:
        return "\n".join([*map(str, broken), ledger.explain()])
    fallen = [bound for bound in bounds if bound.name == "rebuilds" and bound.ledger.fallbacks]
    if fallen:
        return f"rebuilds can't be asserted: a function fell back to eager execution\n{ledger.explain()}"
    if bounds and not ledger.builds and not ledger.calls:
        return _VACUOUS
    return None


_VACUOUS = (
    "the test asserts graph counts, but no graph was built and no existing graph was called: "
    "check that the code under test runs in a graph here (tf.config.run_functions_eagerly, TORCHDYNAMO_DISABLE and "
    "torch.compiler.set_stance('force_eager') switch graphs off), or remove the marker"
)


def _bounds(ledger: GraphLedger, limit: Limit, variant: Variant | None) -> Iterable[_Bound]:
    if variant is not None:
        key = next((key for key in (*variant.keys, "") if key in limit.values), None)
        if key is not None:
            yield _Bound(limit.name, key, limit.values[key], limit.exact, ledger)
        return
    if "" in limit.values:
        yield _Bound(limit.name, "", limit.values[""], limit.exact, ledger)
    for key in limit.values:
        if key:
            backend, _, mode = key.partition("_")
            yield _Bound(limit.name, key, limit.values[key], limit.exact, ledger.select(backend, mode or None))
