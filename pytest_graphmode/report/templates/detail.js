// One test: what happened, when, why, and what it recorded.

async function showTest(index) {
  const test = await unpack(`test-${index}`);
  const article = document.getElementById("detail");
  const { part, show } = comparison(test);
  article.replaceChildren(
    heading(index, test),
    ...[variantTable(index), messages(test), timelines(test), buildLists(test, show), part, seriesParts(test, "series", "Recorded values"),
      tapParts(test), seriesParts(test, "taps", "Values of taps"), await graphPart(test), remarks(test)].filter(Boolean));
  article.querySelector(".heading").append(contents([...article.querySelectorAll("section")]));
  return test;
}

function contents(parts) {
  const to = (part) => element("button", { type: "button", onclick: () => {
    part.scrollIntoView({ block: "start" });
    part.querySelector("summary, button, select, input, [tabindex]")?.focus({ preventScroll: true });
  } }, part.querySelector("h3").textContent);
  return element("nav", { class: "contents", "aria-label": "Parts of this page" }, parts.map(to));
}

function heading(index, test) {
  const last = Number(rows.reduce((most, row) => Math.max(most, row.dataset.test), 0));
  const to = (other, text) => element("a", { href: hashOf(other) ?? "#", "aria-disabled": hashOf(other) === null ? "true" : null }, text);
  const verdict = test.agreement && [" · agreement: ", mark(test.agreement.verdict)];
  return element("div", { class: "heading" },
    element("nav", { "aria-label": "Tests" }, element("a", { href: "#" }, "← All tests"),
      index > 0 ? to(index - 1, "Previous") : null, index < last ? to(index + 1, "Next") : null),
    element("h2", { tabindex: "-1" }, test.test),
    element("p", { class: "note" }, test.line ? `${test.file}:${test.line}` : test.file, verdict));
}

function variantTable(index) {
  const head = document.querySelector("#tests thead").cloneNode(true);
  for (const cell of head.querySelectorAll("th")) {
    cell.removeAttribute("aria-sort");
    cell.replaceChildren(cell.textContent);
  }
  head.querySelector("th").textContent = "Why";
  const own = rows.filter((row) => Number(row.dataset.test) === index).map((row) => row.cloneNode(true));
  for (const row of own) {
    row.hidden = false;
    row.classList.add("again");
  }
  return element("table", { class: "of-one", role: "table", "aria-label": "Variants of this test" }, head, element("tbody", { role: "rowgroup" }, own));
}

function messages(test) {
  const said = [...test.variants, ...(test.agreement ? [{ shown: "agreement", ...test.agreement }] : [])].filter((one) => one.text);
  if (!said.length) return null;
  return section("Messages", null, said.map((one) => element("details", { open: !["skipped", "passed"].includes(one.outcome) },
    element("summary", {}, element("b", {}, one.shown), " ", mark(one.outcome),
      one.failed_at ? ` at ${one.failed_at.file}:${one.failed_at.line}` : null),
    element("pre", { tabindex: "0" }, one.text),
    element("p", { class: "note" }, "Run it again: ", element("code", {}, `pytest ${quoted(one.node)}`)))));
}

function quoted(node) {
  return `'${node.replaceAll("'", "'\\''")}'`;
}

function remarks(test) {
  const said = test.variants.flatMap((variant) => [
    ...variant.breaks.map((one) => ["graph break", `${one.function}, ${one.where}: ${one.reason}`]),
    ...variant.fallbacks.map((one) => ["fallback", `${one.function} (${one.location}): ${one.reason}`]),
    ...variant.notes.map((text) => ["note", text]),
    ...(variant.machinery ? [["note", `${times(variant.machinery, "build")} of the framework's own machinery, which no count includes`]] : []),
  ].map(([kind, text]) => element("li", {}, element("b", {}, variant.shown), " ", mark(kind), " ", text)));
  return said.length ? section("Breaks, fallbacks and notes", null, element("ul", { class: "remarks" }, said)) : null;
}
