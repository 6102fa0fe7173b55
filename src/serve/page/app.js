// The frame of the page: who is logged in, which view is shown.

import { may, send, session, get } from "./api.js";
import { address, here, say } from "./address.js";
import { button, busy, errorBox, field, h, notice } from "./dom.js";
import { people } from "./people.js";
import { person } from "./person.js";
import { identify } from "./identify.js";
import { compare } from "./compare.js";
import { audit } from "./audit.js";
import { health } from "./health.js";
import { keys } from "./keys.js";
import { library } from "./library.js";
import { photos } from "./photos.js";
import { questions } from "./questions.js";

// Whoever reaches every gallery sees what is of all of them.
const everything = () => may("admin") && !session.view?.galleries;
const photographs = () => may("read") && !session.view?.galleries;
const VIEWS = [
  { name: "people", title: "People", open: () => may("read"), show: people, inGallery: true },
  { name: "library", title: "Library", heading: "People in photos", open: photographs, show: library },
  { name: "questions", title: "Same person?", heading: "Is this the same person?", open: photographs, show: questions, under: "library" },
  { name: "photos", title: "Photos", open: photographs, show: photos, under: "library" },
  { name: "identify", title: "Identify", open: () => may("identify"), show: identify, inGallery: true },
  { name: "compare", title: "Compare", open: () => may("identify"), show: compare },
  { name: "audit", title: "Audit trail", open: everything, show: audit },
  { name: "keys", title: "Keys", open: everything, show: keys },
  { name: "health", title: "Health", open: () => true, show: health },
];

// A list puts itself back where it was left, once it is there again.
history.scrollRestoration = "manual";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const who = document.getElementById("who");
let names = [];
// Ends what the shown view has running: camera, timers.
let leave = () => {};

function show() {
  leave();
  leave = () => {};
  for (const box of document.querySelectorAll("dialog")) box.close();
  if (!session.view) return login();
  const views = VIEWS.filter((v) => v.open());
  const asked = here();
  const view = views.find((v) => v.name === asked.view) ?? views[0];
  const known = view.name === asked.view;
  if (view.inGallery) {
    if (known && asked.gallery && asked.gallery !== session.gallery) {
      session.gallery = asked.gallery;
      if (!names.includes(asked.gallery)) { names.push(asked.gallery); choice(); }
    }
    for (const option of who.querySelectorAll("option")) option.selected = option.value === session.gallery;
    const options = known ? Object.fromEntries(asked.options) : {};
    say(address(view.name, { gallery: session.gallery, person: known ? asked.person : null, options }));
  } else if (!known) {
    say(address(view.name));
  }
  for (const link of nav.children) {
    if (link.getAttribute("href") !== `#${view.under ?? view.name}`) { link.removeAttribute("aria-current"); continue; }
    link.setAttribute("aria-current", "page");
    link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  main.className = view.name;
  const someone = view.name === "people" && known ? asked.person : null;
  const title = someone ?? view.heading ?? view.title;
  document.title = `${title} - kith`;
  main.replaceChildren(h("h1", {}, title));
  scrollTo(0, 0);
  leave = (someone ? person(main, someone) : view.show(main)) ?? (() => {});
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
  names = [...new Set([...found, ...(session.view.galleries ?? [])])];
  if (!names.includes(session.gallery)) session.gallery = names.includes("main") ? "main" : names[0] ?? null;
}

/** Who is here, and which gallery is shown. */
function choice() {
  const choose = h("select", { "aria-label": "Gallery", onchange: () => {
    const view = VIEWS.find((v) => v.name === here().view);
    if (view?.inGallery) location.hash = address(view.name, { gallery: choose.value });
    else session.gallery = choose.value;
  } }, names.map((n) => h("option", { value: n, selected: n === session.gallery }, n)));
  const out = button("Log out", () => busy(out, async () => {
    await send("DELETE", "/session");
    session.view = null;
    show();
  }));
  const name = h("span", { class: "small" }, session.view.keys ? session.view.name : "no keys: everybody may do everything");
  who.replaceChildren(...[names.length > 1 && choose, name, session.view.keys && out].filter(Boolean));
}

async function enter() {
  await galleries();
  nav.replaceChildren(...VIEWS.filter((v) => v.open() && !v.under).map((v) => h("a", { href: `#${v.name}` }, v.title)));
  choice();
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
addEventListener("hashchange", () => { document.getElementById("notices").replaceChildren(); show(); main.focus({ preventScroll: true }); });
addEventListener("pagehide", () => leave());

try {
  session.view = await get("/session");
  await enter();
} catch (error) {
  session.view = null;
  if (error.status === 401) login();
  else { main.replaceChildren(errorBox(error)); notice(error.message, true); }
}
