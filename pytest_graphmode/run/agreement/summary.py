"""What the report of an agreement item says in short, as `user_properties`; `report/__init__.py` has their names.

Called by `item.py` once the variants are compared.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_graphmode.records.archive import RecordError
from pytest_graphmode.records.disagreement import brief
from pytest_graphmode.report import put
from pytest_graphmode.run import beside
from pytest_graphmode.run.agreement import comparison
from pytest_graphmode.run.execute import test_of
from pytest_graphmode.run.telling import guarded

if TYPE_CHECKING:
    from pytest_graphmode.run.agreement.comparison import Comparison
    from pytest_graphmode.run.agreement.item import Agreement


def _summed_up(wrong: str | None, incomparable: str | None, disagreement: str | None) -> tuple[str, str | None]:
    """The verdict as the JSON report has it, and its reason."""
    if wrong is not None:
        return "failed", wrong
    if incomparable is not None:
        return "not compared", incomparable
    if disagreement is None:
        return "agree", None
    # Values differ, or there was nothing that could be compared.
    if " does not agree with " in disagreement.partition("\n")[0]:
        return "disagree", brief(disagreement)
    return "failed", disagreement


def attach(
    item: Agreement, compared: Comparison, wrong: str | None, incomparable: str | None, disagreement: str | None
) -> None:
    """Put properties on the item; with `--junitxml` how far apart values are too, which takes time to find out.

    Each text is None where there is none: what went wrong, why the item skips, and how variants differ.
    """
    verdict, reason = _summed_up(wrong, incomparable, disagreement)
    pairs = compared.pairs if verdict in ("agree", "disagree") else []
    worst = None
    if item.config.getoption("xmlpath", None) is not None:
        telling = guarded(item, "the worst difference is", unless=RecordError)
        with suppress(RecordError), telling:  # where a record is gone since
            worst = comparison.worst(pairs)
    put(
        item.user_properties,
        test=beside.worker(item.config) + test_of(item),
        verdict=verdict,
        reason=reason,
        reference=pairs[0].reference.name if pairs else None,
        compared=len(pairs),
        worst_difference=None if worst is None else worst[0],
        worst=None if worst is None else worst[1],
    )
