// The builds of each variant with causes and hints, and two of them side by side.

function buildName(event) {
  return `${event.function} #${event.number}${event.signature ? ` (${event.signature})` : ""}`;
}

function allBuilds(test) {
  return test.variants.flatMap((variant) => variant.events.map((event) => ({ variant, event })));
}

function buildLists(test, compare) {
  const built = test.variants.filter((variant) => variant.events.length);
  if (!built.length) return null;
  return section("Builds, causes and hints", null, built.map((variant) => buildList(test, variant, compare)));
}

function buildList(test, variant, compare) {
  const make = (event) => buildEntry(variant, event, compare);
  const list = element("ol", { class: "builds" });
  return element("details", { open: true },
    element("summary", {}, swatch(test, variant), element("b", {}, variant.shown), ` ${times(buildCount(variant), "build")}${notListed(variant)}`),
    beginning(variant.events, 10, make, list));
}

function buildCount(variant) {
  return variant.counts?.builds ?? variant.events.length;
}

// Eager code records a graph in each call, and tells of the first of each structure.
function notListed(variant) {
  if (variant.events_left_out) return `, ${variant.events_left_out} more are left out of the report`;
  return buildCount(variant) > variant.events.length ? ": of those that eager code recorded the first of each structure is listed" : "";
}

function swatch(test, variant) {
  const shape = element("span", { class: "swatch", "aria-hidden": "true" });
  shape.style.background = `var(${look(test.variants, variant.shown).colour})`;
  return shape;
}

function buildEntry(variant, event, compare) {
  const before = previous(variant, event);
  const said = [duration(event.build_seconds), times(event.nodes, "node"), event.call_site && `called from ${event.call_site}`,
    event.recorded && "recorded by autograd", event.resumed && "the rest after a graph break", event.failed && "failed",
    event.graphless && "without a graph", ...Object.entries(event.control_flow).map(([name, count]) => `${count} ${name}`)];
  return element("li", { class: event.rebuild ? "rebuild" : null },
    element("p", {}, element("b", {}, `${event.function} #${event.number}`), " ", element("code", {}, event.signature || event.location)),
    element("p", { class: "note" }, said.filter(Boolean).join(" · ")),
    event.causes.map((cause) => element("p", { class: "cause" }, mark(cause.kind), " ", cause.text,
      cause.hint ? [": ", element("em", {}, cause.hint)] : null)),
    before && element("button", { type: "button", onclick: () => compare(before, event) }, `Compare with #${before.number}`));
}

function previous(variant, event) {
  const same = variant.events.filter((other) => other.group === event.group && other.mode === event.mode);
  return same[same.indexOf(event) - 1];
}

// A part that shows two chosen builds; `show(before, after)` chooses them from elsewhere.
function comparison(test) {
  const builds = allBuilds(test);
  if (builds.length < 2) return { part: null, show: () => {} };
  const again = builds.findIndex(({ variant, event }) => event.rebuild && previous(variant, event));
  const before = again < 0 ? null : previous(builds[again].variant, builds[again].event);
  // Else two that say what is in them, which those of eager code don't.
  const telling = [...builds.keys()].sort((one, other) => !size(builds[one]) - !size(builds[other]) || one - other);
  const chosen = before ? [builds.findIndex(({ event }) => event === before), again] : telling.slice(0, 2);
  const selects = chosen.map((index, side) => buildSelect(builds, index, side));
  const only = element("input", { type: "checkbox", checked: true });
  const table = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences of two builds" });
  const update = () => table.replaceChildren(differences(...selects.map((select) => builds[select.value]), only.checked));
  for (const control of [...selects, only]) control.addEventListener("change", update);
  update();
  const controls = element("div", { class: "controls" },
    selects.map((select, side) => element("label", {}, side ? "with " : "Build ", select)),
    element("label", {}, only, " differences only"));
  // Builds of two variants differ in nearly everything: they are there for who asks.
  const inside = element("details", { open: before !== null }, element("summary", {}, "Signature, conditions and operations"), controls, table);
  const part = section("Two builds side by side", null, inside);
  const show = (...events) => {
    events.forEach((event, side) => { selects[side].value = builds.findIndex((build) => build.event === event); });
    update();
    inside.open = true;
    part.scrollIntoView({ block: "start" });
    selects[0].focus({ preventScroll: true });
  };
  return { part, show };
}

function size({ event }) {
  return Object.keys(event.operations).length;
}

function buildSelect(builds, chosen, side) {
  const name = ({ variant, event }) => `${variant.shown}: ${buildName(event)}`;
  const options = builds.map((build, index) => element("option", { value: index, selected: index === chosen }, name(build)));
  return element("select", { "aria-label": side ? "Second build" : "First build" }, options);
}

function differences(left, right, only) {
  const sides = [left, right].map(({ event }) => event);
  const named = (list) => Object.fromEntries(list.map((argument) => [argument.name, argument.text]));
  const groups = [
    ["Build", ...[left, right].map(({ variant, event }) => ({
      variant: variant.shown, function: event.function, defined: event.location, "called from": event.call_site ?? "–",
      nodes: event.nodes, took: duration(event.build_seconds) }))],
    ["Signature", ...sides.map((event) => named(event.arguments))],
    ["Conditions", ...sides.map((event) => event.conditions)],
    ["Control flow", ...sides.map((event) => event.control_flow)],
    ["Operations", ...sides.map((event) => event.operations)],
  ];
  const head = [element("th", { scope: "col" }, "What"), ...[left, right].map(({ event }) => element("th", { scope: "col" }, `${event.function} #${event.number}`))];
  return element("table", { class: "sides" }, element("thead", {}, element("tr", {}, head)),
    groups.map(([title, ...values]) => differenceRows(title, values, only)));
}

function differenceRows(title, [left, right], only) {
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  const shown = names.map((name) => [name, left[name], right[name]]).filter(([, one, other]) => !only || one !== other);
  if (!names.length) return null;
  const equal = names.filter((name) => left[name] === right[name]).length;
  const head = element("tr", {}, element("th", { scope: "rowgroup", colspan: 3 }, title,
    element("span", { class: "note" }, equal === names.length ? " equal" : ` ${names.length - equal} of ${names.length} differ`)));
  return element("tbody", {}, head, shown.map(([name, one, other]) =>
    element("tr", { class: one === other ? "equal" : "differs" },
      element("th", { scope: "row" }, one === other ? null : element("span", { class: "sign", title: "differs" }, "≠ "), name),
      [one, other].map((value) => element("td", {}, value === undefined ? "–" : String(value))))));
}
