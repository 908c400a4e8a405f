"""The graphs that the HTML report draws, in a real browser."""

from fnmatch import fnmatch

import pytest

from tests.report import many
from tests.report.conftest import Opened, Page

pytestmark = pytest.mark.slow


def inside(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(
        other[at] <= one[at] and one[at] + one[size] <= other[at] + other[size]
        for at, size in (("x", "width"), ("y", "height"))
    )


def test_the_graph_is_drawn_with_the_bodies_in_their_nodes(detail: Page) -> None:
    svg = detail.locator(".graph svg")
    assert svg.locator("> .node").count() == 12
    assert svg.locator("> .edge").count() == 11
    loop = svg.locator("> .node").last
    assert loop.locator("> .body > .role").all_text_contents() == ["cond", "body"]
    branch = loop.locator("> .body >> nth=1").locator(".node:has(.body)")
    assert branch.locator("> .body > .role").all_text_contents() == ["true", "false"]
    box = loop.locator("> rect").bounding_box()
    parts = [part.bounding_box() for part in loop.locator(".body .node > rect").all()]
    assert len(parts) == 2 + 2 + 4
    assert all(inside(part, box) for part in parts)
    assert "    cond:\n      0 Arg" in detail.text_content(".graph pre")


def test_200_nodes_are_drawn_and_constants_can_be_left_out(opened: Opened) -> None:
    report = many.report(nodes=200)
    for node in report["graphs"][0]["nodes"][:100]:
        node["kind"] = "constant"
    page = opened(report, at=many.FIRST, shown=".graph svg")
    assert page.locator(".graph svg > .node").count() == 200
    page.uncheck("text=constants")
    assert page.locator(".graph svg > .node").count() == 100


# The inputs of each node of a step of training in TensorFlow.
STEP = [[], [], [], [2], [0, 3], [4, 1], [], [5, 6], [], [7, 8], [], [], [10, 11], [], [12, 13], [], [14, 15], [16, 6]]
STEP += [[], [6, 18], [5, 19], [17, 20], [21], [0, 21], [], [24, 23], [2, 25], [9], [3, 26]]
CROSSED = """svg => {
    const boxes = [...svg.querySelectorAll(':scope > .node')].map(node => {
        const place = node.transform.baseVal[0].matrix, {width, height} = node.querySelector('rect').getBBox();
        return [place.e + 1, place.f + 1, place.e + width - 1, place.f + height - 1];
    });
    const within = (low, one, high) => low < one && one < high;
    const inside = ({x, y}) => boxes.some(([left, top, right, low]) => within(left, x, right) && within(top, y, low));
    return [...svg.querySelectorAll(':scope > .edge')].filter(edge => {
        const length = edge.getTotalLength();
        return [...Array(Math.ceil(length)).keys()].some(at => inside(edge.getPointAtLength(at)));
    }).map(edge => edge.getAttribute('d'));
}"""


def test_no_edge_goes_through_a_node(opened: Opened) -> None:
    report = many.report()
    nodes = many.graph(30)["nodes"][1:]
    for node, inputs in zip(nodes, STEP, strict=True):
        node.update(id=node["id"] - 1, inputs=inputs, bodies={})
    report["graphs"][0]["nodes"] = nodes
    page = opened(report, at=many.FIRST, shown=".graph svg")
    assert page.locator(".graph svg > .edge").count() == sum(map(len, STEP))
    assert page.eval_on_selector(".graph svg", CROSSED) == []


@pytest.mark.parametrize(
    ("nodes", "why"),
    [(201, "each has more than 200 nodes."), (12, "each has more than 200 nodes, or its backend can't *")],
)
def test_why_no_graph_is_drawn(opened: Opened, nodes: int, why: str) -> None:
    report = many.report()
    for variant in report["tests"][0]["variants"]:
        variant["events"] = [{**event, "graph": None, "nodes": nodes} for event in variant["events"]]
    page = opened(report, at=many.FIRST, shown="#detail h2")
    said = page.text_content("section:has(> h3:text-is('Graph')) .note")
    assert fnmatch(said, f"None of these builds is drawn: {why}")


def test_a_wide_graph_begins_where_one_looks(opened: Opened) -> None:
    report = many.report(nodes=2)
    nodes = report["graphs"][0]["nodes"]
    nodes += [{**nodes[0], "id": index, "inputs": [0]} for index in range(2, 60)]
    page = opened(report, at=many.FIRST, shown=".graph svg")
    page.wait_for_function("document.querySelector('.graph').scrollLeft > 0")
    assert not page.is_checked("text=fit the width")
    assert inside(page.locator(".node >> nth=0").bounding_box(), page.locator(".graph").bounding_box())
