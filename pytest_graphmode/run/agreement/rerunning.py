"""Triage: runs variants that disagree again, to say whether it is chance, rounding, or at which stage they part.

Called by the agreement item once it is known to fail, before it is set up. What runs here is in no report, record or
count, and changes no verdict; `records/triage.py` has the words.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from pytest_graphmode.backends.base import Stage, stages
from pytest_graphmode.backends.names import complex_of, real_of
from pytest_graphmode.records import triage
from pytest_graphmode.records.disagreement import Pair, Side
from pytest_graphmode.records.recording import Run
from pytest_graphmode.run.agreement import comparison
from pytest_graphmode.run.collect import mark_parameter
from pytest_graphmode.run.items import RERUN, variant_of
from pytest_graphmode.select.registry import registry_of
from pytest_graphmode.select.variants import Variant

if TYPE_CHECKING:
    from pytest_graphmode.select.registry import Registry

# For how long runs are begun. What is built for the first time takes long: a small function took TensorFlow 2.21 with
# XLA 1 to 3 s and torch 2.13's inductor 5 to 20 s on two cores; so five reruns of a small test fit, and a large one's
# failure is not held up by much more than a minute.
SECONDS: Final = 60.0
_LONGEST_REASON: Final = 160
# Where a clause has what to do, which is known once all pairs were looked at.
_CURE: Final = "\0"
_ALLOW: Final = "allow "

Runner = Callable[[pytest.Function], "Run | None"]


class Verdict(NamedTuple):
    """What reruns show: a paragraph, and what follows from it.

    Attributes:
        cure: the tolerance, `rtol=2e-5`, where all is rounding; "" where nothing is; None where it is not known.
    """

    text: str = ""
    cure: str | None = None


class _TimeIsUp(Exception):
    """No run is begun any more."""


class Reruns:
    """Runs variants of one test again, each once; `left_out` has what was not run since time was up."""

    def __init__(self, variants: Sequence[pytest.Function], run: Runner) -> None:
        self._items = {variant: item for item in variants if (variant := variant_of(item)) is not None}
        self._run = run
        self.registry = registry_of(variants[0].config)
        self._until = time.monotonic() + SECONDS
        self._longest = 0.0
        self._done: dict[tuple[Variant, str], Run] = {}
        self.left_out: list[str] = []

    def __call__(self, variant: Variant, stage: Stage | None = None) -> Run:
        """How a variant ran this time, as a stage of another mode or as it is."""
        key = (variant, stage.detail if stage is not None else "")
        if key not in self._done:
            if time.monotonic() + self._longest > self._until:
                name = _name(variant, stage)
                self.left_out += [] if name in self.left_out else [name]
                raise _TimeIsUp
            started = time.monotonic()
            self._done[key] = self._ran(variant, stage)
            self._longest = max(self._longest, time.monotonic() - started)
        return self._done[key]

    def _ran(self, variant: Variant, stage: Stage | None) -> Run:
        like = self._items.get(variant) or next(
            (item for known, item in self._items.items() if known.backend == variant.backend),
            next(iter(self._items.values())),
        )
        with nullcontext() if stage is None else stage.within():
            run = self._run(again(like, variant))
        return run or Run(variant, "failed", "it did not run")


def again(item: pytest.Function, variant: Variant) -> pytest.Function:
    """The item of a variant anew, or that of another one, as pytest makes it: with fixtures of its own."""
    from pytest_graphmode.select import markers

    before, specs = variant_of(item), registry_of(item.config).specs
    assert before is not None
    spec, ids = item.callspec, list(item.callspec._idlist)
    if before.id in ids:
        ids[ids.index(before.id)] = variant.id
    found = markers.variant_marks(item.iter_markers(), specs)
    old, new = ([one.mark.mark for one in found if one.applies(of, specs)] for of in (before, variant))
    callspec = dataclasses.replace(
        spec,
        params={**spec.params, "graphmode": variant},
        marks=[mark for mark in spec.marks if mark not in old],
        _idlist=ids,
    )
    made = type(item).from_parent(
        item.parent,
        name=f"{item.originalname}[{callspec.id}]",
        originalname=item.originalname,
        callspec=callspec,
        fixtureinfo=item._fixtureinfo,
        keywords={callspec.id: True},
    )
    # Those that other plugins added when they had collected the test, too.
    added = [mark for mark in item.own_markers if mark not in old and mark not in made.own_markers]
    for mark in [*added, *new]:
        made.add_marker(getattr(pytest.mark, mark.name)(*mark.args, **mark.kwargs))
    mark_parameter(made, specs)
    made.stash[RERUN] = True
    return made


def of(compared: Sequence[Pair], rerun: Reruns) -> Verdict:
    """What reruns say of the pairs that disagree in values, in one paragraph; nothing where none does."""
    agreeing = [pair for pair in compared if pair.agrees]
    by_values = [pair for pair in compared if pair.differs_by_values]
    if not by_values:
        return Verdict()
    verdict = _verdict(by_values, agreeing, rerun)
    return verdict if len(by_values) + len(agreeing) == len(compared) else verdict._replace(cure=None)


def _verdict(disagreeing: Sequence[Pair], agreeing: Sequence[Pair], rerun: Reruns) -> Verdict:
    found = [_Triage(pair, rerun) for pair in disagreeing]
    rounded = [one.pair for one in found if one.rounding]
    cure = _cure(rounded, agreeing) if rounded else ""
    sentences = [one.sentence(cure) for one in found]
    if rerun.left_out:
        sentences.append(f"Left out after {SECONDS:g} s: {', '.join(rerun.left_out)}.")
    text = f"Triage: {' '.join(sentences)}"
    if all(one.rounding is False for one in found):
        return Verdict(text, "")
    by_tolerance = len(rounded) == len(found) and cure.startswith(_ALLOW)
    return Verdict(text, cure.removeprefix(_ALLOW) if by_tolerance else None)


class _Triage:
    """What reruns say of one pair.

    Attributes:
        rounding: whether the difference is rounding; None where it is not known.
    """

    def __init__(self, pair: Pair, rerun: Reruns) -> None:
        self.pair = pair
        self.rounding: bool | None = None
        self._rerun = rerun
        self._clauses: list[str] = []
        try:
            if self._repeats():
                self._widen()
                self._follow()
        except _TimeIsUp:
            pass

    def sentence(self, cure: str) -> str:
        clauses = [clause.replace(_CURE, f"; {cure}" if cure else "") for clause in self._clauses]
        both = f"{self.pair.side.name} and {self.pair.reference.name}"
        return f"{both}: {'; '.join(clauses) or 'nothing was run again'}."

    def _agree(self, run: Run, side: Side) -> bool:
        return Pair(comparison.side(run), side, self.pair.allowed).agrees

    def _repeats(self) -> bool:
        """Whether both give the same values with the same seed; one that does not run again counts as if it did."""
        same: list[str] = []
        different: list[str] = []
        for side in (self.pair.side, self.pair.reference):
            if side.run is None:
                self._clauses.append(f"{side.name} is a record of another run, which can't be run again")
                continue
            run = self._rerun(side.variant)
            if run.outcome != "passed":
                self._clauses.append(f"{side.name} {_outcome(run)} when it was run again")
            else:
                (same if self._agree(run, side) else different).append(side.name)
        self._clauses += [f"{name} differs from itself: not deterministic" for name in different]
        if same and not different:
            who = "both give" if len(same) == 2 else f"{same[0]} gives"
            self._clauses.append(f"run again with the same seed, {who} the same")
        return bool(same) and not different

    def _widen(self) -> None:
        side, reference = self.pair.side, self.pair.reference
        before = triage.gap(side.recording, reference.recording)
        if side.run is None or reference.run is None or before is None:
            return
        dtypes = [side.dtype, reference.dtype]
        if all(real_of(dtype) == "float64" for dtype in dtypes):
            self._clauses.append("they are of float64 already, so no wider dtype tells rounding from other faults")
            return
        wide = ["float64" if dtype == real_of(dtype) else complex_of("float64") for dtype in dtypes]
        variants = zip((side.variant, reference.variant), wide, strict=True)
        again = [self._rerun(dataclasses.replace(variant, dtype=dtype)) for variant, dtype in variants]
        wrong = [f"{run.variant} {_outcome(run)}" for run in again if run.outcome != "passed"]
        after = None if wrong else triage.gap(again[0].recording, again[1].recording)
        if after is None:
            why = triage.listed(wrong) or "what they record is of other shapes there"
            self._clauses.append(f"in float64 nothing can be said: {why}")
        elif triage.is_rounding(before, dtypes, after):
            self.rounding = True
            size = f"agree to {triage.short(after.absolute)}" if after.absolute else "are equal"
            self._clauses.append(f"in float64 they {size}: rounding{_CURE}")
        elif after.dtype not in ("", "float64", "complex128"):
            self._clauses.append(f"in float64 nothing can be said: {after.path} is {after.dtype} there too")
        else:
            self.rounding = False
            self._clauses.append(f"in float64 still {after} apart: not rounding")

    def _follow(self) -> None:
        """The first stage between the two that differs from the reference."""
        side, reference = self.pair.side, self.pair.reference
        clean: list[str] = []
        for variant, stage in _between(side, reference, self._rerun.registry):
            run = self._rerun(variant, stage)
            if run.outcome != "passed":
                self._clauses.append(f"{_name(variant, stage)} {_outcome(run)}")
            elif not self._agree(run, reference):
                self._clauses.append(f"{_agreeing(clean, reference)}the first that differs is {_name(variant, stage)}")
                return
            else:
                clean.append(_name(variant, stage))
        if clean:
            self._clauses.append(f"{_agreeing(clean, reference)}the first that differs is {side.name} itself")


def _agreeing(names: Sequence[str], reference: Side) -> str:
    if not names:
        return "of the stages from one to the other "
    return f"{triage.listed(names)} agree{'s' * (len(names) == 1)} with {reference.name}, "


def _outcome(run: Run) -> str:
    return f"{'was skipped' if run.outcome == 'skipped' else run.outcome} ({reason(run.reason)})"


def reason(text: str) -> str:
    """The first line of why something failed, cut where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "without a word")
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."


def _cure(rounded: Sequence[Pair], agreeing: Sequence[Pair]) -> str:
    """The tolerance under which the pairs that differ by rounding agree, and those that do already still do.

    That is rtol, but where elements next to zero would take much more of it than the others: atol.
    """
    pairs = (*rounded, *agreeing)

    def agree(**tolerances: Any) -> bool:
        wider = dataclasses.replace(pairs[0].allowed, **tolerances)
        return all(dataclasses.replace(pair, allowed=wider).agrees for pair in pairs)

    found = (triage.gap(pair.side.recording, pair.reference.recording) for pair in pairs)
    gaps = [gap for gap in found if gap is not None]
    relative = max(gap.relative for gap in gaps)
    if relative > triage.LARGEST:
        return "that is too much to allow: compare in float64, or mend the formula"
    rtol = triage.enough(lambda value: agree(rtol=value), 100 * relative)
    if rtol is not None:
        return f"{_ALLOW}rtol={triage.short(rtol)}"
    atol = triage.round_up(2 * max(gap.absolute for gap in gaps))
    return f"{_ALLOW}atol={triage.short(atol)}" if agree(atol=atol) else ""


# The stages between two variants.


def _between(side: Side, reference: Side, registry: Registry) -> list[tuple[Variant, Stage]]:
    """From the reference on, without the two: down to what both are built on, and up to the other."""
    down, up = _built(reference, registry), _built(side, registry)

    def same(both: tuple[tuple[Variant, Stage], tuple[Variant, Stage]]) -> bool:
        (one, stage), (other, other_stage) = both
        return one == other and stage.detail == other_stage.detail

    alike = itertools.takewhile(same, zip(down, up, strict=False))
    common = len(list(alike))
    if common == len(down):
        return up[common:-1]
    if common == len(up):
        return down[common:-1][::-1]
    return [*down[max(common - 1, 0) : -1][::-1], *up[common:-1]]


def _built(side: Side, registry: Registry) -> list[tuple[Variant, Stage]]:
    """What a variant is built on, and itself; of a record, which may be of another framework, itself alone."""
    variant, found = side.variant, []
    if side.run is not None:
        found = [*stages(registry.backend(variant.backend), registry.specs[variant.backend], variant.mode)]
    return [(dataclasses.replace(variant, mode=stage.mode), stage) for stage in (*found, Stage(variant.mode))]


def _name(variant: Variant, stage: Stage | None) -> str:
    return f"{variant} with the compiler {stage.detail}" if stage is not None and stage.detail else str(variant)
