// The table of all tests: filters, sorting and the number of rows that are shown.

const rows = [...document.querySelectorAll("#tests tbody tr")];
const filters = document.getElementById("filters");
const chips = [...document.querySelectorAll(".chip")];
const rest = document.getElementById("rest");
const searched = new Map();
let most = Number(rest.dataset.most); // laying out thousands of rows takes longer than all the rest

function searchable(row) {
  if (!searched.has(row)) searched.set(row, row.textContent.toLowerCase());
  return searched.get(row);
}

function wanted(row, asked) {
  const has = (name, text) => !asked[name] || text === asked[name];
  return (
    (!asked.backend || row.dataset.backend.split(" ").includes(asked.backend)) &&
    has("device", row.dataset.device) &&
    has("outcome", row.cells[2].textContent) &&
    has("agreement", row.cells[3].textContent) &&
    asked.text.toLowerCase().split(/\s+/).every((word) => searchable(row).includes(word))
  );
}

function filter() {
  const asked = { text: "", backend: "", device: "", outcome: "", agreement: "", ...Object.fromEntries(new FormData(filters)) };
  let found = 0;
  for (const row of rows) {
    const fits = wanted(row, asked);
    row.hidden = !fits || found >= most;
    found += fits;
  }
  rest.hidden = found <= most;
  rest.textContent = `Show all ${found}`;
  document.getElementById("shown").textContent =
    rest.hidden ? `${found} of ${rows.length} shown` : `${found} of ${rows.length} found, the first ${most} shown`;
  for (const chip of chips) chip.setAttribute("aria-pressed", String(asked[chip.dataset.kind] === chip.dataset.value));
  markRepeated();
}

// Rows of one test that follow each other say its name once, in plain ink.
function markRepeated() {
  let before = null;
  for (const row of document.querySelectorAll("#tests tbody tr:not([hidden])")) {
    row.classList.toggle("again", row.dataset.test === before);
    before = row.dataset.test;
  }
}

function sortValue(row, column, number) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? (column ? cell.textContent : cell.querySelector("a").textContent);
  if (!number) return text;
  return text === "" || text === "–" ? null : Number(text);
}

function sortBy(head) {
  const column = Number(head.querySelector("button").dataset.column);
  const number = head.classList.contains("number");
  const first = number ? "descending" : "ascending";
  const second = number ? "ascending" : "descending";
  const order = head.getAttribute("aria-sort") === first ? second : first;
  for (const other of head.parentNode.cells) other.setAttribute("aria-sort", other === head ? order : "none");
  const sign = order === "ascending" ? 1 : -1;
  const values = new Map(rows.map((row) => [row, sortValue(row, column, number)]));
  const words = new Intl.Collator("en", { numeric: true });
  const compared = (one, other) => {
    const [a, b] = [values.get(one), values.get(other)];
    if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last, both ways
    return sign * (number ? a - b : words.compare(a, b));
  };
  document.querySelector("#tests tbody").append(...rows.sort(compared));
  filter();
}

function startTable() {
  filters.hidden = false;
  rest.addEventListener("click", () => {
    most = Infinity;
    filter();
  });
  filters.addEventListener("input", filter);
  filters.addEventListener("reset", () => setTimeout(filter));
  filters.addEventListener("submit", (event) => event.preventDefault());
  for (const head of document.querySelectorAll("#tests th")) head.firstElementChild.addEventListener("click", () => sortBy(head));
  for (const chip of chips)
    chip.addEventListener("click", () => {
      const select = filters.elements[chip.dataset.kind];
      select.value = select.value === chip.dataset.value ? "" : chip.dataset.value;
      filter();
    });
  filter(); // what the browser kept of the filters goes for the rows too
}
