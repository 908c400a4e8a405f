"""A ledger as plain data: the counts, builds, breaks and fallbacks of the JSON report, as its schema has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_graphmode.ledger.durations import Timed
from pytest_graphmode.report.stretches import stretches_data

if TYPE_CHECKING:
    from pytest_graphmode.ledger.drawing import Drawing, GraphNode
    from pytest_graphmode.ledger.ledger import Argument, Cause, GraphBuild, GraphLedger

# A test that builds more is shown by its first and last builds. The schema says so.
MOST_BUILDS: Final = 400
Data = dict[str, Any]


def ledger_data(ledger: GraphLedger, seconds: float, timed: Timed = Timed()) -> Data:  # noqa: B008 - it is frozen
    """What one test built, whose call took `seconds`; `timed` has its calls that were measured."""
    events = ledger.events
    half = MOST_BUILDS // 2
    left_out = max(len(events) - MOST_BUILDS, 0)
    shown = [*events[:half], *events[half + left_out :]]
    known = not ledger.uncountable_calls
    rest = max(seconds - ledger.seconds, 0.0)
    return {
        "counts": {**counts(ledger), "calls": ledger.calls, "calls_known": known},
        "modes": {
            f"{backend}:{mode}": {
                **counts(ledger.select(backend, mode)),
                "recorded": (backend, mode) in ledger.recorded_modes,
            }
            for backend, mode in sorted(ledger.backends)
        },
        "build_seconds": round(ledger.seconds, 6),
        "call_seconds": round(rest / ledger.calls, 9) if ledger.calls and known else None,
        "events": [_build(event, ledger.started) for event in shown],
        "events_left_out": left_out,
        "stretches": stretches_data(ledger, seconds, timed, known=known),
        "machinery": len(ledger.internal),
        "breaks": [_fields(entry, "function", "where", "reason") for entry in ledger.graph_breaks],
        "fallbacks": [_fields(entry, "function", "location", "reason") for entry in ledger.fallback_reasons],
        "notes": list(ledger.notes),
    }


def _fields(of: object, *names: str) -> Data:
    return {name: getattr(of, name) for name in names}


def counts(ledger: GraphLedger) -> Data:
    """What can be counted; `operations` are those of first builds, which a rebuild more or less does not change."""
    operations = sum(event.nodes for event in ledger.events if not event.rebuild)
    return {**_fields(ledger, "builds", "rebuilds", "breaks", "fallbacks", "nodes"), "operations": operations}


def _build(event: GraphBuild, started: float) -> Data:
    return {
        **_fields(event, "function", "location"),
        "mode": f"{event.backend}:{event.mode}",
        **_fields(event, "group", "number", "call_site", "signature"),
        "arguments": [_argument(argument) for argument in event.arguments],
        "nodes": event.nodes,
        "operations": dict(sorted(event.operations.items())),
        "control_flow": dict(sorted(event.control_flow.items())),
        "begun_seconds": _since(event.began, started),
        "ended_seconds": _since(event.ended, started),
        "build_seconds": round(event.seconds, 6),
        "conditions": dict(event.conditions),
        "graph": None if event.drawing is None else drawing_data(event.drawing),
        "causes": [_cause(cause) for cause in event.causes],
        **_fields(event, "rebuild", "recorded", "resumed", "failed", "graphless"),
    }


def _argument(argument: Argument) -> Data:
    shape = None if argument.shape is None else list(argument.shape)
    return {**_fields(argument, "name", "text", "dtype"), "shape": shape}


def _cause(cause: Cause) -> Data:
    return {**_fields(cause, "kind", "argument", "before", "after", "hint"), "text": cause.what}


def drawing_data(drawing: Drawing) -> Data:
    """A graph; what is empty is left out, since there are many nodes."""
    return {"nodes": [_node(number, node) for number, node in enumerate(drawing.nodes)]}


def _node(number: int, node: GraphNode) -> Data:
    data: Data = {
        "id": number,
        **_fields(node, "operation", "name", "kind"),
        "inputs": list(node.inputs),
        "dtype": node.dtype,
        "shape": None if node.shape is None else list(node.shape),
    }
    if node.after:
        data["after"] = list(node.after)
    if node.bodies:
        data["bodies"] = {name: drawing_data(body) for name, body in node.bodies}
    return data


def _since(moment: float, started: float) -> float:
    return round(max(moment - started, 0.0), 6)
