// Elements are made here alone, and their texts are text nodes: nothing that a test wrote is ever parsed as HTML.

function withParts(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function element(name, attributes = {}, ...children) {
  return withParts(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return withParts(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function section(title, note, ...children) {
  return element("section", {}, element("h3", {}, title), note ? element("p", { class: "note" }, note) : null, children);
}

function mark(word) {
  return element("span", { class: `mark ${word.replaceAll(" ", "-")}` }, word);
}

// A list that shows its first entries, and all of them when somebody asks.
function beginning(entries, most, make, container) {
  container.append(...entries.slice(0, most).map(make));
  if (entries.length <= most) return container;
  const rest = element("button", { type: "button", onclick: () => {
    rest.remove();
    const added = entries.slice(most).map(make);
    container.append(...added);
    added[0].querySelector("button, a, select")?.focus();
  } }, `Show ${entries.length - most} more`);
  return element("div", {}, container, rest);
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]])
    if (seconds >= size) return `${Number((seconds / size).toPrecision(3))} ${unit}`;
  return seconds > 0 ? `${Math.round(seconds / 1e-9)} ns` : "0 s";
}

function times(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function short(number) {
  if (typeof number !== "number") return number === null ? "–" : String(number);
  return Number.isInteger(number) && Math.abs(number) < 1e6 ? String(number) : String(Number(number.toPrecision(6)));
}
