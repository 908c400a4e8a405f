"""What a run keeps of its variants for other runs, and what it finds of theirs: the records of `--graph-records`.

Called by `item.py` and by the hooks of `plugin.py`, in runs that have such a folder alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_graphmode.run.execute import test_of
from pytest_graphmode.run.items import RECORDING
from pytest_graphmode.select.registry import registry_of

if TYPE_CHECKING:
    from pytest_graphmode.records.archive import Record
    from pytest_graphmode.records.folder import Folder
    from pytest_graphmode.records.origin import Origin
    from pytest_graphmode.records.recording import Run
    from pytest_graphmode.select.settings import Settings
    from pytest_graphmode.select.variants import Variant

# On the report of an agreement item: the title of what it says of records that were left out.
LEFT_OUT: Final = "graphmode records left out"
_SOURCE: Final = (
    "The test's source is its function with its decorators, without comments and marks of this plugin. Without that "
    "framework: put the function back as it was when the record was made, and keep what changes, such as the port, in "
    "a function outside of it, which makes no record stale."
)
# On the item of a variant: whether its call passed, and why its record could not be written.
CALL_PASSED: Final = pytest.StashKey[bool]()
UNWRITTEN: Final = pytest.StashKey["str | None"]()


@dataclass(frozen=True)
class Kept:
    """The records of other runs beside the variants of this one.

    Attributes:
        records: those that can be compared.
        stale: what is to be said of the others.
        own: the origins of this run's variants, as they ran.
        frozen: whether the records are golden values.
        none: what a frozen run says where there are none.
        unfit: what is to be said of golden values that did not agree when they were written.
    """

    records: tuple[Record, ...] = ()
    stale: tuple[str, ...] = ()
    own: dict[Variant, Origin] = field(default_factory=dict)
    frozen: bool = False
    none: str = ""
    unfit: tuple[str, ...] = ()

    def nearest(self, variant: Variant) -> Record:
        """The nearest golden values; where no record holds any, the nearest record."""
        from pytest_graphmode.records.folder import nearest

        return nearest(_golden(self.records) or self.records, self.own[variant])


def keep(item: pytest.Function, variant: Variant) -> str | None:
    """Keep what a variant recorded that has passed; why that could not be done, None where it was."""
    settings = registry_of(item.config).settings
    recording = item.stash.get(RECORDING, None)
    if settings.frozen or not recording or not item.stash.get(CALL_PASSED, False):
        return None
    from pytest_graphmode.records.archive import RecordError

    try:
        _folder(settings).write(origin(item, variant), recording)
    except RecordError as error:
        return str(error)
    return None


def beside(variants: dict[Variant, pytest.Function], runs: Iterable[Run]) -> Kept:
    """The records to compare the variants of a run with; nothing where none of them recorded anything.

    Raises:
        RecordError: there is a damaged one, or the folder can't be read.
    """
    from pytest_graphmode.records.folder import stale

    settings = registry_of(next(iter(variants.values())).config).settings
    ran = [run for run in runs if run.outcome == "passed" and run.recording]
    if not ran:
        return Kept(frozen=settings.frozen)
    folder = _folder(settings)
    own = {run.variant: origin(variants[run.variant], run.variant) for run in ran}
    now, names = own[ran[0].variant], ran[0].recording.names
    written = set() if settings.frozen else {folder.file(one) for one in own.values()}
    records, stale_ones, left_out = [], [], []
    for record in folder.records(now.test, written):
        reason = stale(record, now, names)
        if reason is None:
            records.append(record)
        else:
            stale_ones.append(record)
            command = _command(settings, now, record.origin)
            left_out.append(
                f"{record.file}: stale and left out: {reason}; renew it under {record.origin.framework}: {command}"
            )
    if any(record.origin.source != now.source for record in stale_ones):
        left_out.append(_SOURCE)
    unfit = _unfit(settings, records, own.values()) if settings.frozen and records else []
    none = _none(settings, now, stale_ones)
    return Kept(tuple(records), tuple(left_out), own, settings.frozen, none, tuple(unfit))


def _none(settings: Settings, now: Origin, stale_ones: Sequence[Record]) -> str:
    """What a frozen run says without a record: no command that would make the port's own values golden ones."""
    writes_none = "--graph-records-frozen writes none"
    if stale_ones:
        return f"the records of {now.test} in {settings.records} are all stale, and {writes_none}:"
    there_is_none = f"there is no record of {now.test} in {settings.records} to compare with"
    return f"{there_is_none}, and {writes_none}: make one, {_command(settings, now)}"


def _unfit(settings: Settings, records: Sequence[Record], own: Iterable[Origin]) -> list[str]:
    """What is said of the nearest records of this run's variants where they are no golden values."""
    from pytest_graphmode.records.folder import nearest

    golden, told = _golden(records), []
    for one in own:
        record = nearest(records, one)
        if not record.disagreed_with:
            continue
        again = _command(settings, one, record.origin)
        cure = f"write them again in one where they do, or remove the file first where they are right: {again}"
        if golden:
            instead = f"{one.variant} was compared with {nearest(golden, one).origin.name} instead"
            cure = f"{instead}. Remove the file, or mend what differs and write them again: {again}"
        did_not = f"they did not agree with {record.disagreed_with} in the run that wrote them"
        told.append(f"{record.file}: no golden values: {did_not}; {cure}")
    return list(dict.fromkeys(told))


def _golden(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if not record.disagreed_with]


def judge(item: pytest.Function, kept: Kept, apart: Mapping[Variant, str]) -> str | None:
    """Note in the records of this run's variants which do not agree, and with what; why that could not be done."""
    from pytest_graphmode.records.archive import RecordError

    if kept.frozen:
        return None
    folder = _folder(registry_of(item.config).settings)
    try:
        for variant, one in kept.own.items():
            folder.judge(one, apart.get(variant, ""))
    except RecordError as error:
        return str(error)
    return None


def _folder(settings: Settings) -> Folder:
    from pytest_graphmode.records.folder import Folder

    assert settings.records is not None
    return Folder(settings.records)


def origin(item: pytest.Function, variant: Variant) -> Origin:
    from pytest_graphmode.records.origin import Origin, environment, source_hash

    registry = registry_of(item.config)
    spec = registry.specs[variant.backend]
    version = spec.version
    return Origin(
        test=test_of(item),
        variant=variant.id,
        backend=variant.backend,
        mode=variant.mode,
        device=variant.device,
        dtype=variant.dtype,
        label=registry.settings.label or f"{spec.module}-{version}",
        framework=f"{spec.module} {version}",
        seed=registry.settings.seed,
        source=source_hash(item.function),
        **environment(),
    )


def _command(settings: Settings, now: Origin, record: Origin | None = None) -> str:
    """What makes the record of a test, or this very one again."""
    by_ini = not settings.origin("graph_records").startswith("--")
    given = {} if by_ini else {"records": settings.written["graph_records"]}
    if record is not None:
        own = record.framework.replace(" ", "-")
        given |= {"label": record.label} if record.label != own else {}
        given |= {"backends": f"{record.backend}:{record.mode}"}
        given |= {"devices": record.device} if record.device != "cpu" else {}
        given |= {"dtypes": record.dtype} if record.dtype != "float32" else {}
    elif settings.label is not None:
        given |= {"label": settings.label}
    given |= {"seed": str(now.seed)} if now.seed else {}
    file, _, inside = now.test.partition("::")
    node = f"{file}::{inside.partition('[')[0]}"
    return shlex.join(["pytest", *(f"--graph-{name}={value}" for name, value in given.items()), node])


def trouble(items: Iterable[Any]) -> str | None:
    """Why the record of a variant could not be written, for the first of which that is so."""
    return next(filter(None, (item.stash.get(UNWRITTEN, None) for item in items)), None)
