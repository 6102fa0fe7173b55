// The API, call by call, made from /openapi.json; each call can be tried.

import { button, busy, errorBox, field, h } from "./dom.js";
import { inputFor, send, shown } from "./try.js";
import { example, fields, typeOf } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
// The API of its own first, and what others speak after it.
const LAST = "compreface";
const NAMES = { compreface: "CompreFace's calls" };
const main = document.getElementById("main");

/** A sentence, with what stands in `backticks` as code. */
const words = (text) => (text ?? "").split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part)).filter((p) => p !== "");

function callsOf(api) {
  return Object.entries(api.paths).flatMap(([path, item]) => METHODS.filter((m) => item[m]).map((method) => {
    const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])];
    return { ...item[method], method, path, parameters };
  }));
}

function shape(list) {
  if (!list.length) return null;
  return h("ul", { class: "shape" }, list.map((f) => h("li", {},
    h("code", {}, f.name), " ", h("span", { class: "small" }, `${f.type}${f.required ? "" : ", optional"}`),
    f.description && [" ", ...words(f.description)], shape(f.inside))));
}

function answersOf(api, call) {
  const row = ([status, answer]) => {
    const kinds = Object.entries(answer.content ?? {});
    return h("li", {}, h("strong", {}, status), ` ${answer.description ?? ""} `,
      kinds.map(([kind, { schema }]) => h("span", {}, h("span", { class: "small" }, ` ${kind}${schema ? `: ${typeOf(api, schema)}` : ""}`),
        schema ? shape(fields(api, schema)) : null)));
  };
  const all = Object.entries(call.responses ?? {}).sort();
  const good = ([status]) => status.startsWith("2");
  return [h("ul", { class: "answers" }, all.filter(good).map(row)),
    h("details", {}, h("summary", {}, "Problems"), h("ul", { class: "answers" }, all.filter((a) => !good(a)).map(row)))];
}

/** The choice of a body: its kind, and an input of that kind. */
function bodyOf(api, call) {
  // A form first, where one is taken: photos are chosen in it.
  const form = (kind) => Number(kind === "multipart/form-data");
  const kinds = Object.entries(call.requestBody?.content ?? {}).sort(([a], [b]) => form(b) - form(a));
  if (!kinds.length) return { view: null, value: () => null };
  const place = h("div", {});
  const choose = h("select", { onchange: () => show() }, kinds.map(([kind]) => h("option", { value: kind }, kind)));
  let value = () => null;
  const show = () => {
    const { schema } = Object.fromEntries(kinds)[choose.value];
    if (choose.value === "multipart/form-data") {
      const inputs = fields(api, schema).map((f) => [f, h("input", { type: "file", name: f.name, multiple: f.type.startsWith("array"), accept: "image/*" })]);
      place.replaceChildren(...inputs.map(([f, input]) => field(f.name, input, words(f.description))));
      value = () => ({ kind: null, parts: inputs.flatMap(([f, input]) => [...input.files].map((file) => [f.name, file])) });
    } else if (choose.value === "application/json") {
      const text = h("textarea", { "aria-label": "Body", spellcheck: "false" });
      text.value = JSON.stringify(example(api, schema), null, 2);
      place.replaceChildren(text, shape(fields(api, schema)) ?? "");
      value = () => ({ kind: "application/json", text: text.value });
    } else {
      const input = h("input", { type: "file", accept: "image/*" });
      place.replaceChildren(field("The photo itself", input));
      value = () => ({ kind: input.files[0]?.type || choose.value, file: input.files[0] ?? null });
    }
  };
  show();
  return { view: h("section", {}, h("h3", {}, "Body"), field("Sent as", choose), place), value: () => value() };
}

function inside(api, call, key) {
  const inputs = (call.parameters ?? []).map((p) => [p, inputFor(api, p)]);
  const body = bodyOf(api, call);
  const answer = h("div", { class: "answer" });
  const go = button("Send", () => busy(go, async () => {
    const done = await send(call, inputs.map(([p, input]) => [p, input.value()]), body.value(), key.value.trim());
    answer.replaceChildren(...shown(done));
  }, answer), "main");
  return h("div", { class: "inside" },
    call.description && h("p", {}, ...words(call.description)),
    inputs.length ? h("section", {}, h("h3", {}, "Parameters"), h("div", { class: "inputs" }, inputs.map(([p, input]) =>
      field(`${p.name}${p.required ? " (needed)" : ""}`, input.view, words(p.description)))) ) : null,
    body.view, h("div", { class: "bar" }, go), answer,
    h("h3", {}, "Answers"), answersOf(api, call));
}

function card(api, call, key) {
  const summary = h("summary", {}, h("span", { class: `method ${call.method}` }, call.method.toUpperCase()),
    h("span", { class: "path" }, call.path), h("span", { class: "small" }, ...words(call.summary)));
  const card = h("details", { class: "call", "data-call": `${call.method} ${call.path}` }, summary);
  // Made when it is first opened: there are many calls.
  card.addEventListener("toggle", () => { if (card.open && card.children.length === 1) card.append(inside(api, call, key)); });
  return card;
}

function page(api) {
  const key = h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false" });
  const calls = callsOf(api).map((call) => ({ call, card: card(api, call, key) }));
  const find = h("input", { type: "search", oninput: () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { call, card } of calls) {
      const text = `${call.method} ${call.path} ${call.summary ?? ""} ${(call.tags ?? []).join(" ")}`.toLowerCase();
      card.hidden = !words.every((w) => text.includes(w));
    }
    for (const group of main.querySelectorAll("section.tag")) group.hidden = ![...group.querySelectorAll(".call")].some((c) => !c.hidden);
  } });
  const tags = [...new Set(calls.map(({ call }) => call.tags?.[0] ?? "other"))].sort((a, b) => Number(a === LAST) - Number(b === LAST));
  main.replaceChildren(h("h1", {}, `${api.info.title} ${api.info.version}`), h("p", {}, api.info.description ?? ""),
    h("div", { class: "card tools" },
      field("API key", key, "Sent with each call you try, and kept nowhere. Without one the page's session is used, if you are logged in."),
      field("Find a call", find, "A path or a word")),
    ...tags.map((tag) => h("section", { class: "tag" }, h("h2", { class: "group" }, NAMES[tag] ?? tag),
      calls.filter(({ call }) => (call.tags?.[0] ?? "other") === tag).map(({ card }) => card))));
}

try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`/openapi.json was answered with ${answer.status}`);
  page(await answer.json());
} catch (error) {
  main.replaceChildren(errorBox(error));
}
