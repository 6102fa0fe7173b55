// Small helpers to build the page: elements, notices, dialogs.

/** An element: h("p", { class: "x", onclick: f }, "text", child). Null and false children are left out. */
export function h(name, options = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

export const button = (text, onclick, kind = "") => h("button", { type: "button", class: kind, onclick }, text);

/** Words for those who hear the page. */
export const unseen = (text) => h("span", { class: "unseen" }, ` ${text}`);

/** A sentence at the foot of the page, read out by screen readers. */
export function notice(text, bad = false) {
  const box = h("div", { class: bad ? "notice bad" : "notice" }, text);
  const close = button("×", () => box.remove(), "plain");
  close.setAttribute("aria-label", "Close");
  box.append(close);
  document.getElementById("notices").append(box);
  setTimeout(() => box.remove(), bad ? 20000 : 6000);
}

/** Runs what a button started: the button rests meanwhile, and a failure is told in words. */
export async function busy(control, work, into = null) {
  control.disabled = true;
  control.setAttribute("aria-busy", "true");
  if (into) into.replaceChildren();
  try {
    return await work();
  } catch (error) {
    if (into) into.replaceChildren(errorBox(error));
    else notice(error.message, true);
    return undefined;
  } finally {
    control.disabled = false;
    control.removeAttribute("aria-busy");
  }
}

export function errorBox(error) {
  const id = error.problem?.request_id;
  return h("div", { class: "error", role: "alert" }, h("p", {}, error.message),
    id && h("details", { class: "small" }, h("summary", {}, "For whoever looks after the service"), h("p", {}, `${error.code}, request ${id}`)));
}

let dialogs = 0;

/** A dialog with a heading and a close button; it is gone from the page when it closes. */
export function dialog(title, ...content) {
  const id = `dialog-${++dialogs}`;
  const close = button("×", () => box.close(), "plain close");
  close.setAttribute("aria-label", "Close");
  const box = h("dialog", { "aria-labelledby": id }, h("div", { class: "head" }, h("h2", { id }, title), close), ...content);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks before something that cannot be undone. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    let answer = false;
    const no = button("Cancel", () => box.close());
    const yes = button(action, () => { answer = true; box.close(); }, "danger");
    const box = dialog(title, h("p", {}, text), h("div", { class: "actions" }, no, yes));
    box.addEventListener("close", () => resolve(answer));
    no.focus();
  });
}

export function field(label, input, hint = null) {
  return h("label", { class: "field" }, h("span", {}, label), input, hint && h("span", { class: "small" }, hint));
}

/** A share as people say it: "1 in 1,000" below one in ten, percent above. */
export function rate(share) {
  if (share <= 0) return "0";
  if (share > 0.1) return `${(share * 100).toFixed(1)}%`;
  return `1 in ${Math.round(1 / share).toLocaleString("en")}`;
}

export const share = (part) => `${(part * 100).toFixed(1)}%`;

/** A similarity as it is written; nothing where there is none. Below the half it is never rounded up to it: it would
 *  stand beside "unknown". Nor is anything rounded up to 100: no record is so sure. */
export function percent(similarity, digits) {
  if (similarity === null || similarity === undefined) return "";
  const shown = Math.min(similarity, (similarity < 50 ? 50 : 100) - 10 ** -digits);
  return `${shown.toFixed(digits)}%`;
}

export const when = (time) => new Date(time).toLocaleString();

/** How long ago, in words: "3 days ago". */
export function ago(time) {
  const seconds = (time - Date.now()) / 1000;
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, length] = units.find(([, s]) => Math.abs(seconds) >= s) ?? units.at(-1);
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(seconds / length), unit);
}

/** Bytes as people say them. */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  return `${(bytes / 1024 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}

/** A table that becomes a list of cards where the screen is narrow. Cells are texts or elements. */
export function table(heads, rows, options = {}) {
  const row = (cells) => h("tr", {}, cells.map((cell, i) => h("td", { "data-label": heads[i] }, cell instanceof Node ? cell : String(cell ?? ""))));
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": options.label ?? heads.join(", ") }, h("table", { class: "cards" },
    h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)))), h("tbody", {}, rows.map(row))));
}

/** Hands a file over to be kept. */
export function keep(name, content, kind) {
  const url = URL.createObjectURL(new Blob([content], { type: kind }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
