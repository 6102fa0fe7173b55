// The frame of the page: who is logged in, which view is shown.

import { may, send, session, get } from "./api.js";
import { button, busy, errorBox, field, h, notice } from "./dom.js";
import { people } from "./people.js";
import { identify } from "./identify.js";
import { compare } from "./compare.js";
import { audit } from "./audit.js";
import { health } from "./health.js";

const VIEWS = [
  { name: "people", title: "People", role: "read", show: people },
  { name: "identify", title: "Identify", role: "identify", show: identify },
  { name: "compare", title: "Compare", role: "identify", show: compare },
  { name: "audit", title: "Audit trail", role: "admin", show: audit },
  { name: "health", title: "Health", role: null, show: health },
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const who = document.getElementById("who");
// Ends what the shown view has running: camera, timers.
let leave = () => {};

const open = () => VIEWS.filter((v) => v.role === null || may(v.role));

function show() {
  leave();
  leave = () => {};
  if (!session.view) return login();
  const views = open();
  const view = views.find((v) => `#${v.name}` === location.hash) ?? views[0];
  for (const link of nav.children) {
    if (link.getAttribute("href") !== `#${view.name}`) { link.removeAttribute("aria-current"); continue; }
    link.setAttribute("aria-current", "page");
    link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  document.title = `${view.title} - kith`;
  main.className = view.name;
  main.replaceChildren(h("h1", {}, view.title));
  leave = view.show(main) ?? (() => {});
}

function login(problem = null) {
  nav.hidden = who.hidden = true;
  document.title = "Log in - kith";
  const key = h("input", { type: "password", name: "key", required: true, autocomplete: "current-password", spellcheck: "false" });
  const wrong = h("div", {}, problem && errorBox(problem));
  const go = h("button", { class: "main" }, "Log in");
  const form = h("form", {
    class: "card login",
    onsubmit: (event) => {
      event.preventDefault();
      busy(go, async () => {
        session.view = await send("POST", "/session", { json: { key: key.value } });
        await enter();
      }, wrong);
    },
  }, h("h1", {}, "Log in"), field("API key", key, "As “kith keys new” showed it, once."), wrong, go);
  main.className = "";
  main.replaceChildren(form);
  key.focus();
}

async function galleries() {
  const found = may("read") ? (await get("/v1/galleries")).galleries.map((g) => g.name) : [];
  const names = [...new Set([...found, ...(session.view.galleries ?? [])])];
  if (!names.includes(session.gallery)) session.gallery = names.includes("main") ? "main" : names[0] ?? null;
  return names;
}

async function enter() {
  const names = await galleries();
  nav.replaceChildren(...open().map((v) => h("a", { href: `#${v.name}` }, v.title)));
  const choose = h("select", { "aria-label": "Gallery", onchange: () => { session.gallery = choose.value; show(); } },
    names.map((n) => h("option", { value: n, selected: n === session.gallery }, n)));
  const out = button("Log out", () => busy(out, async () => {
    await send("DELETE", "/session");
    session.view = null;
    show();
  }));
  const name = h("span", { class: "small" }, session.view.keys ? session.view.name : "no keys: everybody may do everything");
  who.replaceChildren(...[names.length > 1 && choose, name, session.view.keys && out].filter(Boolean));
  nav.hidden = who.hidden = false;
  show();
}

document.addEventListener("logged-out", () => {
  if (!session.view) return;
  session.view = null;
  leave();
  leave = () => {};
  for (const box of document.querySelectorAll("dialog")) box.close();
  login(new Error("The session is over. Log in again."));
});
addEventListener("hashchange", () => { document.getElementById("notices").replaceChildren(); show(); main.focus(); });
addEventListener("pagehide", () => leave());

try {
  session.view = await get("/session");
  await enter();
} catch (error) {
  session.view = null;
  if (error.status === 401) login();
  else { main.replaceChildren(errorBox(error)); notice(error.message, true); }
}
