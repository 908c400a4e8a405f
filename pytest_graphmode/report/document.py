"""The JSON report: what the reports of tests told, put together as `schema.json` beside this module says.

`run/writing.py` gathers and writes it; the HTML report and the lock of another machine read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_graphmode.records import replacing
from pytest_graphmode.report.payback import Pace, paybacks

SCHEMA: Final = 1
# How many characters all drawn graphs may have. The schema says so.
MOST_OF_GRAPHS: Final = 2_000_000
# What a run of a variant has where it never came to its call.
_UNCOUNTED: Final[Mapping[str, Any]] = {
    "failed_by": None,
    "counts": None,
    "modes": {},
    "build_seconds": None,
    "call_seconds": None,
    "static": None,
    "steady_call_seconds": None,
    "warm_up_seconds": None,
    "payback_seconds": None,
    "events": [],
    "events_left_out": 0,
    "stretches": [],
    "machinery": 0,
    "breaks": [],
    "fallbacks": [],
    "notes": [],
    "series": [],
    "taps": [],
}
Data = dict[str, Any]
# What an item has before its first report.
_BEGUN: Final[Data] = {"seconds": 0.0, "outcome": "unfinished", "text": None, "failed_at": None}


class ReportError(Exception):
    """A file that is no report; the message begins with its name."""


class Gathered:
    """What was told of the items of a run, each by its key: phase by phase, the last attempt of each."""

    def __init__(self) -> None:
        self._items: dict[object, Data] = {}

    def add(self, key: object, said: Data) -> None:
        """What one report of an item tells; of a subtest, a part of the call, only a failure is of interest."""
        phase, outcome, seconds = said.pop("phase"), said.pop("outcome"), said.pop("seconds")
        if phase == "subtest":
            if outcome != "failed":
                return
            seconds = 0.0  # the call's has them
        before = self._items.get(key, {}) if phase != "setup" else {}
        item = self._items[key] = _BEGUN | before
        failed = item["outcome"] in ("failed", "error")
        kept = {name: item[name] for name in ("text", "failed_at")} if failed else {}
        item.update(said | kept)
        item["seconds"] = round(item["seconds"] + seconds, 6)
        if not failed and (phase == "call" or outcome != "passed"):
            item["outcome"] = outcome

    def begun(self, key: object, said: Data) -> None:
        """What is known of an item before its first report, which does not come where the run breaks off in it."""
        self._items.setdefault(key, _BEGUN | said)

    def broken_off(self, key: object, *, crashed: bool) -> None:
        """A worker went down in an item: it crashed, or was interrupted."""
        if key in self._items:
            text = "the worker that ran it crashed" if crashed else None
            outcome = "crashed" if crashed else "unfinished"
            self._items[key] |= {"outcome": outcome, "text": text, "failed_at": None}

    @property
    def items(self) -> list[Data]:
        """All items, and the variants that ran for an agreement item alone."""
        own = {item["node"] for item in self._items.values()}
        unreported = Gathered()
        for item in self._items.values():
            for said in item.get("ran", ()):
                if said["node"] not in own:
                    unreported.add(said["node"], dict(said))
        return [*self._items.values(), *unreported._items.values()]


def document(items: Iterable[Data], environment: Data, run: Data) -> Data:
    """The whole report, in an order that no worker and no scheduler changes."""
    tests: dict[str, Data] = {}
    for item in sorted(items, key=lambda item: (item["test"], _shown(item), item["node"])):
        test = tests.setdefault(
            item["test"],
            {"test": item["test"], "file": item["file"], "line": None, "variants": [], "agreement": None},
        )
        test["line"] = test["line"] or item["line"]
        if item["agreement"]:
            test["agreement"] = _agreement(item)
        else:
            test["variants"].append(_variant(item))
    for test in tests.values():
        _pay_back(test["variants"])
    graphs, left_out = _shared_graphs(tests.values())
    said = {"schema": SCHEMA, "run": run, "environment": environment, "tests": list(tests.values())}
    return {**said, "graphs": graphs, "graphs_left_out": left_out}


def _shared_graphs(tests: Iterable[Data]) -> tuple[list[Data], int]:
    """Have builds name the graphs that they are drawn as by numbers, since many are the same.

    The graphs, and how many are left out: those of tests that passed first, the last ones of them.
    """
    variants = [variant for test in tests for variant in test["variants"]]
    wanted: dict[str, list[Data]] = {}
    for variant in sorted(variants, key=lambda variant: variant["outcome"] in ("passed", "skipped")):
        for event in variant["events"]:
            if event["graph"] is not None:
                wanted.setdefault(json.dumps(event["graph"]), []).append(event)
                event["graph"] = None
    graphs: list[Data] = []
    size = 0
    for text, events in wanted.items():
        if size + len(text) > MOST_OF_GRAPHS:
            continue
        size += len(text)
        for event in events:
            event["graph"] = len(graphs)
        graphs.append(json.loads(text))
    return graphs, len(wanted) - len(graphs)


def _shown(item: Data) -> str:
    """A variant's id; of a plain test the modes seen."""
    variant = item["variant"]
    return " ".join(item.get("modes", ())) if variant is None else variant["id"]


def _variant(item: Data) -> Data:
    kept = {name: item[name] for name in ("node", "variant", "outcome", "text", "failed_at", "seconds")}
    return {"shown": _shown(item), **kept, **{name: item.get(name, none) for name, none in _UNCOUNTED.items()}}


def _pay_back(variants: Sequence[Data]) -> None:
    """Say of each static variant after how many calls it has paid for its build, where an eager one is beside it."""
    named = {one["variant"]["id"]: one for one in variants if one["variant"] is not None and one["counts"] is not None}
    paces = []
    for id_, one in named.items():
        calls = one["counts"]["calls"] if one["counts"]["calls_known"] else None
        measured = one["steady_call_seconds"], one["warm_up_seconds"]
        paces.append(Pace(id_, one["static"], one["build_seconds"], *measured, calls, one["call_seconds"]))
    for found in paybacks(paces):
        told = {name: value for name, value in found._asdict().items() if name != "variant"}
        named[found.variant]["payback_seconds"] = {**told, "calls": found.calls}


_VERDICTS: Final = {"passed": "agree", "skipped": "not compared", "unfinished": "not compared"}


def _agreement(item: Data) -> Data:
    pairs = item.get("pairs", [])
    differ = any(not pair["agrees"] for pair in pairs)
    kept = {name: item.get(name) for name in ("node", "outcome", "text", "failed_at", "seconds", "tolerance")}
    return {**kept, "verdict": _VERDICTS.get(item["outcome"], "disagree" if differ else "failed"), "pairs": pairs}


def write(file: Path, report: Data) -> None:
    text = json.dumps({**report, "graphs": []}, indent=1, allow_nan=False)
    if report.get("graphs"):  # each in a line, or they would have more spaces than anything else
        lines = ",\n  ".join(json.dumps(graph, allow_nan=False) for graph in report["graphs"])
        text = text.replace('\n "graphs": []', f'\n "graphs": [\n  {lines}\n ]', 1)
    replacing.write(file, f"{text}\n")


def read(file: Path) -> Data:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{file}: the report can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ReportError(f"{file}: the report is damaged, or is none of this plugin's: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("tests"), list) or "schema" not in report:
        raise ReportError(f"{file}: it is no report of --graph-json: it has no schema and no tests")
    if type(report["schema"]) is not int or report["schema"] != SCHEMA:
        raise ReportError(
            f"{file}: its schema version is {report['schema']!r}, and this version of the plugin reads {SCHEMA}: make "
            "both with one version of pytest-graphmode"
        )
    return report
