"""Whether the variants of a test agree, from what each recorded: the words of an agreement item's skip or failure.

Called by `item.py`, which has run the variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pytest_graphmode.checks.tolerances import Table
from pytest_graphmode.records import disagreement as words
from pytest_graphmode.records.disagreement import Allowed, Side
from pytest_graphmode.records.recording import Run
from pytest_graphmode.select.markers import AgreeRequest

_NOTHING: Final = (
    "no variant recorded a value: call graphmode.agree(name=value) in the test, or remove @pytest.mark.graph_agree"
)


def incomparable(runs: Sequence[Run], request: AgreeRequest) -> str | None:
    """Why there is nothing to compare, the reason for a skip; None when there is."""
    failed = [run for run in runs if run.outcome == "failed"]
    if failed:
        return f"{_listed(failed)} failed, so the variants can't be compared: mend that first"
    ran = [run for run in runs if run.outcome == "passed"]
    if len(ran) < 2:
        return (
            f"fewer than two variants ran ({_listed(ran) or 'none'}), so there is nothing to compare{_left_out(runs)}: "
            "select more with --graph-backends, --graph-devices or --graph-dtypes"
        )
    if request.reference is not None and not any(request.reference.matches(run.variant) for run in ran):
        return (
            f"the reference {request.reference} is not among the variants that ran ({_listed(ran)}){_left_out(runs)}: "
            "select it with --graph-backends, or name another in @pytest.mark.graph_agree(reference=...)"
        )
    return None


def disagreement(runs: Sequence[Run], request: AgreeRequest, table: Table | None = None) -> str | None:
    """How the variants that ran differ from the reference, None when they agree.

    Each variant is compared with the reference: the first that matches the request's, or that ran. `table` holds the
    project's own tolerances.
    """
    ran = [run for run in runs if run.outcome == "passed"]
    if not any(run.recording.values for run in ran):
        return _NOTHING
    reference = next(run for run in ran if request.reference is None or request.reference.matches(run.variant))
    pairs = [(_side(run), _side(reference), "the reference") for run in ran if run is not reference]
    notes = [f"Not compared: {_skipped(runs)}."] if _skipped(runs) else []
    return words.disagreement(pairs, Allowed(request.rtol, request.atol, table), notes)


def _side(run: Run) -> Side:
    return Side(run.variant.id, run.variant.dtype, run.variant.device, lambda: run.recording)


def _listed(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.variant) for run in runs)


def _skipped(runs: Sequence[Run]) -> str:
    return ", ".join(f"{run.variant} was skipped ({run.reason})" for run in runs if run.outcome == "skipped")


def _left_out(runs: Sequence[Run]) -> str:
    """The variants that were skipped, with their reasons, as the end of a clause."""
    return f"; {_skipped(runs)}" if _skipped(runs) else ""
