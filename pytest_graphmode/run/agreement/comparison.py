"""Whether the variants of a test agree, from what each recorded: the words of an agreement item's skip or failure.

Called by `item.py`, which has run the variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records import disagreement as words
from pytest_graphmode.records.disagreement import Allowed, Side
from pytest_graphmode.records.recording import Run
from pytest_graphmode.select.markers import AgreeRequest
from pytest_graphmode.select.variants import Variant

if TYPE_CHECKING:
    from pytest_graphmode.records.archive import Record
    from pytest_graphmode.run.agreement.keeping import Kept

_NOTHING: Final = (
    "no variant recorded a value: call graphmode.agree(name=value) in the test, or graphmode.tap(name, value), or "
    "remove @pytest.mark.graph_agree"
)


def incomparable(runs: Sequence[Run], request: AgreeRequest, kept: Kept | None = None) -> str | None:
    """Why there is nothing to compare, the reason for a skip; None when there is.

    Args:
        kept: the records of other runs; None where none are kept.
    """
    broken = [f"{_listed(failed)} failed"] if (failed := [run for run in runs if run.outcome == "failed"]) else []
    broken += [f"{run.variant} crashed worker {run.reason}" for run in runs if run.outcome == "crashed"]
    if broken:
        return f"{', '.join(broken)}, so the variants can't be compared: mend that first"
    ran = [run for run in runs if run.outcome == "passed"]
    records = kept.records if kept is not None else ()
    golden = kept is not None and kept.frozen
    if not ran or (len(ran) + len(records) < 2 and not golden):
        also, elsewhere = "", ""
        if kept is not None and ran:
            also = " and " + ("all records of others are stale" if kept.stale else "there is no record of another")
            elsewhere = "run the test in another environment too, or "
        return (
            f"fewer than two variants ran ({_listed(ran) or 'none'}){also}, so there is nothing to compare"
            f"{_left_out(runs)}: {elsewhere}select more with --graph-backends, --graph-devices or --graph-dtypes"
        )
    if request.reference is None or golden or _first(ran, records, request) is not None:
        return None
    among = f"{_listed(ran)}) or the records ({', '.join(record.origin.name for record in records)}"
    return (
        f"the reference {request.reference} is not among the variants that ran ({among if records else _listed(ran)})"
        f"{_left_out(runs)}: select it with --graph-backends, or name another in "
        "@pytest.mark.graph_agree(reference=...)"
    )


def disagreement(
    runs: Sequence[Run], request: AgreeRequest, table: Table | None = None, kept: Kept | None = None
) -> str | None:
    """How the variants that ran, and the records of other runs, differ from the reference, None when they agree.

    Each is compared with the reference: the first that matches the request's, or that ran. Where the records are golden
    values, each variant is compared with the nearest of them besides. `table` holds the project's own tolerances.
    """
    ran = [run for run in runs if run.outcome == "passed"]
    if not any(run.recording for run in ran):
        return _NOTHING
    if kept is not None and kept.frozen and not kept.records:
        return "\n".join([kept.none, *kept.stale])
    notes = [f"Not compared: {_skipped(runs)}."] if _skipped(runs) else []
    notes += _on_the_reference(ran, request, kept)
    sides = ((side(one), side(other), role) for one, other, role in pairs(runs, request, kept))
    told = words.disagreement(sides, allowed(request, table), notes)
    return "\n".join([*filter(None, [told]), *(kept.unfit if kept is not None else ())]) or None


def _on_the_reference(ran: Sequence[Run], request: AgreeRequest, kept: Kept | None) -> list[str]:
    """That a record of another backend is none, which a port is more likely to be wrong than."""
    if kept is None or kept.frozen or request.reference is not None:
        return []
    here = {run.variant.backend for run in ran}
    others = list(dict.fromkeys(one.origin.backend for one in kept.records if one.origin.backend not in here))
    return [
        f"The reference is the first variant of this run; for the records of {backend} to be it: "
        f'@pytest.mark.graph_agree(reference="{backend}"), or --graph-records-frozen.'
        for backend in others[:1]
    ]


def apart(runs: Sequence[Run], request: AgreeRequest, table: Table | None, kept: Kept | None) -> dict[Variant, str]:
    """The variants of this run that do not agree with their reference, and its name.

    Of a reference that ran here the same is said where only a record does not agree with it.
    """
    found: dict[Variant, str] = {}
    for one, reference, _ in pairs(runs, request, kept):
        mine, other = (one, reference) if isinstance(one, Run) else (reference, one)
        if isinstance(mine, Run) and not words.agree(side(one), side(reference), allowed(request, table)):
            found.setdefault(mine.variant, side(other).name)
    return found


def tells_apart(text: str) -> bool:
    """Whether a disagreement is of values, and not of nothing that could be compared."""
    return " does not agree with " in text.partition("\n")[0]


def worst(compared: Iterable[tuple[Side, Side]], allowed: Allowed) -> tuple[float, str] | None:
    """The largest difference of all sides from their references, and what has it: `loss of tf-graph-cpu`."""
    found = [(side.name, words.worst_difference(side, reference, allowed)) for side, reference in compared]
    return max(((one[0], f"{one[1]} of {name}") for name, one in found if one is not None), default=None)


def allowed(request: AgreeRequest, table: Table | None) -> Allowed:
    return Allowed(request.rtol, request.atol, table, request.dtypes)


def pairs(
    runs: Sequence[Run], request: AgreeRequest, kept: Kept | None
) -> Iterator[tuple[Run | Record, Run | Record, str]]:
    """What is compared with what, and what to call that: `the reference`."""
    ran = [run for run in runs if run.outcome == "passed"]
    golden = kept is not None and kept.frozen
    records = kept.records if kept is not None and not golden else ()
    reference = _first(ran, records, request) or ran[0]
    yield from ((other, reference, "the reference") for other in _all(ran, records) if other is not reference)
    if kept is not None and golden and kept.records:
        yield from ((run, kept.nearest(run.variant), "the record") for run in ran if run.recording)


def _first(ran: Sequence[Run], records: Sequence[Record], request: AgreeRequest) -> Run | Record | None:
    """The reference: the first that matches the request's, variants of this run before others."""
    if request.reference is None:
        return ran[0]
    return next((side for side in _all(ran, records) if request.reference.matches(variant(side))), None)


def _all(ran: Sequence[Run], records: Sequence[Record]) -> list[Run | Record]:
    return [*ran, *records]


def variant(side: Run | Record) -> Variant:
    if isinstance(side, Run):
        return side.variant
    origin = side.origin
    return Variant(origin.backend, origin.mode, origin.device, origin.dtype)


def side(one: Run | Record) -> Side:
    """A run or a record as what is compared."""
    of = variant(one)
    if isinstance(one, Run):
        return Side(of.id, of.dtype, of.device, lambda: one.recording)
    return Side(one.origin.name, of.dtype, of.device, one.recording)


def _listed(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.variant) for run in runs)


def _skipped(runs: Sequence[Run]) -> str:
    return ", ".join(f"{run.variant} was skipped ({run.reason})" for run in runs if run.outcome == "skipped")


def _left_out(runs: Sequence[Run]) -> str:
    """The variants that were skipped, with their reasons, as the end of a clause."""
    return f"; {_skipped(runs)}" if _skipped(runs) else ""
