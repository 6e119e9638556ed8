// The page: which model, one text and its answer, what explains it.

import { showAnswer, summaryOf } from "./answer.js";
import { ask, call, Problem, readJson } from "./calls.js";
import { byId, element, fill, milliseconds, percent, show, tellProblem } from "./elements.js";
import { setUpTable, useTableModel } from "./table.js";
import { wordsOf } from "./words.js";

const POLL_AFTER = 1500;
const EXCERPT = 70;

let models = [];
let model = null;
let asking = null;

async function start() {
  byId("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    answer();
  });
  for (const id of ["text-a", "text-b"]) {
    byId(id).addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        answer();
      }
    });
  }
  byId("model").addEventListener("change", () => useModel(models[byId("model").selectedIndex]));
  byId("example").addEventListener("change", useExample);
  let told;
  try {
    told = await readJson(await call("page/models"));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tellProblem("page-problem", error.message);
    show("main", false);
    return;
  }
  models = told.models;
  setUpTable(told.limits);
  fill("model", ...models.map((each) => element("option", { value: each.name }, each.name)));
  show("model-choice", models.length > 1);
  useModel(models[0]);
}

function useModel(chosen) {
  asking?.abort();
  model = chosen;
  const facts = [models.length > 1 ? null : model.name, kindWords(model), model.computed_by];
  byId("model-facts").textContent = facts.filter(Boolean).join(" · ");
  const isPair = model.is_pair !== false;
  byId("label-a").textContent = isPair ? named("First text", model.text_a) : named("Text", model.text_a);
  byId("label-b").textContent = named(model.is_pair ? "Second text" : "Second text, if any", model.text_b);
  byId("text-b").required = model.is_pair === true;
  show("second", isPair);
  const options = model.examples.map((each, place) => element("option", { value: place }, exampleWords(each)));
  fill("example", element("option", { value: "" }, "…"), ...options);
  show("example-choice", options.length > 0);
  useTableModel(model);
  forget();
}

function named(what, column) {
  return column && !/^\d+$/.test(column) ? `${what} (${column})` : what;
}

function kindWords({ kind, labels }) {
  if (kind === "regression") return "a value";
  return kind === "multi-label" ? `any of ${labels.length} labels` : `one of ${labels.length} labels`;
}

function exampleWords({ text_a, target }) {
  const text = text_a.length > EXCERPT ? `${text_a.slice(0, EXCERPT)}…` : text_a;
  return `${targetWords(target)}: ${text}`;
}

function targetWords(target) {
  return Array.isArray(target) ? target.join(", ") || "no label" : String(target);
}

function useExample() {
  const example = model.examples[byId("example").value];
  if (!example) return;
  byId("text-a").value = example.text_a;
  byId("text-b").value = example.text_b ?? "";
  answer();
}

function forget() {
  tellProblem("answer-problem", null);
  fill("summary", element("span", { class: "quiet" }, "Type a text, or pick an example."));
  fill("bars");
  for (const id of ["took", "words", "nearest"]) show(id, false);
}

async function answer() {
  const first = byId("text-a");
  const second = byId("text-b");
  for (const place of [first, second]) {
    if (place.required && !place.value.trim()) {
      tellProblem("answer-problem", model.is_pair ? "Type both texts first." : "Type a text first.");
      place.focus();
      return;
    }
  }
  asking?.abort();
  const controller = new AbortController();
  asking = controller;
  const question = { model: model.name, text_a: first.value };
  if (model.is_pair !== false && (model.is_pair || second.value.trim())) question.text_b = second.value;
  tellProblem("answer-problem", null);
  byId("answer").setAttribute("aria-busy", "true");
  try {
    const begun = performance.now();
    const told = await ask("page/answer", question, controller.signal);
    showTold(told, (performance.now() - begun) / 1000);
    await Promise.all([showWords(question, told, controller.signal), showNearest(question, controller.signal)]);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    forget();
    fill("summary");
    tellProblem("answer-problem", error.message);
  } finally {
    if (asking === controller) byId("answer").removeAttribute("aria-busy");
  }
}

function showTold(told, seconds) {
  fill("summary", summaryOf(told));
  showAnswer(told);
  const whole = `Answered in ${milliseconds(told.seconds)}, with the way to the server and back ${milliseconds(seconds)}; ${told.computed_by}.`;
  byId("took").textContent = told.cut ? `${whole} The text is long: ${told.cut}.` : whole;
  show("took");
}

async function showWords(question, told, signal) {
  fill("words-body", element("p", { class: "hint" }, "Being computed: each word is taken away once."));
  show("words");
  try {
    const explanation = await ask("page/explain", question, signal);
    fill("words-body", ...wordsOf(explanation, told.labels === undefined));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    fill("words-body", element("p", { class: "problem" }, error.message));
  }
}

async function showNearest(question, signal) {
  if (model.nearest === "none") return;
  let told;
  try {
    told = await ask("page/nearest", question, signal);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    fill("nearest-body", element("p", { class: "problem" }, error.message));
    show("nearest");
    return;
  }
  model.nearest = told.nearest;
  show("nearest", told.nearest !== "none");
  if (told.nearest === "preparing") {
    tellPreparing(told.share_done);
    await new Promise((resolve) => setTimeout(resolve, POLL_AFTER));
    if (!signal.aborted) await showNearest(question, signal);
    return;
  }
  fill("nearest-body", element("ol", { class: "rows" }, ...told.rows.map(nearRow)));
}

// Read out once; how far it is changes every second, and is only seen.
function tellPreparing(share) {
  if (!byId("prepared")) {
    const seen = element("span", { id: "prepared", "aria-hidden": "true" });
    fill("nearest-body", element("p", { class: "hint" }, "Being prepared. ", seen));
  }
  byId("prepared").textContent = `${percent(share)} of the rows are ready.`;
}

function nearRow({ text_a, text_b, label, similarity }) {
  return element(
    "li",
    {},
    element("strong", {}, targetWords(label)),
    element("span", { class: "hint" }, ` · similarity ${similarity.toFixed(3)}`),
    element("q", { class: "clip" }, text_a),
    text_b === null ? null : element("q", { class: "clip" }, text_b),
  );
}

start();
