// One person: their faces, groups and labels; rename, merge, forget.

import { at, get, may, person as path, send, session } from "./api.js";
import { address } from "./address.js";
import { button, busy, confirm, errorBox, field, h, notice, when } from "./dom.js";
import { enrol } from "./enrol.js";
import { portrait } from "./people.js";

export function person(main, name) {
  const body = h("div", {}, h("p", {}, "Loading..."));
  const error = h("div", {});
  let over = false;
  const back = h("p", {}, h("a", { href: address("people", { gallery: session.gallery }) }, "All people"));

  async function load() {
    try {
      const found = await get(at(path(name)));
      if (!over) body.replaceChildren(...filled(found));
    } catch (problem) {
      if (!over) body.replaceChildren(errorBox(problem));
    }
  }

  const go = (to) => { location.hash = address("people", { gallery: session.gallery, person: to }); };
  const act = (control, words, work, then = load) => busy(control, async () => {
    const answer = await work();
    await then(answer);
    if (words) notice(words);
  }, error);

  function filled({ person: p, faces }) {
    const facts = [p.faces === 1 ? "1 face" : `${p.faces} faces`, `enrolled ${when(p.created_ms)}`, session.gallery && `in ${session.gallery}`];
    const head = h("div", { class: "card whole" }, portrait(p), h("div", {}, h("p", { class: "small" }, facts.filter(Boolean).join(", ")),
      groups(p), labels(p)));
    return [head, h("section", { class: "card" }, h("h2", {}, "Faces"), pictures(p, faces)), ...(may("enroll") ? changes(p) : [])];
  }

  function pictures(p, faces) {
    if (!faces.length) return h("p", {}, "No face yet.");
    return h("ul", { class: "faces" }, faces.map((f) => {
      const drop = may("enroll") && button("Forget this face", async () => {
        if (!await confirm("Forget this face?", `${f.source} of ${p.name} is forgotten for good.`, "Forget")) return;
        act(drop, "The face is forgotten.", () => send("DELETE", at(`/v1/faces/${f.id}`)));
      });
      const picture = f.thumbnail ? h("img", { src: f.thumbnail, alt: `Face from ${f.source}` }) : h("span", { class: "face" }, "no picture kept");
      return h("li", {}, picture, h("span", { class: "small" }, f.source), h("span", { class: "small" }, when(f.enrolled_ms)), drop);
    }));
  }

  const change = (json) => send("PATCH", at(path(name)), { json });

  /** A list of things that each can be taken off, and a form that adds one. */
  function edited(title, items, inputs, add) {
    const chips = items.map(([text, what, take]) => h("li", { class: "chip" }, text, may("enroll") && (() => {
      const off = button("×", () => act(off, null, take), "plain");
      off.setAttribute("aria-label", `Take off ${what}`);
      return off;
    })()));
    const plus = h("button", {}, "Add");
    const form = may("enroll") && h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); act(plus, null, add); } }, inputs, plus);
    if (!chips.length && !form) return null;
    return h("div", { class: "edited" }, h("h2", { class: "small" }, title), h("ul", { class: "chips", "aria-label": title }, chips), form);
  }

  function groups(p) {
    const group = h("input", { required: true, autocomplete: "off", "aria-label": "New group", placeholder: "New group", maxlength: "200" });
    return edited("Groups", p.groups.map((g) => [g, `group ${g}`, () => change({ leave: [g] })]), [group], () => change({ join: [group.value.trim()] }));
  }

  function labels(p) {
    const input = (text) => h("input", { required: true, autocomplete: "off", "aria-label": text, placeholder: text, maxlength: "200" });
    const [key, value] = [input("New label"), input("Its value")];
    return edited("Labels", Object.entries(p.labels).map(([k, v]) => [`${k}: ${v}`, `label ${k}`, () => change({ unset: [k] })]),
      [key, value], () => change({ set: { [key.value.trim()]: value.value.trim() } }));
  }

  function changes(p) {
    const to = h("input", { value: p.name, required: true, maxlength: "200" });
    const rename = h("button", {}, "Rename");
    const into = h("input", { required: true, list: "others", autocomplete: "off" });
    const others = h("datalist", { id: "others" });
    into.addEventListener("input", async () => {
      const found = await get(at("/v1/people", { q: into.value.trim(), limit: 20 })).catch(() => ({ people: [] }));
      others.replaceChildren(...found.people.filter((o) => o.name !== p.name).map((o) => h("option", { value: o.name })));
    });
    const merge = h("button", {}, "Merge");
    const form = (work, ...parts) => h("form", { class: "line", onsubmit: (event) => { event.preventDefault(); work(); } }, ...parts);
    const forget = button("Forget this person", async () => {
      const text = `${p.name} and ${p.faces === 1 ? "the face" : `all ${p.faces} faces`} are forgotten for good. This cannot be undone.`;
      if (!await confirm(`Forget ${p.name}?`, text, "Forget")) return;
      act(forget, `${p.name} is forgotten.`, () => send("DELETE", at(path(p.name))), () => arrive(null));
    }, "danger");
    return [h("section", { class: "card" }, h("h2", {}, "Changes"), error,
      form(() => act(rename, "Renamed.", () => change({ name: to.value.trim() }), (now) => now.name === name ? load() : arrive(now.name)), field("Name", to), rename),
      form(async () => {
        const other = into.value.trim();
        if (!await confirm("Merge the two?", `All faces of ${p.name} become ${other}'s, and ${p.name} is no more.`, "Merge")) return;
        const make = (far_apart) => send("POST", at(path(p.name, "/merge")), { json: { into: other, far_apart } });
        act(merge, "Merged.", async () => {
          try {
            return await make(false);
          } catch (problem) {
            if (problem.code !== "gallery.far_apart") throw problem;
            if (!await confirm("They are not alike", problem.message, "Merge all the same")) throw problem;
            return make(true);
          }
        }, (now) => arrive(now.name));
      }, field("Is the same person as", into), others, merge),
      h("div", { class: "actions" }, button("Add photos", () => enrol(p.name, load)), forget))];
  }

  /** Goes on to another person, or to all; what was done is told there. */
  const arrive = (to) => new Promise((resolve) => {
    addEventListener("hashchange", () => setTimeout(resolve), { once: true });
    go(to);
  });

  main.prepend(back);
  main.append(body);
  load();
  return () => { over = true; };
}
