"""The plain records of what was built, called, broken and why: what event sources report and every report reads.

Made by the event sources under `backends/` and by `recorder.py`, kept in a `ledger.GraphLedger`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pytest_graphmode.ledger.arguments import Argument
from pytest_graphmode.ledger.drawing import Drawing
from pytest_graphmode.ledger.durations import Timed
from pytest_graphmode.ledger.identity import Identity

CAUSE_KINDS: Final = (
    *("shape", "dtype", "rank", "python-value", "structure", "new-function-object", "closure", "another-object"),
    *("variable-creation", "grad-mode", "device", "train-eval", "layout", "global-state", "cache-reset", "guard"),
    "fallback",
)
# How the rest of a function after a graph break is called: by the function's name and this.
AFTER_BREAK: Final = " after its graph break"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a graph was built again: what changed, from what to what, and what to do about it."""

    kind: str
    argument: str = ""
    before: str = ""
    after: str = ""
    hint: str = ""
    type_name: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.hint}" if self.hint else self.what

    @property
    def what(self) -> str:
        """The change without its hint: `x changed shape [32, 3] -> [7, 3]`."""
        if self.kind in _TOLD and not self.argument:
            return _TOLD[self.kind] + (f" (the earlier one {self.before})" if self.before else "")
        same = self.before == self.after
        change = f"changed {self.before} -> {self.after}"
        if self.kind == "python-value":
            if same:
                return f"{self.argument} is another {self.type_name} object, made anew ({self.after})"
            return f"{self.argument} is a Python {self.type_name} that {change}"
        if self.kind == "closure":
            subject = f"{self.argument}, which the function closes over,"
            return f"{subject} is another {self.type_name} object, made anew" if same else f"{subject} {change}"
        if self.kind == "another-object":
            cls, _, attribute = self.argument.partition(".")
            return f"the function belongs to another {cls} object" + (
                f", whose {attribute} {change}" if attribute else ""
            )
        if self.kind == "structure" and self.argument and bool(self.before) != bool(self.after):
            return self._of_elements
        if self.kind in _OF_TENSORS and self.argument:
            return f"{self.argument} changed {self.kind} {self.before} -> {self.after}"
        subject = self.argument or self.kind
        return f"{subject} {change}" if self.before or self.after else subject

    @property
    def _of_elements(self) -> str:
        """`xs has a new element xs[1]`: of what only one of the two has."""
        names = self.after or self.before
        if names.startswith(self.argument) and not names[len(self.argument) :].startswith(("[", ".")):
            return f"{self.argument} was {'not given before' if self.after else 'given before, and is not any more'}"
        one = not any(separator in names for separator in (", ", " and "))
        if self.after:
            return f"{self.argument} has {'a new element' if one else 'new elements'} {names}"
        return f"{self.argument} has {'an element' if one else 'elements'} less: {names}"


_OF_TENSORS: Final = ("shape", "dtype", "rank", "device", "layout", "structure")
_TOLD: Final[Mapping[str, str]] = {
    "new-function-object": "the same code was wrapped again, in a new function object without the graphs of the last",
    "variable-creation": "the first trace created variables, so the function was traced again without creating them",
    "cache-reset": "nothing it depends on changed, but the graph built before was not there",
    "guard": "the function had graphs from before, and none of them could be reused",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a framework looks graphs up by besides the arguments: a device, a scope, a switch.

    `kind` is the kind of the cause that a change of it is. Reports show it by name, unless `shown` is False: one of the
    many settings of a framework, say.
    """

    kind: str
    name: str
    value: str
    shown: bool = True


@dataclass(frozen=True, slots=True)
class BuildReport:
    """One build as an event source saw it, before it is compared with earlier ones.

    `causes` holds what only the framework can know (a failed guard, variable creation); `considered` the names
    of the arguments that can cause a rebuild, None for all; `hints` a text by cause kind, in which
    `{argument}` stands for the argument's name. `internal` marks a framework's own machinery, `resumed` the rest of
    a function after a graph break, `with_its_function` such a rest in whose call the function itself was built too.
    `conditions` are compared like arguments, and not shown.

    `existing` says that the framework held a graph of this function already when it built this one, whether or not
    anybody watched, and `of_others` that all of them are known to be of other objects; `earlier` then describes those
    graphs, and is asked only where no build of the function was seen. `complete` says that `causes` are all there is to
    say, `graphless` that a function was compiled again and no operation was left to make a graph of, which is a rebuild
    and no build. `operations` counts all operations by the framework's names.

    For reports: `began` is when it began by `time.perf_counter`, None for `seconds` ago; `called` says that the call it
    was built in was told of before it, and not when that ends; `depends_on` returns in words what else it was built
    for, which is not compared (guards, say); `drawing` is the graph, where the sink asks for it.
    """

    backend: str
    mode: str
    identity: Identity
    arguments: tuple[Argument, ...] = ()
    nodes: int = 0
    seconds: float = 0.0
    call_site: str | None = None
    control_flow: Mapping[str, int] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    considered: frozenset[str] | None = None
    hints: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False
    internal: bool = False
    structure: str | None = None
    conditions: tuple[Condition, ...] = ()
    resumed: bool = False
    with_its_function: bool = False
    existing: bool = False
    of_others: bool = False
    earlier: Callable[[], Sequence[BuildReport]] | None = None
    complete: bool = False
    operations: Mapping[str, int] = field(default_factory=dict)
    graphless: bool = False
    began: float | None = None
    called: bool = False
    depends_on: Callable[[], Mapping[str, str]] | None = None
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True)
class GraphBuild:
    """One construction of a graph. `causes` is empty for the first build of a function in the test.

    `seconds` is wall-clock time of the build without the builds nested in it, which have their own. `nodes` is the
    number of operations of the graph and of all that it calls or loops over, each once (for a TensorFlow 1 session:
    added since the last run; for eager modes: the autograd nodes recorded). `control_flow` counts the `while`,
    `cond`, `scan` and `switch` operations among them, `operations` all by the framework's own names. `number` counts
    the builds of one function, whose events have the same `group`; `again` says that it had a graph before, also one
    that nobody saw built (None: by the number), and `new_object` that it had none in this object: for another model of
    a class, say. `graphless` is a compilation again that found no operation: a rebuild, and in no count of builds.

    `began` and `ended` are by `time.perf_counter`. Where the run writes a report there are `calls`, those that ended
    since the build before by function, `timed`, those measured since the test began, `conditions`, what beside its
    arguments the graph was built for, in words, and `drawing`, for the first graphs.
    """

    function: str
    location: str
    backend: str
    mode: str
    group: int
    number: int
    arguments: tuple[Argument, ...] = ()
    nodes: int = 0
    seconds: float = 0.0
    call_site: str | None = None
    control_flow: Mapping[str, int] = field(default_factory=dict, hash=False)
    causes: tuple[Cause, ...] = ()
    failed: bool = False
    internal: bool = False
    recorded: bool = False
    structure: str | None = None
    resumed: bool = False
    with_its_function: bool = False
    again: bool | None = None
    new_object: bool = False
    operations: Mapping[str, int] = field(default_factory=dict, hash=False)
    file: str = ""
    graphless: bool = False
    began: float = field(default=0.0, compare=False)
    ended: float = field(default=0.0, compare=False)
    calls: Mapping[str, int] = field(default_factory=dict, compare=False)
    timed: Timed = field(default=Timed(), compare=False)
    conditions: Mapping[str, str] = field(default_factory=dict, compare=False)
    drawing: Drawing | None = field(default=None, compare=False)

    @property
    def cause(self) -> Cause | None:
        """The first of `causes`."""
        return self.causes[0] if self.causes else None

    @property
    def rebuild(self) -> bool:
        """Whether this counts as a rebuild: not a first build, not TensorFlow's second trace for variables, and not
        the rest of a function after a graph break, where it is built again because the function was.
        """
        again = self.number > 1 if self.again is None else self.again
        counts = again and not self.with_its_function
        return counts and not any(cause.kind == "variable-creation" for cause in self.causes)

    @property
    def signature(self) -> str:
        """`x: float32[32, 3], training: True`."""
        return ", ".join(f"{argument.name}: {argument.text}" for argument in self.arguments)


@dataclass(frozen=True)
class GraphBreak:
    """A place where Dynamo ended one graph and began another: `where` is the user's line."""

    backend: str
    mode: str
    function: str
    where: str
    reason: str
    file: str = ""


@dataclass(frozen=True)
class Fallback:
    """A function that a framework silently gave up building graphs for, and runs eagerly since."""

    backend: str
    mode: str
    function: str
    location: str
    reason: str
    file: str = ""


def is_within(entry: GraphBuild | GraphBreak | Fallback, package: str) -> bool:
    """Whether the code of a build, break or fallback is in a package or module of this dotted name."""
    path = package.replace(".", "/")
    found = entry.where if isinstance(entry, GraphBreak) else entry.location
    file = "/" + (entry.file or found.rpartition(":")[0]).replace(os.sep, "/")
    return f"/{path}/" in file or file.endswith(f"/{path}.py")


def is_function(function: str, name: str) -> bool:
    """Whether a function is meant by `step`, `Model.step` or its name with a role, `grad(step)`."""
    inner = function.rpartition("(")[2].rstrip(")") if function.endswith(")") else function
    inner = inner.removesuffix(AFTER_BREAK)
    return name in (function, inner) or inner.endswith(f".{name}")
