"""The shape of a recorded autograd graph as a short text, for `watch(structures=True)`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import torch


def fingerprint(outputs: Iterable[Any]) -> str | None:
    """Equal for graphs of the same nodes with the same edges, shared leaves included; None if nothing was recorded.

    The nodes are numbered in the order a depth-first walk from the outputs meets them. The graph is not kept alive.
    """
    roots = [leaf.grad_fn for leaf in outputs if isinstance(leaf, torch.Tensor) and leaf.grad_fn is not None]
    if not roots:
        return None
    numbers: dict[Any, int] = {}
    lines = []
    waiting = roots[::-1]
    while waiting:
        node = waiting.pop()
        if node not in numbers:
            numbers[node] = len(numbers)
            waiting += [child for child, _ in reversed(node.next_functions) if child is not None]
    for node in numbers:
        edges = ",".join(f"{numbers[child]}.{index}" if child else "-" for child, index in node.next_functions)
        lines.append(f"{node.name()}({edges})")
    ends = ",".join(str(numbers[root]) for root in roots)
    return hashlib.sha1(f"{ends}:{';'.join(lines)}".encode(), usedforsecurity=False).hexdigest()[:16]
