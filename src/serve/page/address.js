// Addresses of views: `#view/gallery/person?option=value`, so that each can be kept, sent and gone back to.

/** The address of a view. */
export function address(view, { gallery = null, person = null, options = {} } = {}) {
  const parts = [view, gallery, person].slice(0, person !== null ? 3 : gallery !== null ? 2 : 1).map((p) => encodeURIComponent(p ?? ""));
  const said = Object.entries(options).filter(([, v]) => v !== null && v !== undefined && v !== "");
  const query = new URLSearchParams(said).toString();
  return `#${parts.join("/")}${query ? `?${query}` : ""}`;
}

/** What the address bar says. An address that cannot be read leads to the first view. */
export function here() {
  const [path, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  try {
    const [view = "", gallery = "", person = ""] = path.split("/").map(decodeURIComponent);
    return { view, gallery: gallery || null, person: person || null, options: new URLSearchParams(query) };
  } catch {
    return { view: "", gallery: null, person: null, options: new URLSearchParams() };
  }
}

/** Says it in the address bar without going there again. */
export function say(hash) {
  if (location.hash !== hash) history.replaceState(history.state, "", hash);
}
