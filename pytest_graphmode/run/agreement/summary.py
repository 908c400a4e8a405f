"""What the report of an agreement item says in short, as `user_properties`; `report/__init__.py` has their names.

Called by `item.py` once the variants are compared.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pytest_graphmode.records.archive import RecordError
from pytest_graphmode.run import beside
from pytest_graphmode.run.agreement import comparison
from pytest_graphmode.run.execute import test_of
from pytest_graphmode.run.telling import guarded

if TYPE_CHECKING:
    from pytest_graphmode.run.agreement.comparison import Comparison
    from pytest_graphmode.run.agreement.item import Agreement


class Said(NamedTuple):
    """What an agreement item says, each None where it does not: what went wrong, why it skips, how variants differ."""

    wrong: str | None
    incomparable: str | None
    disagreement: str | None

    @property
    def verdict(self) -> str:
        """As the JSON report has it."""
        if self.wrong is not None:
            return "failed"
        if self.incomparable is not None:
            return "not compared"
        if self.disagreement is None:
            return "agree"
        return "disagree" if comparison.tells_apart(self.disagreement) else "failed"

    @property
    def reason(self) -> str | None:
        from pytest_graphmode.records.disagreement import brief

        if self.disagreement is not None and self.verdict == "disagree":
            return brief(self.disagreement)
        return self.wrong or self.incomparable or self.disagreement


def attach(item: Agreement, said: Said, compared: Comparison, *, measured: bool) -> None:
    """Put properties on the item; `measured` has how far apart values are looked for too, which takes time."""
    from pytest_graphmode.report import put

    pairs = compared.pairs if said.verdict in ("agree", "disagree") else []
    worst = None
    if measured:
        with (
            suppress(RecordError),
            guarded(item, "the worst difference is", unless=RecordError),
        ):  # where a record is gone since
            worst = comparison.worst(pairs)
    put(
        item.user_properties,
        test=beside.worker(item.config) + test_of(item),
        verdict=said.verdict,
        reason=said.reason,
        reference=pairs[0].reference.name if pairs else None,
        compared=len(pairs),
        worst_difference=None if worst is None else worst[0],
        worst=None if worst is None else worst[1],
    )
