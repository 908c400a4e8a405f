"""Holds a ledger against limits: when a marked test is done, and at the end of a block of `expecting.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from pytest_graphmode.checks.limits import ENDLESS, Bounds, Limit
from pytest_graphmode.ledger.ledger import GraphLedger

if TYPE_CHECKING:
    from pytest_graphmode.select.variants import Variant

_VACUOUS: Final = (
    "the test asserts graph counts, but no graph was built and no existing graph was called: "
    "check that the code under test runs in a graph here (tf.config.run_functions_eagerly, run_eagerly=True of Keras, "
    "torch.compile(disable=True), TORCHDYNAMO_DISABLE, torch.compiler.set_stance('force_eager') and jax.disable_jit "
    "switch graphs off), or remove the marker"
)
_ONLY_RECORDED: Final = "what eager autograd records on every call counts only where its mode is named: {}=..."
_NONE_HERE: Final = (
    "eager modes record a graph only where a gradient is asked for; elsewhere look whether graphs are switched "
    "off, as tf.config.run_functions_eagerly, torch.compile(disable=True), TORCHDYNAMO_DISABLE and jax.disable_jit do"
)
_BUILT_BEFORE: Final = "a graph that was built before was called instead: it is still there"
_FALLEN: Final = "rebuilds can't be asserted: a function fell back to eager execution, where nothing is counted"
_PER_OBJECT: Final = (
    "each of these objects was built once: if the test makes several on purpose, per_object=True tells them apart"
)


@dataclass(frozen=True)
class Question:
    """What limits are held against.

    Attributes:
        ledger: what happened.
        variant: what the test ran as; None for a plain test or block, where limits are for parts of the ledger.
        static: whether graphs are built once and run many times here: False for a variant of an eager mode.
        per_object: whether functions are told apart by object where a limit does not say.
        within: packages whose graph breaks count; all do where there are none.
        untrusted: why the graphs of a backend are not counted, for those of which that is so.
        vacuous: whether limits that nothing could have broken fail.
    """

    ledger: GraphLedger
    variant: Variant | None = None
    static: bool = True
    per_object: bool = False
    within: tuple[str, ...] = ()
    untrusted: Mapping[str, str] | None = None
    vacuous: bool = True


@dataclass(frozen=True)
class _Bound:
    """A limit that applies to a ledger, or to the part of one that `key` names; "" for all of it.

    `whole` is the ledger before it was narrowed to the limit's function or package.
    """

    limit: Limit
    key: str
    bounds: Bounds
    ledger: GraphLedger
    whole: GraphLedger
    per_object: bool

    @property
    def name(self) -> str:
        return self.limit.name

    @property
    def counted(self) -> GraphLedger:
        """The ledger as this limit looks at it."""
        return self.ledger.per_object() if self.per_object else self.ledger

    @property
    def actual(self) -> float:
        return float(getattr(self.counted, self.name))

    @property
    def kept(self) -> bool:
        return self._keeps(self.counted)

    def _keeps(self, ledger: GraphLedger) -> bool:
        return self.bounds[0] <= float(getattr(ledger, self.name)) <= self.bounds[1]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was there that could have broken the limit; that no graph is built may be the point."""
        if self.name == "builds" and self.bounds[1] == 0:
            return False
        ledger = self.ledger
        return not (ledger.graph_calls or ledger.builds or ledger.hidden_graphs)

    @property
    def is_of_nobody(self) -> bool:
        """Whether the function or package it names built nothing, though graphs were built and none called besides."""
        whole, part = self.whole, self.ledger
        if self.limit.within is None and (self.limit.function is None or part.functions_seen):
            return False
        none = not (part.events or part.graph_breaks or part.fallback_reasons)
        kept = whole.called_unbuilt if self.limit.fresh else whole.graph_calls > whole.graph_builds
        return none and not kept

    @property
    def is_missing(self) -> bool:
        """Whether graphs were expected and there are none."""
        return self.name in ("builds", "nodes") and not self.actual and self.bounds[0] > 0

    @property
    def per_object_would_keep(self) -> bool:
        return self.name in ("rebuilds", "builds") and not self.per_object and self._keeps(self.ledger.per_object())

    def __str__(self) -> str:
        actual = f"{self.actual:.2f} s spent building" if self.name == "seconds" else _counted(self.name, self.actual)
        place = ", ".join(filter(None, (self.key, self.limit.function or "", self.limit.within or "")))
        return f"{actual}, {_allowed(self.bounds)}{f' ({place})' if place else ''}{self._hint}"

    @property
    def _hint(self) -> str:
        if self.name == "rebuilds" and self.actual < self.bounds[0] == self.bounds[1]:
            return f": fewer than expected, write graph_rebuilds({self.actual:g}), or at_most={self.bounds[1]:g}"
        return ""


def _allowed(bounds: Bounds) -> str:
    least, most = bounds
    if most == ENDLESS:
        return f"at least {least:g} expected"
    if least == most and most:
        return f"exactly {most:g} expected"
    return f"{least:g} to {most:g} expected" if least else f"at most {most:g} allowed"


def _counted(name: str, count: float) -> str:
    return f"{count:g} {name.removesuffix('s') if count == 1 else name}"


def verdict(question: Question, limits: Sequence[Limit]) -> str | None:
    """Why the test fails by its limits, None when it keeps them.

    A test that built no graph and called none fails too, unless its variant's mode is not static and has no graphs:
    nothing that could have broken its limits was there. And so does one whose graphs can't be counted.
    """
    bounds = list(_bounds(question, limits))
    broken = [bound for bound in bounds if not bound.kept]
    failures = [*_explained(broken, question), *_uncounted(question, bounds)]
    if failures:
        return "\n".join(failures)
    fallen = [bound for bound in bounds if bound.name == "rebuilds" and bound.ledger.fallbacks]
    if fallen:
        return f"{_FALLEN}\n{fallen[0].ledger.explain()}"
    return _vacuous(question, bounds)


def exceeded(question: Question, limits: Sequence[Limit]) -> str | None:
    """Why a block fails already, before its end: a count is more than it may be."""
    broken = [bound for bound in _bounds(question, limits) if bound.actual > bound.bounds[1]]
    return "\n".join(_explained(broken, question)) or None


def _vacuous(question: Question, bounds: Sequence[_Bound]) -> str | None:
    if not question.vacuous:
        return None
    mine = [bound for bound in bounds if bound.limit.own and bound.is_of_nobody]
    nobody = [bound for bound in mine if bound.whole.functions_seen or not question.static]
    if nobody:
        limit = nobody[0].limit
        what = f"function {limit.function!r}" if limit.function is not None else f"package {limit.within!r}"
        seen = ", ".join(nobody[0].whole.functions_seen) or "nothing"
        ran = "built no graph; what built some" if question.static else "was not run; what was"
        return f"the test asserts graph counts of the {what}, which {ran}: {seen}"
    if not question.static:
        return None
    own = [bound for bound in bounds if bound.limit.own]
    if not own or not all(bound.is_empty for bound in own):
        return None
    seen = question.ledger.explain()
    if "nothing was built" in seen:
        return _VACUOUS
    modes = sorted(f"{backend}_{mode}" for backend, mode in question.ledger.recorded_modes)
    return "\n".join([_VACUOUS, seen, *(f"  {_ONLY_RECORDED.format(mode)}" for mode in modes)])


def _uncounted(question: Question, bounds: Sequence[_Bound]) -> Iterator[str]:
    """The backends that limits are about and whose graphs are not counted."""
    for backend, reason in (question.untrusted or {}).items():
        if any(_is_about(question, bound, backend) for bound in bounds):
            yield (
                f"the graphs of {backend} are not counted, so nothing can be asserted about them: {reason}. "
                "Use a version that README names as tested, or a later pytest-graphmode"
            )


def _is_about(question: Question, bound: _Bound, backend: str) -> bool:
    """Whether a limit is about a backend; one for any backend is not if only other backends were at work."""
    if question.variant is not None:
        return question.variant.backend == backend
    if bound.key:
        return bound.key == backend or bound.key.startswith(f"{backend}_")
    seen = {name for name, _ in question.ledger.static().backends}
    return backend in seen or not seen


def _bounds(question: Question, limits: Sequence[Limit]) -> Iterator[_Bound]:
    for _, group in groupby(limits, key=_scope):
        chosen = list(group)
        ledger = _looked_at(question, chosen[0])
        per_object = question.per_object if chosen[0].per_object is None else chosen[0].per_object
        for entries in _by_name(chosen).values():
            keys = {key for _, key, _ in entries}
            for limit, key, bounds in entries:
                part = _governed(question, ledger, key, keys)
                if part is not None:
                    yield _Bound(limit, key, bounds, _narrowed(part, limit), part, per_object)


def _scope(limit: Limit) -> tuple[object, ...]:
    return (limit.internal, limit.within, limit.function, limit.per_object)


def _looked_at(question: Question, limit: Limit) -> GraphLedger:
    ledger = question.ledger.with_internal() if limit.internal else question.ledger
    return ledger.without_breaks_outside(question.within) if question.within and limit.within is None else ledger


def _narrowed(ledger: GraphLedger, limit: Limit) -> GraphLedger:
    if limit.within is not None:
        ledger = ledger.within(limit.within)
    return ledger if limit.function is None else ledger.of_function(limit.function)


def _explained(broken: Sequence[_Bound], question: Question) -> Iterator[str]:
    """The broken bounds, those of one part of the ledger together, above what happened in that part."""
    for _, bounds in groupby(broken, key=lambda bound: bound.key):
        together = list(bounds)
        yield from map(str, together)
        yield together[0].counted.explain()
        if any(bound.per_object_would_keep for bound in together):
            yield f"  {_PER_OBJECT}"
        if together[0].is_missing and not question.ledger.events:
            yield f"  {_BUILT_BEFORE if question.ledger.graph_calls else _NONE_HERE}"


def _by_name(limits: Sequence[Limit]) -> Mapping[str, Sequence[tuple[Limit, str, Bounds]]]:
    """The bounds of each count, so that `at_most` and `tf=0` of one marker go together."""
    found: dict[str, list[tuple[Limit, str, Bounds]]] = {}
    for limit in limits:
        found.setdefault(limit.name, []).extend((limit, key, value) for key, value in limit.values.items())
    return found


def _governed(question: Question, ledger: GraphLedger, key: str, keys: Collection[str]) -> GraphLedger | None:
    """The part of a ledger for which `key` is the most specific of the keys of a count.

    None where a variant has a more specific one, or another key names it: the limit says nothing then. Without a
    variant, graphs that autograd records on every call count only where their mode is named: `torch_eager`, `tf_eager`.
    """

    def governs(*names: str) -> bool:
        return next((name for name in (*names, "") if name in keys), None) == key

    if question.variant is not None:
        part = ledger if governs(*question.variant.keys) else None
        return part.static() if part is not None and question.static else part
    part = ledger.part(lambda backend, mode: governs(f"{backend}_{mode}", backend))
    return part if key in {f"{backend}_{mode}" for backend, mode in ledger.recorded_modes} else part.static()
