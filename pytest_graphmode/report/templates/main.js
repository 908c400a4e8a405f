// The page: which test the address names, the theme, keys and printing.

const overview = document.getElementById("overview");
const detail = document.getElementById("detail");
const title = document.title;
const links = new Map(); // of the first row of each test, by its index
for (const row of rows) if (!links.has(Number(row.dataset.test))) links.set(Number(row.dataset.test), row.querySelector("a"));
const indices = new Map([...links].map(([index, link]) => [named(link.hash), index]));
let opened = null;

function named(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}

function hashOf(index) {
  return links.get(index)?.getAttribute("href") ?? null;
}

async function route() {
  const index = indices.get(named(location.hash));
  const name = location.hash.startsWith("#test=") && index === undefined ? named(location.hash).slice(6) : null;
  overview.hidden = index !== undefined || name !== null;
  detail.hidden = !overview.hidden;
  if (name !== null) return showProblem(`This report has no test ${name}.`);
  if (index === undefined) return showOverview();
  opened = index;
  try {
    document.title = (await showTest(index)).test;
  } catch (problem) {
    return showProblem(`This test can't be shown: ${problem}. A browser of 2023 or later is needed.`);
  }
  scrollTo(0, 0);
  detail.querySelector("h2").focus({ preventScroll: true });
}

function showOverview() {
  document.title = title;
  detail.replaceChildren();
  if (opened === null) return;
  const back = links.get(opened);
  opened = null;
  back?.focus();
  back?.scrollIntoView({ block: "center" });
}

function showProblem(text) {
  detail.replaceChildren(element("p", { class: "banner", role: "alert" }, text), element("a", { href: "#" }, "← All tests"));
}

const THEMES = ["system", "light", "dark"];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.querySelector("#theme span").textContent = theme;
  redrawPlots();
}

function startTheme() {
  const button = document.getElementById("theme");
  button.hidden = false;
  // Some browsers keep nothing for files on disk.
  const stored = (() => { try { return localStorage.getItem("graph-report-theme"); } catch { return null; } })();
  setTheme(THEMES.includes(stored) ? stored : "system");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    try { localStorage.setItem("graph-report-theme", next); } catch { /* it goes for this view alone */ }
    setTheme(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
}

// Plots are pictures, which no style sheet turns light or narrow for paper.
function startPrinting() {
  let theme = "system";
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    paper = true;
    setTheme("light");
  });
  addEventListener("afterprint", () => {
    paper = false;
    setTheme(theme);
  });
}

function startKeys() {
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (!overview.hidden) {
      if (filters.contains(event.target)) filters.reset();
    } else if (event.target.tagName !== "SELECT") {
      location.hash = "";
    }
  });
}

let resized = 0;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(redrawPlots, 150);
});
addEventListener("hashchange", route);
startTable();
startTheme();
startPrinting();
startKeys();
route();
