"""What a run reports: one `Row` for each watched test, which travels as `user_properties` of its test report.

So JUnit files hold it too, and xdist's workers send it home. `execute.py` writes rows, the modules here print them.

The properties of a variant, or of a plain test, have the names of a row's fields after `graphmode_`, and besides:

- `graphmode_rebuilder`: a function that was built again, as JSON, one property each;
- `graphmode_modes`: the counts by `backend:mode`, as JSON;
- `graphmode_causes`: why it was built again, in short;
- `graphmode_verdict`: `kept` or `broken`, of the limits that markers set; `no limits`; `not judged` where it failed;
- `graphmode_reason`: what was broken, in one line.

Those of an agreement item:

- `graphmode_test`, and `graphmode_verdict`: `agree`, `disagree`, `not compared`, `failed`;
- `graphmode_reason`: the first difference, or why nothing was compared, in one line;
- `graphmode_reference`, and `graphmode_compared`: how many were compared with it;
- `graphmode_worst_difference`, relative to the largest value of the reference, and `graphmode_worst`, where it is: with
  `--junitxml` alone, since they take time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_graphmode.ledger.durations import CallTimes
    from pytest_graphmode.ledger.ledger import GraphBuild, GraphLedger
    from pytest_graphmode.select.variants import Variant

PREFIX: Final = "graphmode_"
COUNTS: Final = ("builds", "rebuilds", "breaks", "fallbacks", "calls", "nodes")
_REBUILDER: Final = f"{PREFIX}rebuilder"
_KEPT_REBUILDERS: Final = 10
_KEPT_CAUSES: Final = 3
_LONGEST: Final = 300


@dataclass(frozen=True)
class Rebuilder:
    """A function that a test built more than once.

    `causes` holds the first few different ones with their hints, `more_causes` says how many there are beyond them.
    """

    function: str
    location: str
    rebuilds: int
    causes: tuple[str, ...]
    more_causes: int = 0


@dataclass(frozen=True)
class Row:
    """What one test built. `variant` is what it ran as: a variant's id, else the modes seen, `tf:graph torch:eager`.

    `calls` lacks those that the framework does not tell of, unless `calls_known`.
    `build_seconds` is the time spent building graphs; `call_seconds` the rest of the test's time divided by its calls
    of graphs and eager functions, 0 where there were none. `static` says that the variant's mode runs graphs which are
    built once. `steady_seconds` is the time of a warm call of `graphmode.function`, and `warm_up_seconds` what first
    calls took beyond that and beyond builds; both are measured where a report asks for it, and 0 elsewhere.
    """

    test: str
    variant: str
    builds: int
    rebuilds: int
    breaks: int
    fallbacks: int
    calls: int
    nodes: int
    build_seconds: float
    call_seconds: float
    calls_known: bool = True
    rebuilders: tuple[Rebuilder, ...] = ()
    static: bool = False
    steady_seconds: float = 0.0
    warm_up_seconds: float = 0.0


_COLUMNS: Final = tuple(field.name for field in fields(Row) if field.name != "rebuilders")


def row(
    test: str,
    variant: Variant | None,
    ledger: GraphLedger,
    seconds: float,
    *,
    static: bool = False,
    times: CallTimes | None = None,
) -> Row:
    modes = " ".join(f"{backend}:{mode}" for backend, mode in ledger.backends)
    calls, build_seconds, known = ledger.calls, ledger.seconds, not ledger.uncountable_calls
    return Row(
        test=test,
        variant=modes if variant is None else variant.id,
        **{name: getattr(ledger, name) for name in COUNTS},
        build_seconds=round(build_seconds, 6),
        call_seconds=round(max(seconds - build_seconds, 0.0) / calls, 9) if calls and known else 0.0,
        calls_known=known,
        static=static,
        steady_seconds=(times and times.steady) or 0.0,
        warm_up_seconds=(times and times.warm_up) or 0.0,
        rebuilders=tuple(rebuilders(ledger)),
    )


def rebuilders(ledger: GraphLedger) -> list[Rebuilder]:
    """The functions built again most often, worst first, without eager code, which records one on every call."""
    groups: dict[int, list[GraphBuild]] = {}
    for event in ledger.events:
        if event.rebuild and not event.recorded:
            groups.setdefault(event.group, []).append(event)
    worst = sorted(groups.values(), key=len, reverse=True)[:_KEPT_REBUILDERS]
    return [_rebuilder(events) for events in worst]


def _rebuilder(events: list[GraphBuild]) -> Rebuilder:
    causes = tuple(dict.fromkeys(str(cause) for event in events for cause in event.causes))
    first, more = causes[:_KEPT_CAUSES], max(len(causes) - _KEPT_CAUSES, 0)
    return Rebuilder(events[0].function, events[0].location, len(events), first, more)


def properties(made: Row, ledger: GraphLedger) -> list[tuple[str, Any]]:
    """The `user_properties` of a test by its row: strings and numbers, each name with the plugin's prefix."""
    counts = [(f"{PREFIX}{name}", getattr(made, name)) for name in _COLUMNS]
    by_mode = {(backend, mode): ledger.select(backend, mode) for backend, mode in sorted(ledger.backends)}
    modes = {":".join(key): {name: getattr(part, name) for name in COUNTS} for key, part in by_mode.items()}
    causes = dict.fromkeys(
        f"{event.function}: {cause.what}" for event in ledger.events if event.rebuild for cause in event.causes
    )
    counts += [(f"{PREFIX}modes", json.dumps(modes)), (f"{PREFIX}causes", _short("; ".join(causes)))]
    return counts + [(_REBUILDER, json.dumps(asdict(entry))) for entry in made.rebuilders]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def put(user_properties: list[tuple[str, Any]], **values: object) -> None:
    """Set properties of an item, each once, also where it is run again; a text in one line, and None is left out."""
    names = {f"{PREFIX}{name}" for name in values}
    user_properties[:] = [entry for entry in user_properties if entry[0] not in names]
    for name, value in values.items():
        if value is not None:
            text = _short(value.partition("\n")[0]) if isinstance(value, str) else value
            user_properties.append((f"{PREFIX}{name}", text))


def read(user_properties: Iterable[tuple[str, Any]]) -> Row | None:
    """The row that `properties` put into a test report, None where there is none."""
    entries = [(name, value) for name, value in user_properties if name.startswith(PREFIX)]
    values = {name[len(PREFIX) :]: value for name, value in entries}
    if "builds" not in values:  # an agreement item's
        return None
    worst = (json.loads(value) for name, value in entries if name == _REBUILDER)
    found = tuple(Rebuilder(**{**entry, "causes": tuple(entry["causes"])}) for entry in worst)
    return Row(**{name: values[name] for name in _COLUMNS}, rebuilders=found)
