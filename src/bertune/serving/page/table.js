// A table: sent as it is, its progress shown, and what comes back kept by the browser until it is saved.

import { call, Problem } from "./calls.js";
import { byId, count, element, fill, show, tellProblem } from "./elements.js";

let model = null;
let limits = { table_bytes: 0 };
let running = null;
let dropped = null;
let saved = null;

export function setUpTable(given) {
  limits = given;
  byId("table-form").addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  byId("stop").addEventListener("click", () => running?.abort());
  byId("file").addEventListener("change", () => {
    dropped = null;
    forgetColumns();
  });
  byId("pasted").addEventListener("input", forgetColumns);
  byId("no-header").addEventListener("change", () => predict({ asksForColumns: true }));
  const drop = byId("table");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      byId("drop").classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => byId("drop").classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files?.[0];
    if (file) takeDropped(file);
  });
  // A file that misses the place must not replace the page.
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
}

export function useTableModel(chosen) {
  model = chosen;
  running?.abort();
  forgetColumns();
  forgetResult();
}

function takeDropped(file) {
  dropped = file;
  const list = new DataTransfer();
  list.items.add(file);
  byId("file").files = list.files;
  forgetColumns();
  predict();
}

function forgetColumns() {
  show("columns", false);
  byId("no-header").checked = false;
  fill("column-a");
  fill("column-b");
  tellProblem("table-problem", null);
}

function forgetResult() {
  show("result", false);
  show("progress-place", false);
  if (saved) URL.revokeObjectURL(saved);
  saved = null;
}

function source() {
  const file = dropped ?? byId("file").files[0];
  if (file) return { body: file, name: file.name, size: file.size };
  const text = byId("pasted").value;
  return text.trim() ? { body: text, name: "pasted.csv", size: new Blob([text]).size } : null;
}

async function predict({ asksForColumns = false } = {}) {
  running?.abort();
  forgetResult();
  tellProblem("table-problem", null);
  const table = source();
  if (!table) {
    tellProblem("table-problem", "Choose a file or paste the rows first.");
    byId("file").focus();
    return;
  }
  if (table.size > limits.table_bytes) {
    const most = Math.floor(limits.table_bytes / (1 << 20));
    tellProblem("table-problem", `The table is too large: this page takes up to ${most} MB.`);
    return;
  }
  const controller = new AbortController();
  running = controller;
  begin();
  try {
    await send(table, controller.signal, asksForColumns);
  } catch (error) {
    if (running !== controller) return;
    show("progress-place", false);
    if (error.name === "AbortError") say("Stopped.");
    else if (error instanceof Problem) tellTable(error, asksForColumns);
    else throw error;
  } finally {
    if (running === controller) end();
  }
}

async function send(table, signal, asksForColumns) {
  const query = new URLSearchParams({ model: model.name, name: table.name });
  const isChosen = !byId("columns").hidden && !asksForColumns;
  if (isChosen) query.set("text_a", byId("column-a").value);
  if (isChosen && !byId("column-second").hidden && byId("column-b").value) query.set("text_b", byId("column-b").value);
  if (asksForColumns) query.set("only_columns", "1");
  if (byId("no-header").checked) query.set("no_header", "1");
  if (byId("formula-safe").checked) query.set("formula_safe", "1");
  const response = await call(`page/table?${query}`, { body: table.body, type: "text/csv", signal });
  const parts = [];
  let end = null;
  for await (const entry of linesOf(response.body)) {
    if (entry.error) throw new Problem(entry.error);
    if (entry.csv !== undefined) parts.push(entry.csv);
    else if (entry.done !== undefined) progress(entry.done, entry.rows);
    else end = entry;
  }
  if (!end) throw new Problem("The connection broke before the table was finished. Try it again.");
  finished(end, new Blob(parts, { type: "text/csv" }));
}

async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("The connection broke before the table was finished. Try it again.");
    }
    if (part.done) return;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function begin() {
  show("stop");
  byId("predict").setAttribute("aria-disabled", "true");
  byId("progress").removeAttribute("value");
  byId("progress-words").textContent = "The table is being read.";
  show("progress-place");
  say("The table is being read.");
}

function end() {
  running = null;
  if (document.activeElement === byId("stop")) byId("predict").focus();
  show("stop", false);
  byId("predict").removeAttribute("aria-disabled");
}

function progress(done, rows) {
  const bar = byId("progress");
  bar.max = rows;
  bar.value = done;
  byId("progress-words").textContent = `${done.toLocaleString("en")} of ${count(rows, "row")}`;
}

function finished({ name, rows, not_read, notes }, blob) {
  saved = URL.createObjectURL(blob);
  const link = byId("download");
  link.href = saved;
  link.download = name;
  link.textContent = `Save ${name}`;
  const left = not_read ? `, of which ${not_read.toLocaleString("en")} could not be read and say why` : "";
  const told = `${count(rows, "row")}${left}.`;
  byId("result-words").textContent = told;
  fill("result-notes", ...notes.map((note) => element("li", {}, note)));
  show("result-notes", notes.length > 0);
  show("progress-place", false);
  show("result");
  say(`The table is finished: ${told}`);
  if ([byId("predict"), byId("stop"), document.body].includes(document.activeElement)) link.focus();
}

function tellTable(problem, isAskedFor) {
  tellProblem("table-problem", problem.message);
  say("");
  const columns = problem.further.columns;
  if (!Array.isArray(columns)) return;
  const isPair = model.is_pair !== false;
  choices("column-a", columns, model.text_a, 0, null);
  choices("column-b", columns, model.text_b, 1, model.is_pair ? null : "no second text");
  byId("label-column-a").textContent = isPair ? "First text" : "Text";
  show("column-second", isPair);
  show("columns");
  if (!isAskedFor) byId("column-a").focus();
}

function choices(id, columns, wanted, place, none) {
  const options = columns.map(({ name, shown }) => element("option", { value: name }, shown));
  const found = columns.findIndex(({ name }) => name === wanted);
  const chosen = found >= 0 ? found : Math.min(place, columns.length - 1);
  if (none === null) options[chosen].selected = true;
  else options.unshift(element("option", { value: "" }, none));
  fill(id, ...options);
}

function say(words) {
  byId("table-state").textContent = words;
}
