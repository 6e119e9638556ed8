// Words that mattered: a background as strong as the word, and the same as a list.

import { element } from "./elements.js";

const STRONGEST = 0.6;
// Of the strongest word; weaker ones are left as they are, so that what matters stands out.
const LEAST = 0.1;

export function wordsOf(explanation, isValue) {
  const parts = explanation.reasons.flatMap((reason) => reasonParts(reason, explanation.reasons.length > 1, isValue));
  const unread = explanation.unread.reduce((sum, each) => sum + each, 0);
  if (unread) parts.push(element("p", { class: "hint" }, `${unread} word pieces were not read: the text is too long.`));
  if (explanation.grouped) parts.push(element("p", { class: "hint" }, "The text is long: neighbouring words are weighed together."));
  return parts;
}

function reasonParts(reason, isOfSeveral, isValue) {
  const words = reason.texts.flat().filter((part) => part.weight !== null);
  const strongest = Math.max(0, ...words.map((part) => Math.abs(part.weight)));
  const target = isValue ? "a higher value" : reason.label;
  const other = isValue ? "a lower value" : `against ${reason.label}`;
  const parts = [];
  if (isOfSeveral) parts.push(element("h4", {}, reason.label));
  parts.push(
    element(
      "p",
      { class: "legend" },
      element("span", {}, element("span", { class: "word for", "aria-hidden": "true" }), `for ${target}`),
      element("span", {}, element("span", { class: "word against", "aria-hidden": "true" }), isValue ? `for ${other}` : other),
    ),
    ...reason.texts.map((text) => element("p", { class: "text" }, ...text.map((part) => wordPart(part, strongest)))),
    listOf(words, isValue),
  );
  return parts;
}

function wordPart({ text, weight }, strongest) {
  if (weight === null || !strongest || Math.abs(weight) < LEAST * strongest) return text;
  const strength = (STRONGEST * Math.abs(weight)) / strongest;
  return element("span", { class: `word ${weight > 0 ? "for" : "against"}`, "--strength": strength.toFixed(3) }, text);
}

function listOf(words, isValue) {
  const ordered = [...words].sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight));
  const signed = (weight) => `${weight < 0 ? "\u2212" : "+"}${Math.abs(weight).toFixed(2)}`;
  const told = (weight) => (weight < 0 ? "against" : "for");
  const items = ordered.map(({ text, weight }) =>
    element("li", {}, text, " ", element("span", { class: "share" }, isValue ? signed(weight) : `${signed(weight)}, ${told(weight)}`)),
  );
  const unit = isValue ? "the value" : "the log-odds of the label";
  return element(
    "details",
    {},
    element("summary", {}, "All words by weight"),
    element("p", { class: "hint" }, `By how much ${unit} would fall without the word.`),
    element("ol", { class: "weights" }, ...items),
  );
}
