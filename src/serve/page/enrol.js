// The dialog that enrols photos of somebody.

import { at, person, photoForm, send, session } from "./api.js";
import { button, busy, dialog, field, h, notice } from "./dom.js";
import { nameInput, refused, whichFace } from "./name.js";
import { picker, preview } from "./photo.js";

/** Asks for a name, where none is given, and photos; `done` is called when at least one went in. */
export function enrol(name, done) {
  const { input, list } = nameInput({ value: name, readonly: name !== "" });
  const photos = h("ul", { class: "photos", "aria-live": "polite" });
  let waiting = [];
  let added = 0;

  function took(file) {
    const state = h("div", { class: "state" }, "Ready");
    const drop = button("×", () => { waiting = waiting.filter((i) => i !== item); item.row.remove(); }, "plain");
    drop.setAttribute("aria-label", `Leave out ${file.name}`);
    const item = { file, state, drop, row: h("li", {}, preview(file, file.name), state, drop) };
    waiting.push(item);
    photos.append(item.row);
  }

  async function one(item, options = {}) {
    item.state.replaceChildren("Looking...");
    try {
      const answer = await send("POST", at(person(input.value.trim(), "/faces"), options), { form: photoForm({ file: item.file }) });
      const words = { added: "Enrolled", same_photo: "This photo was known already", same_face: "This picture was known already" };
      item.state.replaceChildren(words[answer.status]);
      item.drop.remove();
      waiting = waiting.filter((i) => i !== item);
      added += 1;
      // The first face makes the gallery.
      session.gallery ??= "main";
      if (waiting.length) return;
      notice(`${input.value.trim()} is enrolled.`);
      box.close();
    } catch (error) {
      const several = error.code === "refusal.several_faces" && error.problem.numbers;
      item.state.replaceChildren(...(several
        ? [whichFace(item.file, error.problem, (face) => one(item, { ...options, face }))]
        : refused(error, (word) => one(item, { ...options, allow: [...(options.allow ?? []), word] }))));
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
  }, field("Name", input), list, picker("Photos of the face", took, { multiple: true }), photos, h("div", { class: "actions" }, go));
  const box = dialog(name ? `More photos of ${name}` : "Enrol somebody", form);
  box.addEventListener("close", () => { if (added) done(); });
}
