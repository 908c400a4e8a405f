"""What the process that starts the workers tells each of them, and what it is told by them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from pytest_graphmode.run.beside import GRAPHMODE

# What the workers told: by node id the group of tests that one stays with, None where it may go anywhere.
_GROUPS: Final = pytest.StashKey[dict[str, "str | None"]]()
# The kinds of `--dist` whose schedulers are told of groups.
_TOGETHER: Final = ("loadgroup", "loadscope", "loadfile")


def introduce(node: Any) -> None:
    """Tell a worker what it can't find out itself."""
    kind = node.config.getoption("dist")
    node.workerinput[GRAPHMODE] = {
        "each": kind == "each",
        "groups": _channel(node) if kind in _TOGETHER else None,
    }


def _channel(node: Any) -> Any:
    """A channel on which a worker, on this host or another, tells its groups before it tells xdist its tests."""
    channel = node.gateway.newchannel()
    channel.setcallback(_groups(node.config).update)
    return channel


def _groups(config: pytest.Config) -> dict[str, str | None]:
    return config.stash.setdefault(_GROUPS, {})


def scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist's scheduler of the wanted kind, informed of the groups; None for a kind that keeps nothing together."""
    kind = config.getoption("dist")
    if kind not in _TOGETHER:
        return None
    from pytest_graphmode.run.workers.scheduling import SCHEDULERS

    made = SCHEDULERS[kind](config, log)
    made.groups = _groups(config)
    return made
