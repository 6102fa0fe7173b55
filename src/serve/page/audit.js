// The audit trail, newest first: filtered by action, person, key and time; kept as a file.

import { at, get } from "./api.js";
import { address, here, say } from "./address.js";
import { button, busy, h, keep, when } from "./dom.js";

const PAGE = 50;
const EXPORT_PAGE = 1000;
const MOST_EXPORTED = 100000;
const COLUMNS = ["Time", "Who", "What", "About", "Result", "More"];
const ACTIONS = ["identify", "search", "verify", "verify person", "compare", "detect", "embed", "decide", "enroll", "add person", "change person", "merge person",
  "forget person", "forget face", "backup", "download backup", "check audit", "make key", "end key", "new key", "change key", "revoke key", "log in", "log out"];

export function audit(main) {
  const { options } = here();
  const rows = h("tbody", {});
  const error = h("div", {});
  const told = h("p", { class: "small", role: "status" });
  const older = button("Older", () => busy(older, load, error));
  let before = null;
  let turn = 0;

  const input = (name, label, more = {}) => {
    const view = h("input", { "aria-label": label, placeholder: label, autocomplete: "off", value: options.get(name) ?? "", ...more });
    return [name, view, h("label", { class: "field" }, h("span", {}, label), view)];
  };
  const fields = [input("action", "What", { list: "actions" }), input("person", "About whom"), input("key", "Who (key)"),
    input("from", "From", { type: "datetime-local" }), input("to", "Until", { type: "datetime-local" })];
  const known = h("datalist", { id: "actions" }, ACTIONS.map((a) => h("option", { value: a })));
  const query = () => Object.fromEntries(fields.map(([name, view]) => [name, view.value.trim()]));
  // The service takes times with their offset, and the address as they were typed.
  const asked = () => {
    const said = query();
    for (const name of ["from", "to"]) if (said[name]) said[name] = new Date(said[name]).toISOString();
    return said;
  };

  async function load() {
    const mine = turn;
    const { lines, next } = await get(at("/v1/audit", { ...asked(), before, limit: PAGE }, false));
    if (mine !== turn) return;
    rows.append(...lines.map(row));
    before = next;
    older.hidden = next === null;
    // One answer looks at a part of the log: there may be none yet, and more before.
    told.textContent = rows.children.length ? "" : next === null ? "No line is like that." : "None so far; “Older” looks further back.";
  }

  function again() {
    turn += 1;
    before = null;
    rows.replaceChildren();
    say(address("audit", { options: query() }));
    busy(older, load, error);
  }

  async function all() {
    const lines = [];
    for (let from = null; lines.length < MOST_EXPORTED;) {
      const page = await get(at("/v1/audit", { ...asked(), before: from, limit: EXPORT_PAGE }, false));
      lines.push(...page.lines);
      told.textContent = `${lines.length.toLocaleString()} lines read...`;
      from = page.next;
      if (from === null) { told.textContent = ""; return lines; }
    }
    told.textContent = `Only the newest ${MOST_EXPORTED.toLocaleString()} lines; choose an earlier “Until” for the rest.`;
    return lines;
  }
  const named = (ending) => `audit-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;
  const csv = button("Export CSV", () => busy(csv, async () => keep(named("csv"), table(await all()), "text/csv"), error));
  const json = button("Export JSON", () => busy(json, async () =>
    keep(named("jsonl"), (await all()).map((l) => `${JSON.stringify(l)}\n`).join(""), "application/x-ndjson"), error));

  const form = h("form", { class: "filter card", onsubmit: (event) => { event.preventDefault(); again(); } },
    fields.map(([, , view]) => view), known,
    h("div", { class: "actions" }, h("button", { class: "main" }, "Show"), button("Everything", () => { for (const [, view] of fields) view.value = ""; again(); }), csv, json));
  main.append(form, told,
    h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Lines of the audit trail" },
      h("table", { class: "cards" }, h("thead", {}, h("tr", {}, COLUMNS.map((t) => h("th", { scope: "col" }, t)))), rows)),
    error, h("div", { class: "actions" }, older));
  busy(older, load, error);
  return () => { turn += 1; };
}

const who = (line) => line.key_name || (line.key === "-" ? "somebody without a key" : `key ${line.key}`);

/** A value for people: times are times, nothing is "none". */
function said(name, value) {
  if (Array.isArray(value)) return counted(value.map((v) => said(name, v))) || "none";
  if (value === null) return "none";
  if (name.endsWith("_ms") && typeof value === "number" && value > 1e11) return when(value);
  if (typeof value === "object") return Object.entries(value).filter(([, v]) => v !== null).map(([k, v]) => `${words(k)} ${said(k, v)}`).join(", ");
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(4)));
  return String(value);
}

/** Each thing once, with how often it stands there. */
function counted(texts) {
  const times = new Map();
  for (const text of texts) times.set(text, (times.get(text) ?? 0) + 1);
  return [...times].map(([text, count]) => count > 1 ? `${text} (${count} times)` : text).join(", ");
}

const words = (name) => name.replace(/_ms$/, "").replaceAll("_", " ");

function more(line) {
  const facts = Object.entries(line.evidence ?? {}).filter(([, v]) => v !== null);
  return facts.map(([k, v]) => `${words(k)}: ${said(k, v)}`).join("; ");
}

function row(line) {
  const about = [line.person, line.gallery && `in ${line.gallery}`].filter(Boolean).join(" ");
  const cells = [when(line.at), who(line), line.action, about, line.code ? `${line.result}: ${line.code}` : line.result, more(line)];
  return h("tr", {}, cells.map((text, i) => h("td", { "data-label": COLUMNS[i], class: i === 0 ? "when" : null }, text)));
}

/** The lines as a table for a spreadsheet. What could be a formula there is made text. */
function table(lines) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  const names = ["seq", "at", "key", "key_name", "action", "gallery", "person", "result", "code", "request", "evidence"];
  return [names, ...lines.map((l) => names.map((n) => l[n]))].map((r) => `${r.map(cell).join(",")}\r\n`).join("");
}
