"""The schedulers of pytest-xdist that keep tests together, with what xdist does not know of the tests they hand out.

Imported where xdist runs with one of them, since it imports xdist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xdist.scheduler import LoadFileScheduling, LoadGroupScheduling, LoadScopeScheduling


class _Informed(LoadScopeScheduling):  # type: ignore[misc]
    """Does not hand out again a test that a worker crashed in, as those of xdist 3.8 do until no worker is left.

    Attributes:
        groups: by node id the group of tests that this one is to stay with; None where it may go anywhere.
    """

    groups: Mapping[str, str | None] = {}

    def remove_node(self, node: Any) -> str | None:
        units = self.assigned_work[node].values()
        crashed = next((test for unit in units for test, done in unit.items() if not done), None)
        if crashed not in self.groups:
            of_others: str | None = super().remove_node(node)
            return of_others
        for unit in units:
            if crashed in unit:
                unit[crashed] = True
        # A unit of which nothing is left would be handed to a worker that then waits for more.
        left = {scope: unit for scope, unit in self.assigned_work[node].items() if not all(unit.values())}
        self.assigned_work[node] = left
        super().remove_node(node)
        return crashed


class InformedScope(_Informed):
    """`--dist loadscope`."""


class InformedFile(_Informed, LoadFileScheduling):  # type: ignore[misc]
    """`--dist loadfile`."""


class InformedGroup(_Informed, LoadGroupScheduling):  # type: ignore[misc]
    """`--dist loadgroup`, where the variants of a test stay together with the item that compares them.

    So do the tests that an `xdist_group` marker groups. xdist 3.8 writes the group into the node id, from where it
    reads it again, and pytest 9.2 does not let it: without this the marker has no effect.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return self.groups.get(nodeid) or scope if scope == nodeid else scope


SCHEDULERS: Final[Mapping[str, type[_Informed]]] = {
    "loadscope": InformedScope,
    "loadfile": InformedFile,
    "loadgroup": InformedGroup,
}
