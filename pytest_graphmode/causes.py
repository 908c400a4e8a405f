"""Why a graph was built again: compares a build with the nearest earlier build of the same function.

Called by `recorder.py` for every build; event sources only describe arguments and name hints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pytest_graphmode.ledger import Argument, BuildReport, Cause, Condition

# How many of the latest builds of a function object are compared with, so that a test that builds one function ten
# thousand times does not take time with the square of it.
RECENT: Final = 64
_NUMBERS: Final = ("bool", "int", "float", "complex")


class History:
    """The builds of one function so far, by the object that its graphs are kept on."""

    def __init__(self) -> None:
        self.count = 0
        self._by_owner: dict[int, _Builds] = {}

    def causes(self, report: BuildReport) -> tuple[Cause, ...]:
        """Every reason for this build, the framework's own first; empty for a first build."""
        if not self.count:
            return ()
        earlier = self._by_owner.get(report.identity.owner)
        if earlier is None:
            return (_hinted(Cause("new-function-object"), report),)
        return tuple(_hinted(cause, report) for cause in _causes(report, earlier.nearest(report)))

    def add(self, report: BuildReport) -> None:
        self.count += 1
        self._by_owner.setdefault(report.identity.owner, _Builds()).add(report)


class _Builds:
    """The latest builds on one object, and the signatures of all."""

    def __init__(self) -> None:
        self._latest: list[tuple[frozenset[int], BuildReport]] = []
        self._failed_by_signature: dict[int, bool] = {}

    def add(self, report: BuildReport) -> None:
        parts = _parts(report)
        self._failed_by_signature[hash(parts)] = report.failed
        self._latest.append((parts, report))
        if len(self._latest) > 2 * RECENT:
            del self._latest[:RECENT]

    def nearest(self, report: BuildReport) -> BuildReport:
        """The earlier build with the fewest differences, of several such the latest."""
        parts = _parts(report)
        failed = self._failed_by_signature.get(hash(parts))
        if failed is not None:
            return replace(report, failed=failed)
        latest = reversed(self._latest[-RECENT:])
        if report.considered is not None:
            return min((past for _, past in latest), key=lambda past: len(changes(past, report)))
        return min(latest, key=lambda entry: len(parts ^ entry[0]))[1]


def _parts(report: BuildReport) -> frozenset[int]:
    """What a graph is looked up by, each part as a number, so that many builds are compared in no time."""
    return frozenset(map(hash, (*report.arguments, *report.conditions)))


def _causes(report: BuildReport, nearest: BuildReport) -> list[Cause]:
    known = {(cause.kind, cause.argument) for cause in report.causes}
    found = [cause for cause in changes(nearest, report) if (cause.kind, cause.argument) not in known]
    raised = "raised" if nearest.failed else ""
    return [*report.causes, *found] or [Cause("cache-reset", before=raised)]


def _hinted(cause: Cause, report: BuildReport) -> Cause:
    """With the hint that the event source names: for the kind, or for values that a tensor can't stand for."""
    if cause.hint:
        return cause
    hints = report.hints
    general = hints.get(cause.kind, "")
    constant = cause.kind == "python-value" and cause.type_name not in _NUMBERS
    hint = hints.get("python-object", general) if constant else general
    return replace(cause, hint=hint.replace("{argument}", cause.argument))


def changes(before: BuildReport, after: BuildReport) -> list[Cause]:
    """What differs between two builds: arguments leaf by leaf, in the order of the later one, then conditions."""
    found = [
        cause
        for cause in _differences(before.arguments, after.arguments)
        if after.considered is None or cause.argument in after.considered
    ]
    return [*found, *_conditions(before.conditions, after.conditions)]


def _differences(before: Sequence[Argument], after: Sequence[Argument]) -> Iterator[Cause]:
    if before == after:
        return
    old, new = _by_root(before), _by_root(after)
    for root in dict.fromkeys([*new, *old]):
        mine, theirs = old.get(root, {}), new.get(root, {})
        if mine.keys() != theirs.keys():
            yield Cause("structure", root, _leaves(mine, theirs), _leaves(theirs, mine))
            continue
        for name, argument in theirs.items():
            yield from _leaf(mine[name], argument)


def _by_root(arguments: Sequence[Argument]) -> dict[str, dict[str, Argument]]:
    found: dict[str, dict[str, Argument]] = {}
    for argument in arguments:
        found.setdefault(argument.root, {})[argument.name] = argument
    return found


def _leaves(arguments: Mapping[str, Argument], others: Mapping[str, Argument]) -> str:
    """The leaves that only one side has, the first of them in words."""
    only = [
        argument.text if name == argument.root else f"{name}: {argument.text}"
        for name, argument in arguments.items()
        if name not in others
    ]
    more = f" and {len(only) - 3} more" if len(only) > 3 else ""
    return (", ".join(only[:3]) or "nothing") + more


def _leaf(before: Argument, after: Argument) -> Iterator[Cause]:
    if before == after:
        return
    if before.is_tensor != after.is_tensor:
        yield Cause("structure", after.name, _typed(before), _typed(after))
    elif after.is_tensor:
        yield from _tensor(before, after)
    else:
        named = before if after.type_name == "NoneType" else after
        yield Cause("python-value", after.name, before.text, after.text, type_name=named.type_name)


def _typed(argument: Argument) -> str:
    return argument.text if argument.is_tensor else f"Python {argument.type_name} {argument.text}"


def _tensor(before: Argument, after: Argument) -> Iterator[Cause]:
    if (before.type_name, before.note) != (after.type_name, after.note):
        yield Cause("structure", after.name, before.text, after.text)
        return
    if before.dtype != after.dtype:
        yield Cause("dtype", after.name, str(before.dtype), str(after.dtype))
    if before.shape != after.shape:
        ranks = [None if side.shape is None else len(side.shape) for side in (before, after)]
        kind = "shape" if ranks[0] == ranks[1] else "rank"
        yield Cause(kind, after.name, _shape(before), _shape(after))
    if before.device != after.device:
        yield Cause("device", after.name, str(before.device), str(after.device))
    if before.layout != after.layout:
        yield Cause("layout", after.name, str(before.layout), str(after.layout))
    if before.requires_grad != after.requires_grad:
        yield Cause("grad-mode", f"{after.name}.requires_grad", str(before.requires_grad), str(after.requires_grad))


def _shape(argument: Argument) -> str:
    return "[?]" if argument.shape is None else f"[{', '.join(map(str, argument.shape))}]"


def _conditions(before: Sequence[Condition], after: Sequence[Condition]) -> Iterator[Cause]:
    old = {condition.name: condition.value for condition in before}
    for condition in after:
        was = old.get(condition.name, condition.value)
        if was != condition.value:
            yield Cause(condition.kind, condition.name, was, condition.value)
