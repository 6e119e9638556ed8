// The answer to one text: a bar for each label, or a value on its range.

import { element, fill, number, percent } from "./elements.js";

const FEW_LABELS = 10;

export function summaryOf(answer) {
  if (answer.labels === undefined) return number(answer.value);
  const given = answer.labels.filter((each) => each.given);
  if (!given.length) return "no label";
  return given.map((each) => `${each.label}, ${percent(each.probability)}`).join("; ");
}

export function showAnswer(answer) {
  if (answer.labels === undefined) {
    fill("bars", valueBar(answer));
    return;
  }
  const ordered = [...answer.labels].sort((one, other) => other.probability - one.probability);
  const list = element("ul", { class: "bars" }, ...ordered.slice(0, FEW_LABELS).map(labelBar));
  const rest = ordered.slice(FEW_LABELS);
  if (!rest.length) {
    fill("bars", list);
    return;
  }
  const more = element("button", { type: "button", class: "link" }, `Show all ${ordered.length} labels`);
  more.addEventListener("click", () => {
    const bars = rest.map(labelBar);
    list.append(...bars);
    bars[0].tabIndex = -1;
    bars[0].focus();
    more.remove();
  });
  fill("bars", list, more);
}

function labelBar({ label, probability, given, threshold }) {
  const track = element(
    "div",
    { class: "track", "aria-hidden": "true" },
    element("div", { class: "fill", "--share": `${100 * probability}%` }),
    threshold === null ? null : element("div", { class: "threshold", "--at": `${100 * threshold}%` }),
  );
  return element(
    "li",
    { class: given ? "given-bar" : "" },
    element("span", { class: given ? "given" : "" }, label, given ? element("span", { class: "visually-hidden" }, " (given)") : null),
    element("span", { class: "share" }, percent(probability)),
    track,
    threshold === null ? null : element("span", { class: "of-threshold" }, `given from ${percent(threshold)} on`),
  );
}

function valueBar({ value, range }) {
  if (range === null) return null;
  const [low, high] = range;
  const at = high > low ? (100 * (value - low)) / (high - low) : 0;
  return element(
    "ul",
    { class: "bars" },
    element(
      "li",
      {},
      element("div", { class: "track", "aria-hidden": "true" }, element("div", { class: "mark", "--at": `${at}%` })),
      element("div", { class: "ends" }, element("span", {}, `lowest ${number(low)}`), element("span", {}, `highest ${number(high)}`)),
    ),
  );
}
