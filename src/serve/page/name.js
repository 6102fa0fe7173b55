// From unknown to named: one face of a photo is enrolled, as a new person's or as somebody's who is there.

import { at, get, may, person, photoForm, send, session } from "./api.js";
import { button, busy, dialog, errorBox, field, h, notice } from "./dom.js";
import { crop } from "./labels.js";

const CROP = 128;
let lists = 0;

/** An input for a name that offers the names of those who are enrolled, as one types. */
export function nameInput(options = {}) {
  const id = `names-${++lists}`;
  const list = h("datalist", { id });
  const input = h("input", { required: true, autocomplete: "off", maxlength: "200", list: id, ...options });
  let asked = 0;
  input.addEventListener("input", async () => {
    const mine = ++asked;
    if (!may("read") || !session.gallery) return;
    const found = await get(at("/v1/people", { q: input.value.trim(), limit: 20 })).catch(() => ({ people: [] }));
    if (mine === asked) list.replaceChildren(...found.people.map((p) => h("option", { value: p.name })));
  });
  return { input, list };
}

/** Why the face was refused, and what can be done about it: `again` gets more to say to the service. */
export function refused(error, again) {
  const word = error.problem?.allow;
  // What to say to the service is a button here.
  if (word) error.message = error.message.replace(/; say allow=\w+ to enrol it all the same/, "");
  const advice = { duplicate: "If it is that person, enrol it under their name.", different: "If it is somebody else, give another name." };
  return [errorBox(error),
    word && h("p", { class: "small" }, advice[word] ?? "A larger, sharper photo from the front, in even light, tells people apart better."),
    word && button("Enrol it all the same", () => again(word))].filter(Boolean);
}

/** Asks whose a face is and enrols it; `done` gets the name when it is enrolled. `cut` is its picture. */
export function enrolFace({ photo, number, cut, done }) {
  const { input, list } = nameInput();
  const state = h("div", { class: "state", "aria-live": "polite" });
  const go = h("button", { class: "main" }, "Enrol");
  async function enrol(allow = []) {
    const name = input.value.trim();
    state.replaceChildren();
    try {
      const answer = await send("POST", at(person(name, "/faces"), { face: number, allow }), { form: photoForm({ file: photo }) });
      // The first face makes the gallery.
      session.gallery ??= "main";
      const words = { added: `Face ${number} is enrolled as ${answer.name}.`, same_photo: `${answer.name} had this photo already.`, same_face: `${answer.name} had this picture already.` };
      box.close();
      notice(words[answer.status]);
      done(answer.name);
    } catch (error) {
      state.replaceChildren(...refused(error, (word) => busy(go, () => enrol([...allow, word]))));
    }
  }
  const form = h("form", { onsubmit: (event) => { event.preventDefault(); busy(go, () => enrol()); } },
    h("div", { class: "whose" }, cut, h("div", {}, field("Whose face is it?", input, "A new name, or the name of somebody who is enrolled."), list)),
    state, h("div", { class: "actions" }, go));
  const box = dialog(`Enrol face ${number}`, form);
  input.focus();
  return box;
}

/** Of a photo that was refused for its several faces: each as a button, to click the one that is meant. */
export function whichFace(photo, { faces, numbers }, took) {
  const choice = h("ul", { class: "which", "aria-label": "Which face is meant?" });
  const fill = (picture) => choice.replaceChildren(...faces.map((box, i) => {
    const face = picture ? crop(picture, box, 1, CROP) : h("span", { class: "face" }, String(numbers[i]));
    face.setAttribute("aria-hidden", "true");
    const pick = button("", () => took(numbers[i]), "pick");
    pick.append(face, h("span", {}, `Face ${numbers[i]}`));
    return h("li", {}, pick);
  }));
  fill(null);
  createImageBitmap(photo).then(fill, () => {});
  return h("div", {}, h("p", {}, `There are ${faces.length} faces in this photo. Click the one that is meant.`), choice);
}
