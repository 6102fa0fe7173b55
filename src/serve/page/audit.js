// The audit trail, newest first.

import { at, get } from "./api.js";
import { button, busy, h, when } from "./dom.js";

const PAGE = 50;
const COLUMNS = ["Time", "Who", "What", "About", "Result", "More"];

export function audit(main) {
  const rows = h("tbody", {});
  const error = h("div", {});
  const older = button("Older", () => busy(older, load, error));
  let before = null;

  async function load() {
    const { lines } = await get(at("/v1/audit", { before, limit: PAGE }, false));
    rows.append(...lines.map(row));
    before = lines.at(-1)?.seq ?? before;
    older.hidden = lines.length < PAGE;
  }

  const again = button("Refresh", () => { before = null; rows.replaceChildren(); busy(older, load, error); });
  main.append(h("div", { class: "bar" }, again),
    h("div", { class: "wide" }, h("table", { class: "cards" }, h("thead", {}, h("tr", {}, COLUMNS.map((t) => h("th", { scope: "col" }, t)))), rows)),
    error, h("div", { class: "actions" }, older));
  busy(older, load, error);
}

function row(line) {
  const told = (v) => Array.isArray(v) ? v.join(", ") || "none" : typeof v === "object" ? JSON.stringify(v) : String(v);
  const known = Object.entries(line.evidence ?? {}).filter(([, v]) => v !== null);
  const more = known.map(([k, v]) => `${k}: ${told(v)}`).join("; ");
  const about = [line.person, line.gallery && `in ${line.gallery}`].filter(Boolean).join(" ");
  const who = line.key_name || (line.key === "-" ? "somebody without a key" : `key ${line.key}`);
  const cells = [when(line.at), who, line.action, about, line.code ? `${line.result}: ${line.code}` : line.result, more];
  return h("tr", {}, cells.map((text, i) => h("td", { "data-label": COLUMNS[i], class: i === 0 ? "when" : null }, text)));
}
