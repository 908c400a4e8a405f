"""Trees of tensors as the primitives of a mode take them: flat tuples, with what it takes to rebuild the tree.

Used by `operators.py`, and by backends whose primitives know no trees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_graphmode.backends import trees
from pytest_graphmode.ledger import describe

__tracebackhide__ = True  # in failures, the user's frames are of interest


@dataclass(frozen=True)
class Layout:
    """Where the tensors of a tree stand; every other leaf is None.

    `root` is the name that the paths begin with: `loop_vars`. `shortcut` is the type of a tree that is nothing but a
    tuple of tensors or a tensor, which loops need not walk in every iteration; None for any other.
    """

    root: str
    spec: Any
    paths: tuple[str, ...]
    present: tuple[bool, ...]
    shortcut: type | None = None

    def unpack(self, tensors: Sequence[Any]) -> Any:
        if self.shortcut is not None:
            return tuple(tensors) if self.shortcut is tuple else tensors[0]
        rest = iter(tensors)
        return trees.unflatten(self.spec, [next(rest) if there else None for there in self.present])

    @property
    def tensor_paths(self) -> list[str]:
        return [path for path, there in zip(self.paths, self.present, strict=True) if there]


def pack(tree: Any, root: str, tensor: Callable[[Any], Any] = lambda leaf: leaf) -> tuple[Layout, tuple[Any, ...]]:
    """The layout of a tree and its leaves that are not None, each made a tensor by `tensor`."""
    leaves, spec = trees.flatten(tree)
    present = tuple([leaf is not None for leaf in leaves])
    paths = tuple([path for path, _ in trees.paths(tree, root)])
    layout = Layout(root, spec, paths, present, _shortcut(tree, leaves) if all(present) else None)
    return layout, tuple([tensor(leaf) for leaf in leaves if leaf is not None])


def _shortcut(tree: Any, leaves: Sequence[Any]) -> type | None:
    if type(tree) is tuple and len(tree) == len(leaves):
        return tuple if all(part is leaf for part, leaf in zip(tree, leaves, strict=True)) else None
    return type(tree) if len(leaves) == 1 and leaves[0] is tree else None


@dataclass(frozen=True)
class Kind:
    """What a loop keeps of its variables: the dtype by name, and the shape, None where it is unknown."""

    dtype: str
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, tensor: Any) -> Kind:
        return cls(describe.dtype_name(tensor), describe.shape_of(tensor))

    @property
    def dimensions(self) -> str:
        return describe.dimensions(self.shape)

    def fits(self, other: Kind) -> bool:
        """Whether the shapes can be the same, as far as they are known."""
        if self.shape is None or other.shape is None:
            return True
        if len(self.shape) != len(other.shape):
            return False
        pairs = zip(self.shape, other.shape, strict=True)
        return all(a is None or b is None or a == b for a, b in pairs)
