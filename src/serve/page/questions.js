// "Is this the same person?": the most doubtful pairs of groups, one after another. What is answered is never asked again.

import { get, may, send } from "./api.js";
import { button, busy, errorBox, h, notice } from "./dom.js";
import { called, counted, facePicture, path, photosOf, tabs } from "./groups.js";

/** Faces of each that are shown. */
const FACES = 5;
const AT_ONCE = 20;

export function questions(main) {
  const body = h("div", { class: "questions" });
  const error = h("div", { "aria-live": "polite" });
  const state = h("p", { class: "small count", role: "status" });
  let waiting = [];
  let total = 0;
  // Those that are left for later: they are not asked twice in one sitting.
  const later = new Set();
  let over = false;

  const key = ({ one, other }) => `${one.id}-${other.id}`;

  async function more() {
    const found = await get(path("/questions", { limit: Math.min(200, AT_ONCE + later.size) }));
    total = found.total;
    waiting = found.questions.filter((q) => !later.has(key(q)));
  }

  async function next() {
    try {
      if (!waiting.length) await more();
      if (!over) await show(waiting[0]);
    } catch (problem) {
      if (!over) body.replaceChildren(errorBox(problem));
    }
  }

  async function side(group) {
    const { faces } = await get(path(`/groups/${group.id}/faces`, { limit: FACES }));
    const [best, ...rest] = faces;
    const none = best && may("enroll") && button("Not a face", () => answer(none, () => send("PATCH", path(`/faces/${best.id}`), { json: { not_face: true } }), true), "little");
    none?.setAttribute?.("aria-label", `The picture of ${called(group)} is not a face`);
    return h("section", { class: "side", "aria-label": called(group) },
      best ? h("img", { class: "large", src: facePicture(best.id), alt: `The best face of ${called(group)}` }) : h("span", { class: "large" }),
      h("div", { class: "strip" }, rest.map((f) => h("img", { src: facePicture(f.id), alt: "", loading: "lazy" }))),
      h("h2", {}, h("a", { href: photosOf(group) }, called(group))),
      h("p", { class: "small" }, `${counted(group.faces, "face", "faces")} in ${counted(group.photos, "photo", "photos")}`), none);
  }

  async function show(question) {
    state.textContent = question ? counted(total - later.size, "question", "questions") : "";
    if (!question) {
      body.replaceChildren(h("div", { class: "card" }, h("h2", {}, "Nothing is doubtful"), h("p", {}, later.size
        ? "The rest was left for later." : "All groups are clearly one person's, and clearly different. New photos may bring questions.")));
      return;
    }
    const sides = await Promise.all([side(question.one), side(question.other)]);
    if (over) return;
    const ends = `${question.likeness.toFixed(2)} alike; from ${question.line.toFixed(2)} on groups of these sizes are taken for one person.`;
    body.replaceChildren(h("div", { class: "card" }, h("div", { class: "sides" }, sides),
      h("p", { class: "small ends-in" }, ends), h("div", { class: "answers" }, ...answers(question))));
  }

  function answers(question) {
    const { one, other } = question;
    const say = (same) => () => send("POST", path("/questions"), { json: { one: one.id, other: other.id, same } });
    if (!may("enroll")) return [];
    const yes = button("Same person", () => answer(yes, say(true), true, `They are one: ${called(one)}.`), "main");
    const no = button("Different people", () => answer(no, say(false), false));
    const skip = button("Not sure", () => { later.add(key(question)); waiting.shift(); next(); });
    yes.setAttribute("aria-keyshortcuts", "y");
    no.setAttribute("aria-keyshortcuts", "n");
    skip.setAttribute("aria-keyshortcuts", "s");
    return [yes, no, skip];
  }

  /** Sends an answer and goes on. One that changes groups makes other questions of those that wait. */
  function answer(control, work, changes, words = null) {
    return busy(control, async () => {
      await work();
      if (words) notice(words);
      const [asked] = waiting;
      const about = new Set([asked.one.id, asked.other.id]);
      waiting.shift();
      total -= 1;
      if (changes) waiting = waiting.filter((q) => !about.has(q.one.id) && !about.has(q.other.id));
      const had = body.contains(document.activeElement);
      await next();
      if (had) body.querySelector(".answers button")?.focus();
    }, error);
  }

  const pressed = (event) => {
    const word = { y: 0, n: 1, s: 2 }[event.key];
    if (word === undefined || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    body.querySelectorAll(".answers button")[word]?.click();
  };
  addEventListener("keydown", pressed);
  main.append(tabs("questions"), h("p", { class: "small" }, "The most doubtful first. Keys: Y the same, N different, S not sure."), error, state, body);
  next();
  return () => { over = true; removeEventListener("keydown", pressed); };
}
