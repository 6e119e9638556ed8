// Calls of the server. Whatever goes wrong becomes one sentence.

export class Problem extends Error {
  constructor(sentence, further = {}) {
    super(sentence);
    this.further = further;
  }
}

export async function call(path, { body, type = "application/json", signal } = {}) {
  const headers = body === undefined ? {} : { "Content-Type": type };
  let response;
  try {
    const method = body === undefined ? "GET" : "POST";
    // Where name and password stand in the address, no path may be taken relative to it.
    const address = new URL(path, location.origin + location.pathname);
    response = await fetch(address, { method, headers, body, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server cannot be reached. Is it still running?");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function ask(path, values, signal) {
  const response = await call(path, { body: JSON.stringify(values), signal });
  return await readJson(response);
}

export async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The connection broke before the answer was there. Try it again.");
  }
}

async function problemOf(response) {
  let told = {};
  try {
    told = (await response.json()) ?? {};
  } catch {
    // What is in front of the server may answer in its own words, which are not for this page.
  }
  const sentence = typeof told.error === "string" ? told.error : null;
  return new Problem(sentenceOf(response, sentence), told);
}

function sentenceOf(response, told) {
  const seconds = Number(response.headers.get("Retry-After"));
  const when = seconds > 0 ? `in ${seconds} second${seconds === 1 ? "" : "s"}` : "in a moment";
  switch (response.status) {
    case 401:
      return "The server asks for its key. Reload the page to give it.";
    case 403:
      return "The server does not answer this page.";
    case 404:
      return told ?? "The server does not know this call. Reload the page: it may be of another version.";
    case 408:
    case 504:
      return "The server took too long and gave up. Try again, or with a shorter text.";
    case 413:
      return told ?? "This is more than the server takes at a time.";
    case 422:
    case 424:
    case 400:
      return told ?? "The server cannot use this text.";
    case 429:
      return `The server is busy. Try again ${when}.`;
    case 502:
    case 503:
      return `The server is stopping or starting. Try again ${when}.`;
    default:
      return "The server failed. What happened is in its log.";
  }
}
