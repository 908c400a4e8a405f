// How far variants are from the reference, tap by tap in the order of the code.

const LEAST_ERROR = 1e-17;

function tapParts(test) {
  const pairs = (test.agreement?.pairs ?? []).filter((pair) => pair.taps.length);
  if (!pairs.length) return null;
  const note = "The error of each tap relative to the largest value of the reference, on a logarithmic scale, in the order of the code; " +
    "of several steps it is that of the first that differs, which is named, or else the largest.";
  return section("Error of taps by layer", note, element("div", { class: "plots" }, pairs.map((pair) => tapFigure(test, pair))));
}

function tapFigure(test, pair) {
  const body = element("tbody");
  const table = element("table", { class: "taps" },
    element("thead", {}, element("tr", {}, ["Tap", "Error", "At"].map((text) => element("th", { scope: "col", colspan: text === "Error" ? 2 : null }, text)))), body);
  body.append(...pair.taps.map((tap) => tapRow(test, pair, tap)));
  return element("figure", {}, element("figcaption", {}, element("b", {}, pair.variant), ` against ${pair.reference}`), table);
}

function tapRow(test, pair, tap) {
  const first = tap.name === pair.first_tap;
  const bar = element("div", { class: "error-bar", "aria-hidden": "true" });
  bar.style.width = `${100 * errorPart(tap.error)}%`;
  bar.style.background = first ? "var(--bad)" : `var(${look(test.variants, pair.variant).colour})`;
  const stepped = pair.taps.some((one) => one.first_step > 0);
  const place = [tap.at.length ? `[${tap.at.join(", ")}]` : "", stepped && tap.first_step !== null ? `step ${tap.first_step}` : ""];
  return element("tr", { class: first ? "first" : null },
    element("th", { scope: "row" }, tap.name, first ? [" ", mark("first that differs")] : null),
    element("td", { class: "bars" }, bar),
    element("td", {}, short(typeof tap.error === "number" ? Number(tap.error.toPrecision(3)) : tap.error)),
    element("td", {}, place.filter(Boolean).join(" ")));
}

// Where an error stands between the smallest that a float can have and 1: what is no number stands at the end.
function errorPart(error) {
  if (error === null || error === 0) return 0;
  if (typeof error !== "number") return 1;
  return Math.min(1, Math.max(0.02, 1 - Math.log10(error) / Math.log10(LEAST_ERROR)));
}
