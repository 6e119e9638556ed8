// Small parts of the document. Texts of users and data only ever become text nodes.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function show(id, isShown = true) {
  byId(id).hidden = !isShown;
}

export function fill(id, ...children) {
  byId(id).replaceChildren(...children.filter((child) => child !== null));
}

// An alert is read out when its text comes into a region that is shown already.
export function tellProblem(id, sentence) {
  const place = byId(id);
  place.hidden = !sentence;
  place.textContent = sentence ?? "";
}

export function percent(share) {
  const shown = 100 * share;
  if (share > 0 && shown < 0.1) return "< 0.1 %";
  if (share < 1 && shown > 99.9) return "> 99.9 %";
  return `${shown.toFixed(1)} %`;
}

export function number(value) {
  return Number(value.toFixed(4)).toLocaleString("en", { maximumFractionDigits: 4 });
}

export function count(many, one) {
  return `${many.toLocaleString("en")} ${one}${many === 1 ? "" : "s"}`;
}

export function milliseconds(seconds) {
  const all = 1000 * seconds;
  return all < 10 ? `${all.toFixed(1)} ms` : all < 10_000 ? `${Math.round(all).toLocaleString("en")} ms` : `${seconds.toFixed(1)} s`;
}
