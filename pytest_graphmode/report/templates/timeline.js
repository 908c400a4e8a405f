// When a variant built and called, and what each cost: one line of time a variant.

function timelines(test) {
  const timed = test.variants.filter((variant) => variant.events.length || variant.stretches.length);
  if (!timed.length) return null;
  const note = "Filled: builds. Hatched: builds again. Outlined: calls between builds, with their number and the cost of each. " +
    "Each line has its own scale.";
  return section("Timeline", note, timed.map((variant) => timeline(test, variant)));
}

function timeline(test, variant) {
  const whole = Math.max(...[...variant.events, ...variant.stretches].map((one) => one.ended_seconds ?? 0), 1e-9);
  const line = element("div", { class: "line", role: "img", "aria-label": `${variant.shown}: ${costs(variant)}` },
    variant.stretches.map((stretch) => stretchBar(stretch, whole)),
    variant.events.map((event) => bar(event, whole, event.rebuild ? "build again" : "build",
      `${buildName(event)}: ${duration(event.build_seconds)}, ${times(event.nodes, "node")}`)));
  line.style.setProperty("--own", `var(${look(test.variants, variant.shown).colour})`);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => element("span", {}, duration(part * whole)));
  return element("figure", { class: "lane" },
    element("figcaption", {}, swatch(test, variant), element("b", {}, variant.shown), " ", costs(variant)),
    line, element("div", { class: "ticks", "aria-hidden": "true" }, ticks));
}

function costs(variant) {
  const building = variant.events.reduce((sum, event) => sum + event.build_seconds, 0);
  const built = `${times(variant.events.length, "build")} in ${duration(building)}`;
  const called = variant.stretches.reduce((sum, one) => sum + calls(one), 0);
  const each = duration(variant.steady_call_seconds ?? variant.call_seconds);
  const parts = [built, called ? `${times(called, "call")} at ${each} each` : null, payback(variant.payback_seconds)];
  return parts.filter(Boolean).join(", ");
}

// After how many calls a static graph is cheaper than the eager mode of the same test.
function payback(said) {
  if (!said || said.calls === null) return null;
  return said.calls === "never" ? `no faster than ${said.against}` : `pays off after ${said.calls} calls against ${said.against}`;
}

function calls(stretch) {
  return Object.values(stretch.calls).reduce((sum, count) => sum + count, 0);
}

function bar(span, whole, kind, title, text) {
  const begun = span.begun_seconds ?? 0;
  const made = element("span", { class: kind, title }, text);
  made.style.left = `${(100 * begun) / whole}%`;
  made.style.width = `${(100 * ((span.ended_seconds ?? begun) - begun)) / whole}%`;
  return made;
}

function stretchBar(stretch, whole) {
  const names = Object.entries(stretch.calls).map(([name, count]) => `${name} ${count}`).join(", ");
  const each = duration(stretch.steady_call_seconds ?? stretch.call_seconds);
  const first = stretch.first_call_seconds === null ? "" : `, the first ${duration(stretch.first_call_seconds)}`;
  const cost = `${times(calls(stretch), "call")}, ${each} each${first}`;
  const wide = (stretch.ended_seconds - stretch.begun_seconds) / whole > 0.15;
  return bar(stretch, whole, "stretch", `${cost} (${names})`, wide ? cost : null);
}
