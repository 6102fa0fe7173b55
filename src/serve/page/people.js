// People: search, list, enrol.

import { at, get, may, person, photoForm, send, session } from "./api.js";
import { button, busy, dialog, errorBox, field, h, notice } from "./dom.js";
import { picker, preview } from "./photo.js";
import { openPerson } from "./person.js";

export function people(main) {
  const list = h("ul", { class: "people", "aria-label": "People" });
  const foot = h("div", { class: "actions" });
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search by name" });
  let asked = 0;

  async function load(after = null) {
    const turn = ++asked;
    let page = { people: [], next: null };
    try {
      // An empty database has no gallery to ask about.
      if (!session.gallery) session.gallery = (await get("/v1/galleries")).galleries[0]?.name ?? null;
      if (session.gallery) page = await get(at("/v1/people", { q: search.value.trim(), limit: 48, after }));
    } catch (error) {
      if (error.code !== "gallery.unknown_gallery") return foot.replaceChildren(errorBox(error));
    }
    if (turn !== asked) return undefined;
    const cards = page.people.map((p) => card(p, () => load()));
    if (after) list.append(...cards);
    else list.replaceChildren(...cards);
    const none = search.value.trim() ? "Nobody has such a name." : "Nobody is enrolled yet.";
    foot.replaceChildren(page.next ? button("More", () => load(page.next)) : list.children.length ? "" : h("p", {}, none));
    return undefined;
  }

  let wait;
  search.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => load(), 200); });
  const add = may("enroll") && button("Enrol somebody", () => enrol("", () => load()), "main");
  main.append(h("div", { class: "bar" }, search, add), list, foot);
  load();
  return () => clearTimeout(wait);
}

const initials = (name) => name.split(/\s+/).map((w) => [...w][0] ?? "").slice(0, 2).join("").toUpperCase();

function card(p, changed) {
  // The browser asks for the picture when the card comes near.
  const face = p.thumbnail ? h("img", { src: p.thumbnail, alt: "", loading: "lazy" }) : initials(p.name);
  const place = h("span", { class: "face", "aria-hidden": "true" }, face);
  const faces = p.faces === 1 ? "1 face" : `${p.faces} faces`;
  return h("li", {}, h("button", { type: "button", class: "person", onclick: () => openPerson(p.name, changed) },
    place, h("span", {}, h("strong", {}, p.name), h("span", { class: "small" }, [faces, ...p.groups].join(", ")))));
}

/** The dialog that enrols photos of somebody; `done` is called when at least one went in. */
export function enrol(name, done) {
  const input = h("input", { required: true, value: name, readonly: name !== "", autocomplete: "off", maxlength: "200" });
  const photos = h("ul", { class: "photos", "aria-live": "polite" });
  const waiting = [];
  let added = 0;

  function took(file) {
    const state = h("div", { class: "state" }, "Ready");
    const item = { file, state, row: h("li", {}, preview(file, file.name), state) };
    waiting.push(item);
    photos.append(item.row);
  }

  async function one(item, options = {}) {
    item.state.replaceChildren("Looking...");
    try {
      const answer = await send("POST", at(person(input.value.trim(), "/faces"), options), { form: photoForm({ file: item.file }) });
      const words = { added: "Enrolled", same_photo: "This photo was known already", same_face: "This picture was known already" };
      item.state.replaceChildren(words[answer.status]);
      waiting.splice(waiting.indexOf(item), 1);
      added += 1;
      if (waiting.length) return;
      notice(`${input.value.trim()} is enrolled.`);
      box.close();
    } catch (error) {
      const word = error.problem?.allow;
      const again = word ? { ...options, allow: [...(options.allow ?? []), word] }
        : error.code === "refusal.several_faces" ? { ...options, face: "largest" } : null;
      item.state.replaceChildren(errorBox(error),
        again ? button(word ? "Enrol it all the same" : "Take the largest face", () => one(item, again)) : "");
    }
  }

  const go = h("button", { class: "main" }, "Enrol");
  const form = h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      busy(go, async () => {
        if (!waiting.length) throw new Error("Choose a photo first.");
        for (const item of [...waiting]) await one(item);
      });
    },
  }, field("Name", input), picker("Photos of the face", took, { multiple: true }), photos, h("div", { class: "actions" }, go));
  const box = dialog(name ? `More photos of ${name}` : "Enrol somebody", form);
  box.addEventListener("close", () => { if (added) done(); });
}
