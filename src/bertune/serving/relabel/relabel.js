"use strict";
// Lets a reader accept, change or skip the label of each doubtful row, and keeps that in the run folder.
(async () => {
  const here = location.pathname.replace(/\/$/, "");
  const list = document.querySelector("#doubtful ol.rows");
  if (!list) return;
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const status = make("span", {});
  status.setAttribute("role", "status");
  const save = make("button", { type: "button", textContent: "Save decisions", disabled: true });
  const bar = make("div", { className: "decide" }, save, status);
  list.after(bar);
  const answer = await fetch(`${here}/rows`);
  const found = await answer.json();
  if (!answer.ok) {
    status.textContent = found.error;
    return;
  }
  const several = found.kind === "multi-label", values = found.kind === "regression";
  const items = new Map([...list.children].map((item) => [item.querySelector(".place")?.title, item]));
  const controls = [];
  found.rows.forEach((row, number) => {
    const item = items.get(row.place);
    if (!item) return;
    const choices = [["", "undecided"], ["accept", "the label is right"]];
    if (!several && !values) {
      for (const label of found.labels) if (label !== row.label) choices.push([`change ${label}`, `it is: ${label}`]);
    } else choices.push(["change", "it is:"]);
    choices.push(["skip", "skip: leave the row out"]);
    const select = make("select", {}, ...choices.map(([value, textContent]) => make("option", { value, textContent })));
    select.setAttribute("aria-label", `Label of row ${number + 1}, ${row.label}`);
    const old = row.new_label ? (several ? JSON.parse(row.new_label) : row.new_label) : several ? JSON.parse(row.label) : "";
    const extra = make("span", { hidden: true });
    const boxes = [];
    if (several) {
      for (const label of found.labels) {
        const box = make("input", { type: "checkbox", value: label, checked: old.includes(label) });
        boxes.push(box);
        extra.append(make("label", {}, box, label));
      }
    } else if (values) {
      const input = make("input", { type: "number", step: "any", value: old });
      input.setAttribute("aria-label", `New value of row ${number + 1}`);
      boxes.push(input);
      extra.append(input);
    }
    const isListed = row.decision === "change" && !several && !values;
    select.value = isListed ? `change ${row.new_label}` : row.decision ?? "";
    item.append(make("div", { className: "decision" }, select, extra));
    const control = { row, select, extra, boxes };
    controls.push(control);
    const changed = () => {
      extra.hidden = select.value !== "change";
      save.disabled = false;
      tell();
    };
    extra.hidden = select.value !== "change";
    for (const element of [select, ...boxes]) element.addEventListener("input", changed);
  });
  const decided = () => controls.filter(({ select }) => select.value);
  const tell = (more = "") => {
    status.textContent = `${decided().length} of ${controls.length} rows decided${more}`;
  };
  tell();
  const decision = ({ row, select, boxes }) => {
    const made = { place: row.place, decision: select.value.split(" ")[0] };
    if (made.decision !== "change") return made;
    if (several) made.new_label = boxes.filter((box) => box.checked).map((box) => box.value);
    else made.new_label = values ? boxes[0].value : select.value.slice("change ".length);
    return made;
  };
  const command = make("code", { hidden: true });
  command.textContent = "bertune train --config RUN/run.toml "
    + (found.applied ? `--relabel ${found.applied} ` : "") + "--relabel RUN/relabel.csv --out NEW";
  const download = make("a", { href: `${here}/decisions`, download: "relabel.csv", hidden: true });
  download.textContent = "Download relabel.csv";
  bar.append(download, command);
  save.addEventListener("click", async () => {
    const body = JSON.stringify({ decisions: decided().map(decision) });
    const sent = await fetch(`${here}/decisions`, { method: "POST", headers: { "Content-Type": "application/json" }, body })
      .catch(() => null);
    if (sent?.ok) {
      save.disabled = true;
      download.hidden = command.hidden = false;
      tell("; saved in the run folder as relabel.csv");
    } else {
      tell(`; not saved: ${sent ? (await sent.json().catch(() => ({}))).error ?? sent.status : "the server is gone"}`);
    }
  });
})();
