// The service's API, as the session of this page may use it.

export const session = { view: null, gallery: null };

/** An answer that is not the one hoped for, in the service's own words. */
export class Refusal extends Error {
  constructor(problem, status) {
    super(problem.detail ?? `the service answered ${status}`);
    this.problem = problem;
    this.status = status;
    this.code = problem.code ?? `http.${status}`;
  }
}

export function may(role) {
  const roles = session.view?.roles ?? [];
  return roles.includes("admin") || roles.includes(role);
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  if (problem.detail) problem.detail = sentence(problem.detail);
  const wait = response.headers.get("retry-after");
  if (wait) problem.detail = `${problem.detail ?? "The service is busy."} Try again in ${wait} s.`;
  return new Refusal(problem, response.status);
}

/** The path with a query; lists are said again, null is left out. */
export function at(path, query = {}, inGallery = true) {
  const pairs = new URLSearchParams();
  const all = inGallery && session.gallery ? { gallery: session.gallery, ...query } : query;
  for (const [name, value] of Object.entries(all)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") pairs.append(name, one);
    }
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

/** Sends a request; `json` or `form` is its body. Throws a Refusal for every answer that is none. */
export async function send(method, url, { json, form, accept = "application/json", signal } = {}) {
  const headers = { accept };
  if (method !== "GET" && session.view?.csrf) headers["x-csrf-token"] = session.view.csrf;
  if (json !== undefined) headers["content-type"] = "application/json";
  const body = json === undefined ? form : JSON.stringify(json);
  let response;
  try {
    response = await fetch(url, { method, headers, body, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal({ detail: "The service cannot be reached. Is it running?", code: "page.unreachable" }, 0);
  }
  if (!response.ok) {
    const refused = await refusal(response);
    if (response.status === 401 && url !== "/session") document.dispatchEvent(new CustomEvent("logged-out"));
    throw refused;
  }
  if (response.status === 204) return null;
  return accept.startsWith("image/") ? response.blob() : response.json();
}

export const get = (url, options) => send("GET", url, options);
export const person = (name, rest = "") => `/v1/people/${encodeURIComponent(name)}${rest}`;

export function photoForm(photos) {
  const form = new FormData();
  for (const [field, photo] of Object.entries(photos)) form.append(field, photo, photo.name ?? "camera.jpg");
  return form;
}
