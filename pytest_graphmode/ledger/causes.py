"""Why a graph was built again: compares a build with the latest earlier build that it could have reused.

Called by `recorder.py` for every build; event sources only describe arguments and name hints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pytest_graphmode.ledger import closure
from pytest_graphmode.ledger.describe import dimensions, listed
from pytest_graphmode.ledger.identity import Content, Identity
from pytest_graphmode.ledger.ledger import Argument, BuildReport, Cause, Condition, root_of

# How many of the latest builds are kept to compare with, so that a test that builds one function ten thousand times
# takes no memory for each.
RECENT: Final = 64
_NUMBERS: Final = ("bool", "int", "float", "complex")
# How `describe.py` begins what is no number and no tensor.
_OBJECTS: Final = ("<", "the function", "the class", "'", '"')
_HINTS: Final[Mapping[str, str]] = {
    "closure": "pass {argument} as an argument, or make and wrap the function once, outside the loop",
    "another-object": "make one object and keep it, or allow a build for each with per_object=True",
    "new-function-object": "wrap the function once, outside the loop, and call that",
}


class History:
    """The builds of one function so far; `group` is the number that they have in common in their recorder."""

    def __init__(self, group: int = 0) -> None:
        self.group = group
        self.count = 0
        self._builds: list[BuildReport] = []
        self._failed: dict[int, bool] = {}
        self._objects: set[closure.Key] = set()

    def is_new_object(self, report: BuildReport) -> bool:
        """Whether the function was built before, but never in this object."""
        return bool(self.count) and self._objects.isdisjoint(report.identity.keys)

    def causes(self, report: BuildReport) -> tuple[Cause, ...]:
        """Every reason for this build, the framework's own first; empty for a first build."""
        if not self.count and not report.existing:
            return ()
        if report.complete and report.causes:
            return tuple(_hinted(cause, report) for cause in report.causes)
        earlier = self._reusable(report)
        if earlier is None:
            return tuple(_hinted(cause, report) for cause in report.causes or (Cause("guard"),))
        return tuple(_hinted(cause, report) for cause in _causes(report, earlier))

    def add(self, report: BuildReport) -> None:
        self.count += 1
        self._failed[_signature(report)] = report.failed
        self._objects.update(report.identity.keys)
        self._builds.append(replace(report, earlier=None, depends_on=None, drawing=None))
        if len(self._builds) > 2 * RECENT:
            del self._builds[:RECENT]

    def _reusable(self, report: BuildReport) -> BuildReport | None:
        """The latest build with the same arguments, else the latest on the same owner, in the same object, of all."""
        failed = self._failed.get(_signature(report))
        if failed is not None:
            return replace(report, failed=failed)
        builds = self._builds or (list(report.earlier()) if report.earlier is not None else [])
        mine = report.identity
        for wanted in (_same_owner, Identity.same_object):
            found = next((build for build in reversed(builds) if wanted(build.identity, mine)), None)
            if found is not None:
                return found
        return builds[-1] if builds else None


def _same_owner(before: Identity, after: Identity) -> bool:
    return before.owner == after.owner and before.bound == after.bound


def _signature(report: BuildReport) -> int:
    """A number for what a graph is looked up by, so that many builds are compared in no time."""
    return hash((report.identity.owner, report.identity.keys, frozenset((*report.arguments, *report.conditions))))


def _causes(report: BuildReport, earlier: BuildReport) -> list[Cause]:
    """The source's own causes, what was made anew, then what else differs, each once."""
    known = {(cause.kind, cause.argument) for cause in report.causes}
    compared = [*_made_anew(earlier.identity, report.identity), *changes(earlier, report)]
    found = [cause for cause in compared if (cause.kind, cause.argument) not in known]
    raised = "raised" if earlier.failed else ""
    return [*report.causes, *found] or [Cause("cache-reset", before=raised, type_name=raised)]


def _hinted(cause: Cause, report: BuildReport) -> Cause:
    """With the hint that the event source names: for the kind and the type, for the kind, or for Python values."""
    if cause.hint:
        return cause
    hints = report.hints
    general = hints.get(cause.kind, _HINTS.get(cause.kind, ""))
    hint = hints.get(f"{cause.kind}-{cause.type_name}", general)
    if cause.kind == "python-value":
        general = hint if cause.type_name in _NUMBERS else hints.get("python-object", hint)
        hint = hints.get(f"python-{cause.type_name}", general)
    if cause.kind == "closure" and _is_of_an_object(cause) and "closure-object" in hints:
        root = root_of(cause.argument)
        return replace(cause, hint=hints["closure-object"].replace("{argument}", root))
    return replace(cause, hint=hint.replace("{argument}", cause.argument))


def _is_of_an_object(cause: Cause) -> bool:
    """Whether what a function closes over is an object that no argument stands for, by none of its attributes that
    changed either: numbers and tensors can be passed, an optimizer or a function can't.
    """
    return cause.after.startswith(_OBJECTS) and ("." in cause.argument or not cause.after.startswith(("'", '"')))


def _made_anew(before: Identity, after: Identity) -> Iterator[Cause]:
    """What the function closes over or is bound to that was not there before; nothing where its graphs still serve."""
    if before.owner == after.owner and (before.function, before.bound) == (after.function, after.bound):
        return
    causes = [cause for pair in _paired(before.contents, after.contents) for cause in _content(*pair)]
    if not causes and (before.owner, before.function) != (after.owner, after.function):
        causes = [Cause("new-function-object")]
    yield from causes


def _paired(before: Sequence[Content], after: Sequence[Content]) -> Iterator[tuple[Content, Content]]:
    old = {(content.role, content.name): content for content in before}
    for content in after:
        was = old.get((content.role, content.name))
        if was is not None and was.key != content.key:
            yield was, content


def _content(before: Content, after: Content) -> Iterator[Cause]:
    """What changed about one thing that the function closes over or is bound to; of its attributes three at most."""
    kind = "another-object" if after.role == "bound" else "closure"
    old = dict(before.attributes)
    differing = [(name, old[name], now) for name, now in after.attributes if old.get(name, now) != now]
    for name, was, now in differing[:3]:
        yield Cause(kind, f"{after.name}.{name}", was, now, type_name=after.type_name)
    if not differing:
        was, now = ("", "") if after.role == "bound" else (before.text, after.text)
        yield Cause(kind, after.name, was, now, type_name=after.type_name)


def changes(before: BuildReport, after: BuildReport) -> list[Cause]:
    """What differs between two builds: arguments leaf by leaf, in the order of the later one, then conditions."""
    found = [
        cause
        for cause in changed_arguments(before.arguments, after.arguments)
        if after.considered is None or cause.argument in after.considered
    ]
    return [*found, *changed_conditions(before.conditions, after.conditions)]


def changed_arguments(before: Sequence[Argument], after: Sequence[Argument]) -> Iterator[Cause]:
    if before == after:
        return
    old, new = _by_root(before), _by_root(after)
    for root in dict.fromkeys([*new, *old]):
        mine, theirs = old.get(root, {}), new.get(root, {})
        if mine.keys() != theirs.keys():
            yield Cause("structure", root, *_elements(mine, theirs))
            continue
        for name, argument in theirs.items():
            yield from _leaf(mine[name], argument)


def _by_root(arguments: Sequence[Argument]) -> dict[str, dict[str, Argument]]:
    found: dict[str, dict[str, Argument]] = {}
    for argument in arguments:
        found.setdefault(argument.root, {})[argument.name] = argument
    return found


def _elements(before: Mapping[str, Argument], after: Mapping[str, Argument]) -> tuple[str, str]:
    """What only one side has: in words where both have something, else by name."""
    if before.keys() <= after.keys() or after.keys() <= before.keys():
        return listed(name for name in before if name not in after), listed(
            name for name in after if name not in before
        )
    return _leaves(before, after), _leaves(after, before)


def _leaves(arguments: Mapping[str, Argument], others: Mapping[str, Argument]) -> str:
    """The leaves that only one side has, the first of them in words."""
    only = [
        argument.text if name == argument.root else f"{name}: {argument.text}"
        for name, argument in arguments.items()
        if name not in others
    ]
    return listed(only)


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
    plain = argument.is_tensor or argument.type_name == "NoneType"
    return argument.text if plain else f"Python {argument.type_name} {argument.text}"


def _tensor(before: Argument, after: Argument) -> Iterator[Cause]:
    if (before.type_name, before.note) != (after.type_name, after.note):
        yield Cause("structure", after.name, before.text, after.text, type_name=after.type_name or before.type_name)
        return
    if before.dtype != after.dtype:
        yield Cause("dtype", after.name, str(before.dtype), str(after.dtype), type_name=after.type_name)
    if before.shape != after.shape:
        ranks = [None if side.shape is None else len(side.shape) for side in (before, after)]
        kind = "shape" if ranks[0] == ranks[1] else "rank"
        yield Cause(kind, after.name, dimensions(before.shape), dimensions(after.shape), type_name=after.type_name)
    if before.device != after.device:
        yield Cause("device", after.name, str(before.device), str(after.device))
    if before.layout != after.layout:
        yield Cause("layout", after.name, before.layout or "none", after.layout or "none")
    if before.requires_grad != after.requires_grad:
        yield Cause("grad-mode", f"{after.name}.requires_grad", str(before.requires_grad), str(after.requires_grad))


def changed_conditions(before: Sequence[Condition], after: Sequence[Condition]) -> Iterator[Cause]:
    old = {condition.name: condition.value for condition in before}
    for condition in after:
        was = old.get(condition.name, condition.value)
        if was != condition.value:
            yield Cause(condition.kind, condition.name, was, condition.value)
