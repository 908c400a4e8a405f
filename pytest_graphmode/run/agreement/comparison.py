"""Whether the variants of a test agree, from what each recorded: the words of an agreement item's skip or failure.

Called by `item.py`, which has run the variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records.disagreement import Allowed, Pair, Side, brief, disagreement
from pytest_graphmode.records.recording import Run
from pytest_graphmode.run.agreement.keeping import Kept
from pytest_graphmode.select.markers import AgreeRequest
from pytest_graphmode.select.variants import Variant

if TYPE_CHECKING:
    from pytest_graphmode.records.archive import Record

_NOTHING: Final = (
    "no variant recorded a value: call graphmode.agree(name=value) in the test, or graphmode.tap(name, value), or "
    "remove @pytest.mark.graph_agree"
)


class Comparison:
    """The runs of a test's variants against each other, and against the records of other runs.

    Each is compared with the reference: the first that matches the request's, variants of this run before others, or
    the first that ran. Where the records are golden values, each variant is compared with the nearest of them besides.
    """

    def __init__(
        self, runs: Sequence[Run], request: AgreeRequest, table: Table | None = None, kept: Kept | None = None
    ) -> None:
        """Of the runs and the records that are `kept`, None where none are; `table` has the project's tolerances."""
        self._runs, self._request = runs, request
        self._keeps, self._kept = kept is not None, kept or Kept()
        self._allowed = Allowed(request.rtol, request.atol, table, request.dtypes)
        self._ran = [side(run) for run in runs if run.outcome == "passed"]
        self._others = [] if self._kept.frozen else list(map(of_record, self._kept.records))

    @property
    def incomparable(self) -> str | None:
        """Why there is nothing to compare, the reason for a skip; None when there is."""
        failed = ", ".join(str(run.variant) for run in self._runs if run.outcome == "failed")
        broken = [f"{failed} failed"] if failed else []
        broken += [f"{run.variant} crashed worker {run.reason}" for run in self._runs if run.outcome == "crashed"]
        if broken:
            return f"{', '.join(broken)}, so the variants can't be compared: mend that first"
        golden, left_out = self._kept.frozen, f"; {self._skipped}" if self._skipped else ""
        ran = ", ".join(one.name for one in self._ran)
        if not ran or (len(self._ran) + len(self._others) < 2 and not golden):
            also, elsewhere = "", ""
            if self._keeps and ran:
                stale = self._kept.stale
                also = " and " + ("all records of others are stale" if stale else "there is no record of another")
                elsewhere = "run the test in another environment too, or "
            return (
                f"fewer than two variants ran ({ran or 'none'}){also}, so there is nothing to compare"
                f"{left_out}: {elsewhere}select more with --graph-backends, --graph-devices or --graph-dtypes"
            )
        if golden or self._reference is not None:
            return None
        records = f") or the records ({', '.join(one.name for one in self._others)}" if self._others else ""
        return (
            f"the reference {self._request.reference} is not among the variants that ran ({ran}{records})"
            f"{left_out}: select it with --graph-backends, or name another in "
            "@pytest.mark.graph_agree(reference=...)"
        )

    @cached_property
    def disagreement(self) -> str | None:
        """How what ran, and the records of other runs, differ from what they are held to, None when they agree."""
        kept = self._kept
        if not any(one.recording for one in self._ran):
            return _NOTHING
        if kept.frozen and not kept.records:
            return "\n".join([kept.none, *kept.stale])
        notes = [f"Not compared: {self._skipped}." if self._skipped else "", self._on_the_reference()]
        told = disagreement(self.pairs, filter(None, notes))
        return "\n".join([*filter(None, [told]), *kept.unfit]) or None

    def _on_the_reference(self) -> str:
        """That a record of another backend is none, which a port is more likely to be wrong than."""
        here = {run.variant.backend for run in self._runs if run.outcome == "passed"}
        others = (record.origin.backend for record in self._kept.records)
        backend = next((other for other in others if other not in here), None)
        if backend is None or self._kept.frozen or self._request.reference is not None:
            return ""
        return (
            f"The reference is the first variant of this run; for the records of {backend} to be it: "
            f'@pytest.mark.graph_agree(reference="{backend}"), or --graph-records-frozen.'
        )

    @cached_property
    def pairs(self) -> list[Pair]:
        reference = self._reference or self._ran[0]
        found = [Pair(one, reference, self._allowed) for one in (*self._ran, *self._others) if one is not reference]
        if self._kept.frozen and self._kept.records:
            recorded = [one for one in self._ran if one.recording]
            golden = [of_record(self._kept.nearest(one.variant)) for one in recorded]
            pairs = zip(recorded, golden, strict=True)
            found += [Pair(one, record, self._allowed, "the record") for one, record in pairs]
        return found

    @property
    def apart(self) -> dict[Variant, str]:
        """The variants of this run that do not agree with their reference, and its name.

        Of a reference that ran here the same is said where only a record does not agree with it.
        """
        found: dict[Variant, str] = {}
        for pair in self.pairs:
            mine, other = (pair.reference, pair.side) if pair.side.run is None else (pair.side, pair.reference)
            if mine.run is not None and not pair.agrees:
                found.setdefault(mine.variant, other.name)
        return found

    @cached_property
    def _reference(self) -> Side | None:
        wanted = self._request.reference
        sides = (one for one in (*self._ran, *self._others) if wanted is None or wanted.matches(one.variant))
        return next(sides, None)

    @property
    def _skipped(self) -> str:
        skipped = (run for run in self._runs if run.outcome == "skipped")
        return ", ".join(f"{run.variant} was skipped ({run.reason})" for run in skipped)


def side(run: Run) -> Side:
    variant = run.variant
    return Side(variant.id, variant.dtype, variant.device, lambda: run.recording, variant, run)


def of_record(record: Record) -> Side:
    origin = record.origin
    variant = Variant(origin.backend, origin.mode, origin.device, origin.dtype)
    return Side(origin.name, origin.dtype, origin.device, record.recording, variant)


def worst(pairs: Iterable[Pair]) -> tuple[float, str] | None:
    """The largest difference of all sides from their references, and what has it: `loss of tf-graph-cpu`."""
    found = []
    for pair in pairs:
        apart = pair.worst_difference
        if apart is not None:
            found.append((apart[0], f"{apart[1]} of {pair.side.name}"))
        pair.release()
    return max(found, default=None)


def summed_up(wrong: str | None, incomparable: str | None, disagreement: str | None) -> tuple[str, str | None]:
    """The verdict as the reports have it, and its reason, by what went wrong, why an item skips and what differs."""
    if wrong is not None:
        return "failed", wrong
    if incomparable is not None:
        return "not compared", incomparable
    if disagreement is None:
        return "agree", None
    # Values differ, or there was nothing that could be compared.
    if " does not agree with " in disagreement.partition("\n")[0]:
        return "disagree", brief(disagreement)
    return "failed", disagreement
