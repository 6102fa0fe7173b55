// One person: their faces, rename, merge, forget.

import { at, get, may, person, send } from "./api.js";
import { button, busy, confirm, dialog, errorBox, field, h, notice, when } from "./dom.js";
import { enrol } from "./people.js";

export async function openPerson(name, changed) {
  const body = h("div", {}, h("p", {}, "Loading..."));
  const box = dialog(name, body);
  try {
    fill(box, body, await get(at(person(name))), changed);
  } catch (error) {
    body.replaceChildren(errorBox(error));
  }
}

function fill(box, body, { person: p, faces }, changed) {
  const error = h("div", {});
  const act = (control, words, work) => busy(control, async () => {
    await work();
    notice(words);
    box.close();
    changed();
  }, error);

  const shown = faces.map((f) => {
    const drop = may("enroll") && button("Forget this face", async () => {
      if (!await confirm("Forget this face?", `${f.source} of ${p.name} is forgotten for good.`, "Forget")) return;
      act(drop, "The face is forgotten.", () => send("DELETE", at(`/v1/faces/${f.id}`)));
    });
    const picture = f.thumbnail ? h("img", { src: f.thumbnail, alt: `Face from ${f.source}` }) : h("span", { class: "face" }, "no picture kept");
    return h("li", {}, picture, h("span", { class: "small" }, f.source), h("span", { class: "small" }, when(f.enrolled_ms)), drop);
  });
  body.replaceChildren(
    h("p", { class: "small" }, `Enrolled ${when(p.created_ms)}${p.groups.length ? `; groups: ${p.groups.join(", ")}` : ""}`),
    faces.length ? h("ul", { class: "faces" }, shown) : h("p", {}, "No face yet."), error);
  if (!may("enroll")) return;

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
    act(forget, `${p.name} is forgotten.`, () => send("DELETE", at(person(p.name))));
  }, "danger");
  body.append(
    form(() => act(rename, "Renamed.", () => send("PATCH", at(person(p.name)), { json: { name: to.value.trim() } })), field("Name", to), rename),
    form(async () => {
      const other = into.value.trim();
      if (!await confirm("Merge the two?", `All faces of ${p.name} become ${other}'s, and ${p.name} is no more.`, "Merge")) return;
      const make = (far_apart) => send("POST", at(person(p.name, "/merge")), { json: { into: other, far_apart } });
      act(merge, "Merged.", async () => {
        try {
          await make(false);
        } catch (error) {
          if (error.code !== "gallery.far_apart") throw error;
          if (!await confirm("They are not alike", error.message, "Merge all the same")) throw error;
          await make(true);
        }
      });
    }, field("Is the same person as", into), others, merge),
    h("div", { class: "actions" }, button("Add photos", () => { box.close(); enrol(p.name, changed); }), forget));
}
