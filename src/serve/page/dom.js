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
    id && h("p", { class: "small" }, `${error.code}, request ${id}`));
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

export const percent = (share) => `${(share * 100).toFixed(1)}%`;
export const when = (time) => new Date(time).toLocaleString();
