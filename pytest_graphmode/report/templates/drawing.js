// A graph drawn: dagre lays out each list of nodes; the bodies of a loop or branch are laid out first, as parts of their node.

const CHARACTER = 6.6;
const NODE = { height: 36, gap: 14, title: 16, widest: 900 };
const BETWEEN = 36; // rows of nodes
const STUB = 8; // how far an edge goes straight into a node, for its arrow

async function graphPart(test) {
  const drawnBuilds = allBuilds(test).filter(({ event }) => event.graph !== null && event.graph !== undefined);
  if (!drawnBuilds.length) return noneDrawn(allBuilds(test).map(({ event }) => event.nodes).filter(Boolean));
  const select = buildSelect(drawnBuilds, 0, 0);
  select.setAttribute("aria-label", "Build whose graph is drawn");
  const constants = element("input", { type: "checkbox", checked: true });
  const whole = element("input", { type: "checkbox", checked: true });
  const view = element("div", { class: "graph scroll", tabindex: "0", role: "region", "aria-label": "Graph" });
  const update = async () => {
    const graph = await unpack(`graph-${drawnBuilds[select.value].event.graph}`);
    const drawing = picture(graph, constants.checked);
    // Unless somebody says so, no graph is made too small to be read.
    if (!chosen) whole.checked = Number(drawing.getAttribute("width")) <= 1.6 * (view.clientWidth || document.body.clientWidth);
    view.classList.toggle("whole", whole.checked);
    view.replaceChildren(drawing, asText(graph));
    requestAnimationFrame(() => showBeginning(view, drawing)); // once it is in the page
  };
  let chosen = false;
  whole.addEventListener("change", () => { chosen = true; });
  for (const control of [select, constants, whole]) control.addEventListener("change", update);
  await update();
  const controls = element("div", { class: "controls" }, element("label", {}, "Build ", select),
    element("label", {}, constants, " constants"), element("label", {}, whole, " fit the width"));
  return section("Graph", "Bodies of control flow are drawn in their node; dashed lines say that one runs after another.", controls, view);
}

function noneDrawn(sizes) {
  if (!sizes.length) return null;
  const why = sizes.every((nodes) => nodes > 200) ? "each has more than 200 nodes"
    : "each has more than 200 nodes, or its backend can't tell its graph, or the report has as many graphs as it holds";
  return section("Graph", `None of these builds is drawn: ${why}.`);
}

// Scroll a wide graph to the first of its nodes.
function showBeginning(view, drawing) {
  const places = [...drawing.querySelectorAll(":scope > .node > rect")].map((node) => node.getBoundingClientRect());
  if (!places.length) return;
  const first = places.reduce((one, other) => (other.top < one.top ? other : one));
  const around = view.getBoundingClientRect();
  view.scrollLeft += first.left + first.width / 2 - around.left - around.width / 2;
}

function picture(graph, constants) {
  const layout = laidOut(graph.nodes, constants);
  const { width, height } = layout;
  const count = `${times(graph.nodes.length, "node")}`;
  const arrow = drawn("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    drawn("path", { d: "M0 0L8 4L0 8z", class: "arrow" }));
  return drawn("svg", { viewBox: `-4 -4 ${width + 8} ${height + 8}`, width: width + 8, height: height + 8, role: "img",
    "aria-label": `Graph of ${count}; the list below has them as text` }, drawn("defs", {}, arrow), shapes(layout));
}

function laidOut(nodes, constants) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 14, ranksep: BETWEEN, marginx: 0, marginy: 0 });
  const kept = nodes.filter((node) => constants || node.kind !== "constant");
  const ids = new Set(kept.map((node) => node.id));
  for (const node of kept) graph.setNode(node.id, sized(node, constants));
  for (const node of kept) {
    for (const input of node.inputs) if (ids.has(input)) graph.setEdge(input, node.id, { after: false }, "data");
    for (const input of node.after ?? []) if (ids.has(input)) graph.setEdge(input, node.id, { after: true }, "after");
  }
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  const edges = graph.edges().map((edge) => {
    const { after, points } = graph.edge(edge);
    return { after, points: turned(points, graph.node(edge.v), graph.node(edge.w)) };
  });
  return { width: Math.max(0, width), height: Math.max(0, height), nodes: graph.nodes().map((id) => graph.node(id)), edges };
}

// An edge that turns between rows of nodes alone: dagre's own goes aslant from the side of a node, through its neighbours.
// Of dagre's points, which begin and end on nodes, every second stands midway between two rows, the others in a row.
function turned(points, from, to) {
  const between = points.filter((_, index) => index % 2);
  const rows = points.filter((_, index) => index % 2 === 0).slice(1, -1);
  const [above, below] = [from.y + from.height / 2, to.y - to.height / 2];
  const beside = (node, x) => Math.min(Math.max(x, node.x - node.width / 2 + 12), node.x + node.width / 2 - 12);
  const start = beside(from, rows.length ? rows[0].x : to.x);
  const end = beside(to, rows.length ? rows.at(-1).x : from.x);
  return [
    { x: start, y: above }, { x: start, y: between[0].y - BETWEEN / 2 },
    ...rows.flatMap(({ x }, index) => [{ x, y: between[index].y + BETWEEN / 2 }, { x, y: between[index + 1].y - BETWEEN / 2 }]),
    { x: end, y: between.at(-1).y + BETWEEN / 2 - STUB }, { x: end, y: below },
  ];
}

// A node with the lines it says, and the bodies in it beside each other, or below where that would be too wide to read.
function sized(node, constants) {
  const lines = [node.operation, detailOf(node)].filter(Boolean);
  const bodies = Object.entries(node.bodies ?? {}).map(([role, body]) => {
    const parts = laidOut(body.nodes, constants);
    const [wide, tall] = [Math.max(parts.width, role.length * CHARACTER) + NODE.gap, parts.height + NODE.title + NODE.gap];
    return { role, parts, wide, tall };
  });
  const room = (size) => bodies.reduce((sum, body) => sum + body[size] + NODE.gap, 0);
  const most = (size) => Math.max(0, ...bodies.map((body) => body[size] + NODE.gap));
  const below = room("wide") > NODE.widest;
  let at = below ? NODE.height : NODE.gap;
  for (const body of bodies) {
    [body.x, body.y] = below ? [NODE.gap, at] : [at, NODE.height];
    at += body[below ? "tall" : "wide"] + NODE.gap;
  }
  const width = Math.max(...lines.map((line) => line.length * CHARACTER + 18), NODE.gap + (below ? most("wide") : room("wide")));
  return { lines, bodies, name: node.name, kind: node.kind, width, height: NODE.height + (below ? room("tall") : most("tall")) };
}

function detailOf(node) {
  const shape = node.shape ? `[${node.shape.map((size) => size ?? "?").join(", ")}]` : "";
  const type = `${node.dtype ?? ""}${shape}`;
  const last = node.name.split("/").at(-1); // of TensorFlow's long names, which hovering shows whole
  const name = last === node.operation ? "" : clipped(last, 24);
  return [name, type].filter(Boolean).join("  ");
}

function clipped(text, most) {
  return text.length > most ? `…${text.slice(1 - most)}` : text;
}

function shapes(layout) {
  return [
    ...layout.edges.map((edge) => drawn("path", { class: edge.after ? "edge after" : "edge", "marker-end": "url(#arrow)",
      d: edge.points.map(({ x, y }, index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") })),
    ...layout.nodes.map(nodeShape),
  ];
}

function nodeShape(node) {
  const left = node.x - node.width / 2;
  const top = node.y - node.height / 2;
  return drawn("g", { class: `node ${node.kind}`, transform: `translate(${left.toFixed(1)} ${top.toFixed(1)})` },
    drawn("rect", { width: node.width, height: node.height, rx: node.kind === "operation" ? 4 : 12 }),
    node.name ? drawn("title", {}, node.name) : null,
    node.lines.map((line, index) => drawn("text", { x: node.width / 2, y: 15 + 7 * (2 - node.lines.length) + 14 * index, class: index ? "type" : null }, line)),
    node.bodies.map(bodyShape));
}

function bodyShape({ role, parts, wide, tall, x, y }) {
  return drawn("g", { class: "body", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    drawn("rect", { width: wide, height: tall, rx: 6 }),
    drawn("text", { x: 8, y: 13, class: "role" }, role),
    drawn("g", { transform: `translate(${((wide - parts.width) / 2).toFixed(1)} ${NODE.title + NODE.gap / 2})` }, shapes(parts)));
}

function asText(graph) {
  return element("details", {}, element("summary", {}, "The graph as text"), element("pre", { tabindex: "0" }, textLines(graph.nodes, "").join("\n")));
}

function textLines(nodes, indent) {
  return nodes.flatMap((node) => {
    const inputs = node.inputs.length ? ` <- ${node.inputs.join(", ")}` : "";
    const after = node.after?.length ? ` after ${node.after.join(", ")}` : "";
    const bodies = Object.entries(node.bodies ?? {}).flatMap(([role, body]) => [`${indent}    ${role}:`, ...textLines(body.nodes, `${indent}      `)]);
    return [`${indent}${node.id} ${node.operation} ${detailOf(node)}${inputs}${after}`, ...bodies];
  });
}
