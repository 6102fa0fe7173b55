// Trying a call: its inputs, the request, and what was answered.

import { h } from "./dom.js";
import { resolved, typeOf } from "./schema.js";

/** An input for a parameter: its element, and what it says; null where it says nothing. */
export function inputFor(api, parameter) {
  let { schema } = resolved(api, parameter.schema ?? {});
  schema = (schema.oneOf ?? schema.anyOf)?.find((s) => s.type !== "null") ?? schema;
  const types = [schema.type].flat();
  const attributes = { name: parameter.name, placeholder: typeOf(api, schema), spellcheck: "false" };
  if (schema.enum || types.includes("boolean")) {
    const view = h("select", { name: parameter.name }, ["", ...(schema.enum ?? ["true", "false"])].map((v) => h("option", {}, String(v))));
    return { view, value: () => view.value || null };
  }
  const number = types.includes("integer") || types.includes("number");
  const view = h("input", number ? { ...attributes, type: "number", step: types.includes("integer") ? 1 : "any", min: schema.minimum, max: schema.maximum } : attributes);
  const list = types.includes("array");
  return { view, value: () => (view.value === "" ? null : list ? view.value.split(",").map((v) => v.trim()) : view.value) };
}

function addressOf(call, said) {
  let path = call.path;
  const query = new URLSearchParams();
  for (const [parameter, value] of said) {
    if (parameter.in === "path") {
      if (value === null) throw new Error(`${parameter.name} is part of the path: say it.`);
      path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    } else if (value !== null && parameter.in === "query") {
      for (const one of [value].flat()) query.append(parameter.name, one);
    }
  }
  return query.size ? `${path}?${query}` : path;
}

function bodyOf(body) {
  if (!body) return undefined;
  if (body.parts) {
    const form = new FormData();
    for (const [name, file] of body.parts) form.append(name, file, file.name);
    return form;
  }
  return body.text ?? body.file ?? undefined;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command(call, address, body) {
  const words = ["curl", "-X", call.method.toUpperCase(), "-H", quoted("authorization: Bearer KEY")];
  if (body?.parts) words.push(...body.parts.flatMap(([name, file]) => ["-F", quoted(`${name}=@${file.name}`)]));
  else if (body?.kind) words.push("-H", quoted(`content-type: ${body.kind}`), "--data-binary", quoted(body.text ?? `@${body.file?.name ?? "FILE"}`));
  return [...words, quoted(new URL(address, location.href).href)].join(" ");
}

/** Sends the call. With a key in hand that is what is sent; else the session of this browser, with its token. */
export async function send(call, said, body, key) {
  const address = addressOf(call, said);
  const headers = {};
  if (body?.kind) headers["content-type"] = body.kind;
  if (key) headers.authorization = `Bearer ${key}`;
  else if (call.method !== "get") {
    const session = await fetch("/session").then((r) => (r.ok ? r.json() : null));
    if (session?.csrf) headers["x-csrf-token"] = session.csrf;
  }
  const began = performance.now();
  const answer = await fetch(address, {
    method: call.method.toUpperCase(), headers, body: bodyOf(body), cache: "no-store",
    credentials: key ? "omit" : "same-origin",
  });
  const content = await answer.blob();
  return { answer, content, text: await content.text(), ms: performance.now() - began, command: command(call, address, body) };
}

/** What was answered, as elements. */
export function shown({ answer, content, text, ms, command }) {
  const kind = answer.headers.get("content-type") ?? "";
  const id = answer.headers.get("x-request-id");
  const state = h("p", {}, h("span", { class: `status ${answer.ok ? "good" : "bad"}` }, `${answer.status} ${answer.statusText}`),
    h("span", { class: "small" }, ` ${kind}, ${content.size} bytes, ${ms.toFixed(0)} ms${id ? `, request ${id}` : ""}`));
  let view = h("pre", {}, text);
  if (kind.startsWith("image/")) view = h("img", { class: "preview", alt: "The answer", src: URL.createObjectURL(content) });
  else if (kind.includes("json")) view = h("pre", {}, JSON.stringify(JSON.parse(text), null, 2));
  return [state, content.size ? view : null, h("h3", {}, "The same from a shell"), h("pre", {}, command)].filter(Boolean);
}
