"""Annotations of GitHub Actions: what failed because of graphs, at the lines of the user's code that it came from.

Made from the JSON report's tests; `run/github.py` prints them at the end of a run there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

Data = dict[str, Any]
# GitHub shows no more errors of one step.
MOST: Final = 10
_MOST_MESSAGES: Final = 5
# What limit was broken, by the first lines of a verdict: `2 rebuilds, at most 0 allowed`, `0.31 s spent building, ...`.
_BROKEN: Final = re.compile(
    r"^(?:AssertionError: )?(?:[\d.e+]+ (build|rebuild|break|fallback|node)s?|[\d.]+ s spent building), "
    r"(?:at (?:most|least)|exactly|[\d.e+]+ to) ",
    re.MULTILINE,
)
# What is other than in the lock: `was 0 rebuilds, now 2, because ...`.
_CHANGED: Final = re.compile(r"\bwas (\d+) (?:first )?(build|rebuild|break|fallback|operation)s?, now (\d+)")
# Where a place, `tests/test_net.py:17`, is in the repository; None for one that is not in it.
Locate = Callable[[str], "tuple[str, int] | None"]


class Annotation(NamedTuple):
    """A line of a file in the repository, and what is to be said of it."""

    file: str
    line: int
    title: str
    message: str

    def __str__(self) -> str:
        """The workflow command."""
        properties = f"file={_property(self.file)},line={self.line},title={_property(self.title)}"
        return f"::error {properties}::{_data(self.message)}"


def _data(text: str) -> str:
    """As GitHub's own toolkit escapes a message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


class _Finding(NamedTuple):
    """Something to say of the first of these places that is in the repository; `shown` has where pytest shows it."""

    places: Sequence[str]
    shown: Sequence[str]
    title: str
    message: str


def found_in(tests: Iterable[Data], locate: Locate, *, alone: bool = True) -> list[Annotation]:
    """One for each line and kind of fault, in the order of the tests.

    `alone` is False where another plugin annotates failures where they are shown: what would stand there is left to it.
    """
    found: dict[tuple[str, int, str], dict[str, None]] = {}
    for test in tests:
        for finding in _findings(test):
            place = next(filter(None, map(locate, [*finding.places, *finding.shown])), None)
            if place is not None and (alone or place not in map(locate, finding.shown)):
                found.setdefault((*place, finding.title), {})[finding.message] = None
    return [Annotation(*key, _joined(list(messages))) for key, messages in found.items()]


def _joined(messages: Sequence[str]) -> str:
    more = len(messages) - _MOST_MESSAGES
    return "\n".join([*messages[:_MOST_MESSAGES], *([f"and {more} more"] if more > 0 else [])])


def _findings(test: Data) -> Iterator[_Finding]:
    for variant in test["variants"]:
        if variant["outcome"] in ("failed", "error") and variant["text"]:
            yield from _of_variant(test, variant)
    agreement = test["agreement"]
    if agreement is not None and agreement["outcome"] in ("failed", "error"):
        text = "\n".join(_in_short((agreement["text"] or "").splitlines()))
        title = "variants disagree" if agreement["verdict"] == "disagree" else "variants were not compared"
        yield _Finding([], [*_failed_at(agreement), _of_test(test)], title, f"{test['test']}: {text}")


def _in_short(lines: Sequence[str]) -> list[str]:
    """The first lines of a disagreement; what triage said, and the advice that follows from it, whatever is between."""
    triage = next((at for at, line in enumerate(lines) if line.startswith("Triage: ")), len(lines))
    return [*lines[: min(8, triage)], *lines[triage : triage + 2]]


def _of_variant(test: Data, variant: Data) -> Iterator[_Finding]:
    """The rebuilds, breaks and fallbacks that the text of the failure names; the verdict itself where it names none."""
    text, who = variant["text"], f"{test['test']} ({variant['shown']})"
    broken = set(_broken(text))
    shown = [*_failed_at(variant), _of_test(test)]
    found = []
    if broken & {"rebuild", "build"}:
        for event in filter(lambda event: event["rebuild"], variant["events"]):
            message = _rebuild(event, text, who)
            if message is not None:
                places = list(filter(None, (event["call_site"], event["location"])))
                found.append(_Finding(places, shown, "graph rebuild", message))
    if "break" in broken:
        for entry in filter(lambda entry: entry["where"] in text, variant["breaks"]):
            message = f"{who}: {entry['function']}: {entry['reason']}"
            found.append(_Finding([entry["where"]], shown, "graph break", message))
    if "fallback" in broken or "fell back to eager execution" in text:
        for entry in variant["fallbacks"]:
            message = f"{who}: {entry['function']}: {entry['reason']}"
            found.append(_Finding([entry["location"]], shown, "fallback to eager execution", message))
    if broken and not found:
        found = [_Finding([], shown, "graph counts", f"{who}: {text.splitlines()[0]}")]
    yield from found


def _broken(text: str) -> Iterator[str]:
    """The counts that the text of a failure says were broken; those that became less have no line of their own."""
    yield from (match[1] or "seconds" for match in _BROKEN.finditer(text))
    heads = "\n".join(line for line in text.splitlines() if not line.startswith(" "))
    for before, name, after in _CHANGED.findall(heads):
        yield name if int(after) > int(before) else "less"


def _rebuild(event: Data, text: str, who: str) -> str | None:
    """Why a function was built again, where the text of the failure says so; it sums up many builds."""
    causes = [f"{one['text']}: {one['hint']}" if one["hint"] else one["text"] for one in event["causes"]]
    if causes and not any(cause in text for cause in causes):
        return None
    return f"{who}: {event['function']} was built again: {'; '.join(causes) or 'the cause is not known'}"


def _failed_at(item: Data) -> list[str]:
    return [] if item["failed_at"] is None else [f"{item['failed_at']['file']}:{item['failed_at']['line']}"]


def _of_test(test: Data) -> str:
    return f"{test['file']}:{test['line'] or 1}"
