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
from pytest_graphmode.records import disagreement as words
from pytest_graphmode.records import triage
from pytest_graphmode.records.disagreement import Allowed
from pytest_graphmode.records.recording import Run
from pytest_graphmode.run.agreement import comparison
from pytest_graphmode.run.collect import mark_parameter
from pytest_graphmode.run.items import RERUN, variant_of
from pytest_graphmode.select.registry import registry_of
from pytest_graphmode.select.variants import Variant

if TYPE_CHECKING:
    from pytest_graphmode.records.archive import Record
    from pytest_graphmode.run.agreement.keeping import Kept
    from pytest_graphmode.select.markers import AgreeRequest
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
Pair = tuple["Run | Record", "Run | Record"]


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
    """Runs variants of one test again, each once.

    Attributes:
        registry: of the run.
        left_out: what was not run since time was up.
    """

    def __init__(self, variants: Sequence[pytest.Function], run: Runner) -> None:
        self._items = {variant: item for item in variants if (variant := variant_of(item)) is not None}
        self._run = run
        self.registry = registry_of(variants[0].config)
        self._until = time.monotonic() + SECONDS
        self._longest = 0.0
        self._done: dict[tuple[Variant, str], Run] = {}
        self.left_out: list[str] = []

    def __call__(self, variant: Variant, stage: Stage | None = None) -> Run:
        """How a variant ran this time, as a stage of another mode or as it is.

        Raises:
            _TimeIsUp: it did not.
        """
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


def of(runs: Sequence[Run], request: AgreeRequest, kept: Kept | None, rerun: Reruns) -> Verdict:
    """What reruns say of the runs of a test, and the records beside them, that disagree, in one paragraph.

    It is empty where values are not what they differ in.
    """
    registry = rerun.registry
    allowed = comparison.allowed(request, registry.settings.tolerances)
    compared = [(one, other) for one, other, _ in comparison.pairs(runs, request, kept)]
    agreeing = [_agree(*pair, allowed) for pair in compared]
    others = [pair for pair, agrees in zip(compared, agreeing, strict=True) if agrees]
    disagreeing = (pair for pair, agrees in zip(compared, agreeing, strict=True) if not agrees)
    found = [pair for pair in disagreeing if _by_values(pair, allowed)]
    if not found:
        return Verdict()
    verdict = _verdict(Disagreement(found, others, allowed, registry), rerun)
    return verdict if len(found) == agreeing.count(False) else verdict._replace(cure=None)


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """What triage is asked: which pairs of variants disagree, which others were compared, and what is allowed."""

    disagreeing: Sequence[Pair]
    others: Sequence[Pair]
    allowed: Allowed
    registry: Registry


def _verdict(question: Disagreement, rerun: Reruns) -> Verdict:
    found = [_Triage(pair, question, rerun) for pair in question.disagreeing]
    rounded = [one.pair for one in found if one.rounding]
    cure = _cure(rounded, question) if rounded else ""
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

    def __init__(self, pair: Pair, question: Disagreement, rerun: Reruns) -> None:
        self.pair = pair
        self.rounding: bool | None = None
        self._question = question
        self._rerun = rerun
        self._clauses: list[str] = []
        try:
            if self._repeats():
                self._widen()
                self._follow()
        except _TimeIsUp:
            pass

    def sentence(self, cure: str) -> str:
        side, reference = map(_name_of, self.pair)
        clauses = [clause.replace(_CURE, f"; {cure}" if cure else "") for clause in self._clauses]
        return f"{side} and {reference}: {'; '.join(clauses) or 'nothing was run again'}."

    def _repeats(self) -> bool:
        """Whether both give the same values with the same seed; one that does not run again counts as if it did."""
        same: list[str] = []
        different: list[str] = []
        for one in self.pair:
            if not isinstance(one, Run):
                self._clauses.append(f"{_name_of(one)} is a record of another run, which can't be run again")
                continue
            run = self._rerun(one.variant)
            if run.outcome != "passed":
                self._clauses.append(f"{one.variant} {_outcome(run)} when it was run again")
            else:
                (same if _agree(run, one, self._question.allowed) else different).append(str(one.variant))
        self._clauses += [f"{name} differs from itself: not deterministic" for name in different]
        if same and not different:
            who = "both give" if len(same) == 2 else f"{same[0]} gives"
            self._clauses.append(f"run again with the same seed, {who} the same")
        return bool(same) and not different

    def _widen(self) -> None:
        """Whether they agree in float64."""
        runs = [one for one in self.pair if isinstance(one, Run)]
        before = triage.gap(*(_recording(one) for one in self.pair))
        if len(runs) < 2 or before is None:
            return
        if all(real_of(run.variant.dtype) == "float64" for run in runs):
            self._clauses.append("they are of float64 already, so no wider dtype tells rounding from other faults")
            return
        again = [self._rerun(dataclasses.replace(run.variant, dtype=_widest(run.variant.dtype))) for run in runs]
        wrong = [f"{run.variant} {_outcome(run)}" for run in again if run.outcome != "passed"]
        after = None if wrong else triage.gap(again[0].recording, again[1].recording)
        if after is None:
            why = triage.listed(wrong) or "what they record is of other shapes there"
            self._clauses.append(f"in float64 nothing can be said: {why}")
        elif triage.is_rounding(before, [run.variant.dtype for run in runs], after):
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
        side, reference = self.pair
        between = _between(side, reference, self._question.registry)
        if not between:
            return
        clean: list[str] = []
        for variant, stage in between:
            run = self._rerun(variant, stage)
            if run.outcome != "passed":
                self._clauses.append(f"{_name(variant, stage)} {_outcome(run)}")
            elif not _agree(run, reference, self._question.allowed):
                self._clauses.append(f"{_agreeing(clean, reference)}the first that differs is {_name(variant, stage)}")
                return
            else:
                clean.append(_name(variant, stage))
        if clean:
            self._clauses.append(f"{_agreeing(clean, reference)}the first that differs is {_name_of(side)} itself")


def _agreeing(names: Sequence[str], reference: Run | Record) -> str:
    if not names:
        return "of the stages from one to the other "
    return f"{triage.listed(names)} agree{'s' * (len(names) == 1)} with {_name_of(reference)}, "


def _outcome(run: Run) -> str:
    return f"{'was skipped' if run.outcome == 'skipped' else run.outcome} ({reason(run.reason)})"


def reason(text: str) -> str:
    """The first line of why something failed, cut where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "without a word")
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."


# What is compared.


def _recording(one: Run | Record) -> Any:
    return comparison.side(one).recording


def _agree(one: Run | Record, other: Run | Record, allowed: Allowed) -> bool:
    return words.agree(comparison.side(one), comparison.side(other), allowed)


def _by_values(pair: Pair, allowed: Allowed) -> bool:
    one, other = map(comparison.side, pair)
    return words.differ_by_values(one, other, allowed)


def _cure(rounded: Sequence[Pair], question: Disagreement) -> str:
    """The tolerance under which the pairs that differ by rounding agree, and those that do already still do.

    That is rtol, but where elements next to zero would take much more of it than the others: atol.
    """
    sides = [tuple(map(comparison.side, pair)) for pair in (*rounded, *question.others)]
    allowed = question.allowed

    def agree(rtol: float | None = allowed.rtol, atol: float | None = allowed.atol) -> bool:
        wider = dataclasses.replace(allowed, rtol=rtol, atol=atol)
        return all(words.agree(one, other, wider) for one, other in sides)

    gaps = [found for pair in sides if (found := triage.gap(*(one.recording for one in pair))) is not None]
    relative = max(found.relative for found in gaps)
    if relative > triage.LARGEST:
        return "that is too much to allow: compare in float64, or mend the formula"
    rtol = triage.enough(lambda value: agree(rtol=value), 100 * relative)
    if rtol is not None:
        return f"{_ALLOW}rtol={triage.short(rtol)}"
    atol = triage.round_up(2 * max(found.absolute for found in gaps))
    return f"{_ALLOW}atol={triage.short(atol)}" if agree(atol=atol) else ""


# The stages between two variants.


def _between(side: Run | Record, reference: Run | Record, registry: Registry) -> list[tuple[Variant, Stage]]:
    """From the reference on, without the two: down to what both are built on, and up to the other."""
    down, up = _built(reference, registry), _built(side, registry)
    alike = itertools.takewhile(lambda both: _key(*both[0]) == _key(*both[1]), zip(down, up, strict=False))
    common = len(list(alike))
    if common == len(down):
        return up[common:-1]
    if common == len(up):
        return down[common:-1][::-1]
    return [*down[max(common - 1, 0) : -1][::-1], *up[common:-1]]


def _built(one: Run | Record, registry: Registry) -> list[tuple[Variant, Stage]]:
    """What a variant is built on, and itself; of a record, which may be of another framework, itself alone."""
    variant, found = comparison.variant(one), []
    if isinstance(one, Run):
        found = [*stages(registry.backend(variant.backend), registry.specs[variant.backend], variant.mode)]
    return [(dataclasses.replace(variant, mode=stage.mode), stage) for stage in (*found, Stage(variant.mode))]


def _key(variant: Variant, stage: Stage) -> tuple[Variant, str]:
    return variant, stage.detail


def _name(variant: Variant, stage: Stage | None) -> str:
    return f"{variant} with the compiler {stage.detail}" if stage is not None and stage.detail else str(variant)


def _name_of(one: Run | Record) -> str:
    return comparison.side(one).name


def _widest(dtype: str) -> str:
    return "float64" if dtype == real_of(dtype) else complex_of("float64")
