"""The Markdown summary of a job of GitHub Actions: what the tests built, and the failures with their causes.

Made from the JSON report; `run/github.py` appends it to the file that GitHub names.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pytest_graphmode.ledger.describe import counted
from pytest_graphmode.report import COUNTS

Data = dict[str, Any]
# GitHub shows none of a summary of more than a mebibyte.
LARGEST: Final = 1024 * 1024 - 4096
_LONGEST: Final = 4000
_HEAD: Final = f"| test | variant | outcome | {' | '.join(COUNTS)} |\n|---|---|---|{'---:|' * len(COUNTS)}\n"
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|~])")


def summary(report: Data, left_out: int, room: int = LARGEST) -> str:
    """The summary in at most `room` bytes, with how many annotations are `left_out`; "" without room or a test."""
    tests = report["tests"]
    failures, rows = list(_failures(tests)), list(_rows(tests))
    if not tests:
        return ""
    head = f"## Graphs of {counted(len(tests), 'test')}: {counted(len(failures), 'failure')}\n\n"
    if left_out:
        head += f"{counted(left_out, 'annotation')} left out, since GitHub shows 10 of a step.\n\n"
    head += f"{_text(_environment(report['environment']))}\n\n"
    space = room - _size(head) - 500  # for what says that more is left out
    if space <= _size(_HEAD):
        return ""
    space -= _size(_HEAD)
    # The table has half of the room, or as much as it needs; failures have what is left.
    shown = _fitting(failures, space - min(sum(map(_size, rows)), space // 2))
    lines = _fitting(rows, space - sum(map(_size, shown)))
    more = [(len(failures) - len(shown), "failure"), (len(rows) - len(lines), "row")]
    rest = [f"{counted(count, what)} more left out, for want of room\n" for count, what in more if count]
    return "".join([head, *shown, _HEAD, *lines, "\n" if rest else "", *rest, "\n"])


def _fitting(texts: Iterable[str], space: int) -> list[str]:
    """The first texts that have room."""
    found = []
    for text in texts:
        space -= _size(text)
        if space < 0:
            break
        found.append(text)
    return found


def _failures(tests: Iterable[Data]) -> Iterator[str]:
    for test in tests:
        items = [(variant["shown"], variant) for variant in test["variants"]]
        items += [("agreement", test["agreement"])] if test["agreement"] is not None else []
        for shown, item in items:
            if item["outcome"] in ("failed", "error", "crashed"):
                text = (item["text"] or item["outcome"])[:_LONGEST]
                # Up to its closing tag nothing in it is Markdown.
                yield f"**{_text(test['test'])}**, {_text(shown)}\n\n<pre>\n{html.escape(text)}\n</pre>\n\n"


def _rows(tests: Iterable[Data]) -> Iterator[str]:
    for test in tests:
        for variant in test["variants"]:
            counts = variant["counts"] or {}
            numbers = [str(counts.get(name, "")) for name in COUNTS]
            if counts and not counts["calls_known"]:
                numbers[COUNTS.index("calls")] += "?"
            yield _row([test["test"], variant["shown"], variant["outcome"], *numbers])
        if test["agreement"] is not None:
            yield _row([test["test"], "agreement", test["agreement"]["verdict"], *[""] * len(COUNTS)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_text, cells))} |\n"


def _text(text: str) -> str:
    """Text that means nothing in Markdown or HTML, in one line."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split())))


def _environment(environment: Data) -> str:
    frameworks = [f"{name} {one['version']}" for name, one in environment["frameworks"].items()]
    return ", ".join([*frameworks, f"Python {environment['python']}", environment["platform"]])


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))
