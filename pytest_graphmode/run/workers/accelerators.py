"""Which accelerator each worker on this host sees, and how much of its memory it may take.

Said in environment variables that execnet sets before anything else runs in a worker, since the frameworks read them
when they first look for devices, and a conftest may have them do that early.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_graphmode.run.beside import on_this_host

if TYPE_CHECKING:
    from pytest_graphmode.select.settings import Settings

_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
# By default TensorFlow and JAX take nearly all memory of an accelerator at once, and leave nothing for each other, for
# PyTorch or for another worker. What PyTorch may take is said by `Torch.limit_memory`.
_SPARING: Final[Mapping[str, str]] = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def hand_out(specs: Sequence[Any], settings: Settings, *, each: bool) -> None:
    """Give the workers on this host the accelerators in turn, where `--graph-devices=all` was said and there are some.

    The one that a worker sees is `gpu:0` there, so that test ids are the same in all of them. Where devices were named,
    or each worker runs all tests, every worker sees all.
    """
    there = accelerators()
    if not there or not concerned(settings):
        return
    for number, spec in enumerate(filter(on_this_host, specs)):
        for name, value in _SPARING.items():
            spec.env.setdefault(name, os.environ.get(name, value))
        if len(there) > 1 and settings.devices is None and not each:
            spec.env.setdefault(_VISIBLE, there[number % len(there)])


def share(specs: Sequence[Any], own: Any, settings: Settings) -> float | None:
    """The part of an accelerator's memory that a worker may take: as large as that of others who see the same one.

    None where no other does, on other hosts, and where no accelerator was asked for.
    """
    if not on_this_host(own) or not concerned(settings) or not accelerators():
        return None
    same = [spec for spec in specs if on_this_host(spec) and spec.env.get(_VISIBLE) == own.env.get(_VISIBLE)]
    return 1 / len(same) if len(same) > 1 else None


def concerned(settings: Settings) -> bool:
    """Whether accelerators were asked for; not by the default, with which other tests of a project may use them all."""
    named = settings.devices
    return "graph_devices" in settings.written and (named is None or any(name[:3] != "cpu" for name in named))


def accelerators() -> list[str]:
    """NVIDIA's GPUs as CUDA_VISIBLE_DEVICES names them, by that variable or else by their device nodes."""
    listed = os.environ.get(_VISIBLE)
    if listed is not None:
        entries = [entry.strip() for entry in listed.split(",")]
        return [entry for entry in entries if entry not in ("", "-1", "NoDevFiles")]
    nodes = [node for node in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", node.name)]
    return [str(index) for index in range(len(nodes))]
