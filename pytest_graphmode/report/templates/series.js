// What variants recorded: values over the steps in one plot of all variants, single values in a table.

const plots = new Set();
const LABEL = 13; // the height of a line that says where variants part, above the plot so that no curve runs through it
const PAPER_WIDTH = 640; // of A4 and letter between margins
let paper = false;

function recorded(test, kind) {
  const found = new Map();
  for (const variant of test.variants)
    for (const series of variant[kind]) {
      const name = series.path && series.path !== series.name ? `${series.name}: ${series.path}` : series.name;
      if (!found.has(name)) found.set(name, []);
      found.get(name).push({ shown: variant.shown, ...series });
    }
  return [...found];
}

function seriesParts(test, kind, title) {
  const all = recorded(test, kind);
  if (!all.length) return null;
  const long = all.filter(([, series]) => series.some((one) => one.steps > 1));
  const single = all.filter(([, series]) => series.every((one) => one.steps <= 1));
  const figures = element("div", { class: "plots" });
  const note = "Arrays and complex numbers are shown by their root mean square.";
  return section(title, all.some(([, series]) => series.some((one) => one.of === "rms")) ? note : null,
    long.length ? beginning(long, 8, ([name, series]) => plotFigure(test, name, series), figures) : null,
    single.length ? singleValues(test, single, title) : null);
}

function singleValues(test, single, title) {
  const shown = test.variants.map((variant) => variant.shown).filter((id) => single.some(([, series]) => series.some((one) => one.shown === id)));
  const cell = (series, id) => element("td", {}, short(series.find((one) => one.shown === id)?.values[0] ?? null));
  const row = ([name, series]) => element("tr", {}, element("th", { scope: "row" }, name), shown.map((id) => cell(series, id)));
  const body = element("tbody");
  const table = element("table", { class: "values" },
    element("thead", {}, element("tr", {}, ["Recorded once", ...shown].map((text) => element("th", { scope: "col" }, text)))), body);
  body.append(...single.map(row));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, recorded once` }, table);
}

// The steps from which on a variant differs in this value: by variant, with what the agreement item says.
function divergences(test, series) {
  const { name, path } = series[0];
  return (test.agreement?.pairs ?? []).flatMap((pair) =>
    pair.differences.filter((one) => one.name === name && one.path === path).map((one) => ({ ...pair, ...one })));
}

function plotFigure(test, name, series) {
  const parted = divergences(test, series);
  const canvas = element("div", { class: "plot", role: "img", "aria-label": described(name, series, parted) });
  const logarithmic = element("input", { type: "checkbox" });
  const figure = element("figure", { class: "series" },
    element("figcaption", {}, element("b", {}, name), element("label", {}, logarithmic, " log scale")),
    canvas,
    parted.map((one) => element("p", { class: "cause" }, mark("differs"), ` ${one.variant}, step ${one.step}: `, one.text)),
    notFinite(series), thinned(series));
  const draw = () => drawPlot(canvas, test, series, parted, logarithmic.checked);
  logarithmic.addEventListener("change", draw);
  // Once it has a width.
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    draw();
  }, { rootMargin: "400px" }).observe(canvas);
  canvas.drawPlot = draw;
  return figure;
}

function described(name, series, parted) {
  const ends = series.map((one) => `${one.shown} from ${short(one.values[0])} to ${short(one.values.at(-1))}`);
  const first = parted.map((one) => `${one.variant} differs from step ${one.step} on`);
  return `${name} over ${series[0].steps} steps: ${[...ends, ...first].join("; ")}`;
}

function notFinite(series) {
  return series.map((one) => {
    const index = one.values.findIndex((value) => typeof value === "string");
    if (index < 0) return null;
    return element("p", { class: "cause" }, mark(one.values[index]), ` ${one.shown} from step ${index * one.every} on`);
  });
}

function thinned(series) {
  const every = Math.max(...series.map((one) => one.every));
  return every > 1 ? element("p", { class: "note" }, `One step in ${every} is drawn.`) : null;
}

function plotData(series, logarithmic) {
  const steps = [...new Set(series.flatMap((one) => one.values.map((_, index) => index * one.every)))].sort((a, b) => a - b);
  const places = new Map(steps.map((step, index) => [step, index]));
  const lines = series.map((one) => {
    const line = new Array(steps.length).fill(null);
    one.values.forEach((value, index) => {
      const number = typeof value === "boolean" ? Number(value) : value;
      const usable = typeof number === "number" && (!logarithmic || number > 0);
      line[places.get(index * one.every)] = usable ? number : null;
    });
    return line;
  });
  return [steps, ...lines];
}

function drawPlot(canvas, test, series, parted, logarithmic) {
  canvas.plot?.destroy();
  const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line") } };
  const data = plotData(series, logarithmic);
  const lines = series.map((one, index) => {
    const { colour: name, dash } = look(test.variants, one.shown);
    const points = { show: data[0].length <= 60, size: 5, fill: () => colour(name) };
    return { label: one.shown, stroke: () => colour(name), width: Math.max(1.5, 4 - 0.7 * index), dash, spanGaps: true, points, value: (_, value) => short(value) };
  });
  const above = LABEL * parted.length;
  canvas.plot = new uPlot({
    width: paper ? PAPER_WIDTH : Math.max(240, canvas.clientWidth), height: 240 + above, legend: { live: true },
    padding: [8 + above, null, null, null],
    scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
    axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6], label: "step", labelSize: 18, size: 34 }, { ...axis, size: 62, values: (_, values) => values.map((one) => (one === null ? "" : short(one))) }],
    series: [{ label: "step" }, ...lines],
    hooks: { draw: [(plot) => markDivergences(plot, test, parted)] },
  }, data, canvas);
  keyboardLegend(canvas);
  plots.add(canvas);
}

function markDivergences(plot, test, parted) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio * 1.5;
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  parted.forEach((one, index) => {
    const x = plot.valToPos(one.step, "x", true);
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.lineDashOffset = 4 * index * devicePixelRatio; // so that two at one step are both seen
    ctx.strokeStyle = ctx.fillStyle = colour(look(test.variants, one.variant).colour);
    ctx.beginPath();
    const label = bbox.top - (LABEL * (parted.length - index) - 8) * devicePixelRatio;
    ctx.moveTo(x, label - 8 * devicePixelRatio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const right = x > bbox.left + bbox.width * 0.6;
    ctx.textAlign = right ? "right" : "left";
    ctx.fillText(`step ${one.step}: differs`, x + (right ? -5 : 5) * devicePixelRatio, label);
  });
  ctx.restore();
}

// uPlot's legend switches lines off by clicks alone.
function keyboardLegend(canvas) {
  for (const label of canvas.querySelectorAll(".u-legend .u-series:not(:first-child) th")) {
    withParts(label, { tabindex: "0", role: "button", onkeydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      label.click();
    } }, []);
  }
}

function redrawPlots() {
  for (const canvas of plots)
    if (canvas.isConnected) canvas.drawPlot();
    else plots.delete(canvas);
}
