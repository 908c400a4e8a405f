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
  const recorded = variant.events.length > 0 && variant.events.every((event) => event.recorded);
  const cost = recorded ? "recorded in its calls" : `in ${duration(variant.build_seconds)}`;
  const built = `${times(buildCount(variant), "build")} ${cost}`;
  const called = variant.stretches.reduce((sum, one) => sum + calls(one), 0);
  const each = duration(variant.steady_call_seconds ?? variant.call_seconds);
  const parts = [built, called ? `${times(called, "call")} at ${each} each` : null, payback(variant)];
  return parts.filter(Boolean).join(", ");
}

// After how many calls a static graph is cheaper than the eager mode of the same test, or that of another backend.
function payback({ shown, payback_seconds: said }) {
  if (!said || said.calls === null) return null;
  const [backend] = shown.split("-");
  const against = said.against.startsWith(`${backend}-`) ? said.against : `${said.against}, the eager mode of another backend`;
  return said.calls === "never" ? `no faster than ${against}` : `pays off after ${times(said.calls, "call")} against ${against}`;
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
