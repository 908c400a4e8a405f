"""The table of all tests in the HTML report: what a row, the filters and the summary above it say, as plain data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from pytest_graphmode.ledger.describe import counted
from pytest_graphmode.report import COUNTS

Data = dict[str, Any]
# Rebuilds, breaks and fallbacks, which are marked; not the rebuilds of eager code, that autograd records in each call.
_BAD: Final = (1, 2, 3)
COLUMNS: Final = (
    ("test", "Test", "text"),
    ("variant", "Variant", "text"),
    ("outcome", "Outcome", "text"),
    ("agreement", "Agreement", "text"),
    *((name, name.capitalize(), "number") for name in COUNTS),
    ("build_seconds", "Building", "number"),
    ("call_seconds", "A call", "number"),
)
_FAILED: Final = ("failed", "error", "crashed", "unfinished")
_LONGEST_WHY: Final = 240
# How many rows are laid out at once; a button shows the rest.
MOST_ROWS: Final = 500
NONE: Final = "\u2013"


def of(report: Data) -> Data:
    tests: Sequence[Data] = report["tests"]
    rows = [row(index, test, variant) for index, test in enumerate(tests) for variant in test["variants"]]
    run, environment = report["run"], report["environment"]
    started = time.strftime("%Y-%m-%d %H:%M", time.gmtime(run["started"]))
    shown = f"{counted(len(rows), 'run')} of {counted(len(tests), 'test')}"
    return {
        "title": f"Graph report: {shown}",
        "made": f"{shown}, {started} UTC, {duration(run['seconds'])}",
        "columns": COLUMNS,
        "rows": rows,
        "most": MOST_ROWS,
        "summary": _summary(rows, tests),
        "filters": [
            ("backend", sorted({name for one in rows for name in one["backends"].split()})),
            ("device", sorted({one["device"] for one in rows} - {""})),
            ("outcome", sorted({one["outcome"] for one in rows})),
            ("agreement", sorted({one["agreement"] for one in rows} - {NONE})),
        ],
        "facts": facts(environment, run),
        "run": run,
        "environment": environment,
    }


def row(index: int, test: Data, variant: Data) -> Data:
    parts, counts, steady = variant["variant"], variant["counts"], variant["steady_call_seconds"]
    backends = [parts["backend"]] if parts else sorted({mode.partition(":")[0] for mode in variant["modes"]})
    known = [None if counts is None else counts.get(name) for name in COUNTS]
    if counts is not None and not counts.get("calls_known", True):
        known[COUNTS.index("calls")] = None
    return {
        "index": index,
        "test": test["test"],
        "link": quote(test["test"], safe="/:", errors="backslashreplace"),
        "shown": variant["shown"] or "no graphs",
        "backends": " ".join(backends),
        "device": parts["device"] if parts else "",
        "outcome": variant["outcome"],
        "agreement": agreement_of(test["agreement"], variant["shown"]),
        "counts": known,
        "bad": _BAD if _rebuilds_graphs(variant) else _BAD[1:],
        # Of a warm call, as measured around it; else what calls share of the test's time.
        "times": [variant["build_seconds"], variant["call_seconds"] if steady is None else steady],
        "why": why(test, variant),
    }


def _rebuilds_graphs(variant: Data) -> bool:
    """Whether rebuilds are of graphs that are built once; a plain test may have such modes beside eager ones."""
    if variant["variant"] is not None:
        return variant["static"] is not False
    return any(counts["rebuilds"] and not counts.get("recorded") for counts in variant["modes"].values())


def agreement_of(agreement: Data | None, shown: str) -> str:
    """How a variant got on in the agreement of its test."""
    if agreement is None:
        return NONE
    pairs = [pair for pair in agreement["pairs"] if pair["variant"] == shown]
    if pairs:
        return "agrees" if all(pair["agrees"] for pair in pairs) else "differs"
    if any(pair["reference"] == shown for pair in agreement["pairs"]):
        return "reference"
    return "failed" if agreement["verdict"] == "failed" else "not compared"


def why(test: Data, variant: Data) -> str:
    """The first thing to know of a variant: why it differs, was built again or broke its graph; two where it failed."""
    reasons = dict.fromkeys(" ".join(reason.split()) for reason in _reasons(test, variant))
    line = ". ".join([reason for reason in reasons if reason][: 1 + (variant["outcome"] in _FAILED)])
    return line if len(line) <= _LONGEST_WHY else f"{line[:_LONGEST_WHY]}..."


def _reasons(test: Data, variant: Data) -> Iterable[str]:
    if variant["outcome"] in _FAILED:
        yield (variant["text"] or "").partition("\n")[0]
    agreement = test["agreement"] or {"pairs": [], "verdict": None}
    if agreement["verdict"] == "failed":
        yield (agreement["text"] or "").partition("\n")[0]
    for pair in agreement["pairs"]:
        if pair["variant"] == variant["shown"]:
            yield from (difference["text"] for difference in pair["differences"])
    for event in variant["events"]:
        if event["rebuild"]:
            yield "; ".join(f"{cause['text']}: {cause['hint']}" for cause in event["causes"])
    yield from (f"{one['where']}: {one['reason']}" for one in variant["breaks"])
    yield from (f"{one['function']}: {one['reason']}" for one in variant["fallbacks"])
    yield variant["text"] or ""


def _summary(rows: Iterable[Data], tests: Iterable[Data]) -> list[tuple[str, int, str, str]]:
    """The buttons above the table: label, number, and the filter that shows these rows."""
    rows = list(rows)
    outcomes = Counter(one["outcome"] for one in rows)
    verdicts = Counter(test["agreement"]["verdict"] for test in tests if test["agreement"])
    found = [(outcome, count, "outcome", outcome) for outcome, count in sorted(outcomes.items())]
    if differing := verdicts["disagree"]:
        found.append((f"disagreement{'s' * (differing > 1)}", differing, "agreement", "differs"))
    if failed := verdicts["failed"]:
        found.append((f"agreement item{'s' * (failed > 1)} failed", failed, "agreement", "failed"))
    return found


def facts(environment: Data, run: Data) -> list[tuple[str, str]]:
    frameworks = environment["frameworks"]
    devices = environment["devices"]
    return [
        ("Selected", ", ".join(environment["backends"])),
        ("Installed", ", ".join(f"{one['package']} {one['version']}" for one in frameworks.values())),
        ("Devices", "all" if devices is None else ", ".join(devices)),
        ("Logical CPUs", str(environment["logical_cpus"])),
        ("Dtypes", ", ".join(environment["dtypes"])),
        ("Compiler", environment["compiler"] or "default"),
        ("Seed", str(environment["seed"])),
        ("Python", f"{environment['implementation']} {environment['python']}, {environment['platform']}"),
        ("pytest", f"{environment['pytest']} with pytest-graphmode {environment['plugin']}"),
        ("Exit code", str(run["exit"])),
    ]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 1e-9:.0f} ns" if seconds else "0 s"
