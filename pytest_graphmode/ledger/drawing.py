"""A graph as plain data: its operations, what they take from each other, and the graphs of loops and branches in them.

Made by event sources while a sink asks for it (`Sink.drawing`), kept by `recorder.py`, written by the JSON report.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from pytest_graphmode.ledger.recorder import Recorder
    from pytest_graphmode.ledger.sources import Sink

# Larger graphs are not drawn: nobody can read them. Constants and inputs, which some frameworks count and some do not,
# come on top, and so does what a function has that is called more than once.
MOST_OPERATIONS: Final = 200
_MOST_NODES: Final = 3 * MOST_OPERATIONS
NodeKind = Literal["input", "constant", "operation", "output"]


class GraphNode(NamedTuple):
    """One operation, input, constant or output of a graph.

    Attributes:
        operation: the framework's own name for what it does, `MatMul`, `torch.add`.
        name: what the framework calls this one, "" where it has no name; the same in every process.
        inputs: the nodes it takes values from, by their position in the graph; `after` those it only waits for.
        dtype, shape: of its first result; None for what is unknown, and for a size that is.
        bodies: the graphs of a loop, a branch or a call, each by its part in it: `cond` and `body`, `true` and `false`.
    """

    operation: str
    name: str = ""
    kind: NodeKind = "operation"
    inputs: tuple[int, ...] = ()
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    bodies: tuple[tuple[str, Drawing], ...] = ()
    after: tuple[int, ...] = ()


class Drawing(NamedTuple):
    """A graph: its nodes, each after those whose values it takes. Equal graphs are equal."""

    nodes: tuple[GraphNode, ...]

    @property
    def size(self) -> int:
        """How many nodes it has, with those of its loops and branches."""
        return len(self.nodes) + sum(body.size for node in self.nodes for _, body in node.bodies)

    @property
    def fault(self) -> str:
        """What is wrong with it, "" for nothing: values can come from nodes before only."""
        for number, node in enumerate(self.nodes):
            late = [one for one in (*node.inputs, *node.after) if not 0 <= one < number]
            if late:
                return f"node {number}, {node.operation}, comes before node {late[0]}, whose values it takes"
            within = next(filter(None, (body.fault for _, body in node.bodies)), "")
            if within:
                return f"{within}, in {node.operation}"
        return ""


class TooLargeError(Exception):
    """A graph has more nodes than are drawn."""


def drawn_for(sink: Sink | Recorder, nodes: int, draw: Callable[[], Drawing | None]) -> Drawing | None:
    """What `draw` returns, where a sink wants drawings; None for what has too many `nodes`, or can't be drawn.

    What goes wrong reaches nobody but a reader of the report: it is noted.
    """
    if not sink.drawing or nodes > MOST_OPERATIONS:
        return None
    try:
        return draw()
    except TooLargeError:
        return None
    except Exception as error:
        sink.note(f"a graph could not be drawn: {type(error).__name__}: {error}")
        return None


class Draft:
    """A graph that is being drawn: values by whatever the framework tells them apart by, and the nodes they come from.

    `within` is the draft of the graph that this one is a body of; all of them together have a limit.
    """

    def __init__(self, within: Draft | None = None) -> None:
        self._nodes: list[GraphNode] = []
        self._of: dict[Hashable, int] = {}
        self._count: list[int] = [0] if within is None else within._count

    def add(self, node: GraphNode, *values: Hashable) -> int:
        """Add a node that makes these values; returns its number.

        Raises:
            TooLargeError: it would be too many.
        """
        self._count[0] += 1
        if self._count[0] > _MOST_NODES:
            raise TooLargeError
        self._nodes.append(node)
        for value in values:
            self._of[value] = len(self._nodes) - 1
        return len(self._nodes) - 1

    def has(self, value: Hashable) -> bool:
        return value in self._of

    def numbers(self, values: Iterable[Hashable]) -> tuple[int, ...]:
        """The nodes that values come from, each once; values that nobody added are left out."""
        return tuple(dict.fromkeys(self._of[value] for value in values if value in self._of))

    def drawing(self) -> Drawing:
        return Drawing(tuple(self._nodes))


def sizes(shape: Sequence[object] | None) -> tuple[int | None, ...] | None:
    """A shape as a node has it: None for a size that is a symbol."""
    return None if shape is None else tuple(size if isinstance(size, int) else None for size in shape)
