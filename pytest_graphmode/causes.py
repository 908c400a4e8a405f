"""Why a graph was built again: compares a build with the nearest earlier build of the same function.

Called by `watch.py` for every build; event sources only describe arguments and name cures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_graphmode.ledger import Argument, BuildReport, Cause


def causes_of(report: BuildReport, earlier: Sequence[BuildReport]) -> tuple[Cause, ...]:
    """Every reason for this build, the framework's own first; empty for a first build."""
    if not earlier:
        return ()
    same_object = [past for past in earlier if past.identity.owner == report.identity.owner]
    if report.identity.owner and not same_object:
        return (_cured(Cause("new-function-object"), report),)
    explicit = tuple(_cured(cause, report) for cause in report.causes)
    nearest = min(reversed(same_object or earlier), key=lambda past: len(_changes(past, report)))
    found = tuple(_cured(cause, report) for cause in _changes(nearest, report))
    known = {(cause.kind, cause.argument) for cause in explicit}
    merged = explicit + tuple(cause for cause in found if (cause.kind, cause.argument) not in known)
    return merged or (_cured(Cause("cache-reset"), report),)


def _cured(cause: Cause, report: BuildReport) -> Cause:
    if cause.cure:
        return cause
    cure = report.cures.get(cause.kind, "").replace("{argument}", cause.argument)
    return Cause(cause.kind, cause.argument, cause.before, cause.after, cure, cause.type_name)


def _changes(before: BuildReport, after: BuildReport) -> list[Cause]:
    """What differs between the arguments of two builds, leaf by leaf, in the order of the later one."""
    causes = list(_differences(before.arguments, after.arguments))
    if after.considered is None:
        return causes
    return [cause for cause in causes if cause.argument in after.considered]


def _differences(before: Sequence[Argument], after: Sequence[Argument]) -> Iterator[Cause]:
    roots = dict.fromkeys(argument.root for argument in (*after, *before))
    for root in roots:
        old = {argument.name: argument for argument in before if argument.root == root}
        new = {argument.name: argument for argument in after if argument.root == root}
        if old.keys() != new.keys():
            yield Cause("structure", root, _leaves(old), _leaves(new))
            continue
        for name, argument in new.items():
            yield from _leaf(old[name], argument)


def _leaves(arguments: dict[str, Argument]) -> str:
    return ", ".join(f"{name}: {argument.text}" for name, argument in arguments.items()) or "nothing"


def _leaf(before: Argument, after: Argument) -> Iterator[Cause]:
    if before.is_tensor != after.is_tensor:
        yield Cause("structure", after.name, _typed(before), _typed(after))
    elif not after.is_tensor:
        if before.text != after.text or before.type_name != after.type_name:
            yield Cause("python-value", after.name, before.text, after.text, type_name=after.type_name)
    else:
        yield from _tensor(before, after)


def _typed(argument: Argument) -> str:
    return argument.text if argument.is_tensor else f"Python {argument.type_name} {argument.text}"


def _tensor(before: Argument, after: Argument) -> Iterator[Cause]:
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
