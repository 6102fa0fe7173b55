// What the views of the photo library share: its calls, a group's picture, naming, merging.

import { at, get, send } from "./api.js";
import { address } from "./address.js";
import { button, busy, confirm, dialog, field, h, notice } from "./dom.js";

/** The path of a call of the library; it is of no gallery. */
export const path = (rest, query = {}) => at(`/v1/library${rest}`, query, false);
export const counted = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
export const called = (group) => group.name ?? `Group ${group.id}`;
export const facePicture = (face) => path(`/faces/${face}/thumbnail`);
export const photosOf = (group) => address("photos", { options: { group: group.id } });

/** A group's best face. */
export function bestFace(group, kind = "face") {
  const picture = group?.best_face ? h("img", { src: facePicture(group.best_face), alt: "", loading: "lazy", draggable: "false" }) : "";
  return h("span", { class: kind, "aria-hidden": "true" }, picture);
}

/** The tabs of the library's views. */
export function tabs(now) {
  const views = [["library", "People"], ["questions", "Same person?"], ["photos", "Photos"]];
  return h("nav", { class: "tabs", "aria-label": "The photo library" }, views.map(([view, text]) =>
    h("a", { href: address(view), "aria-current": view === now ? "page" : null }, text)));
}

/** What there is to say where nothing is listed: no photos, or none whose faces are grouped. */
export function empty() {
  const box = h("div", { class: "card" });
  const said = (title, ...words) => box.replaceChildren(h("h2", {}, title), ...words);
  get(path("")).then(({ photos, faces }) => photos
    ? said("Nobody is grouped yet", h("p", {}, `${counted(photos, "photo", "photos")} with ${counted(faces, "face", "faces")}: “Group again” sorts them into people.`))
    : said("There are no photos yet", h("p", {}, "Folders of photos are looked at by the command, also while this service runs:"),
      h("p", {}, h("code", {}, "kith library add ~/Pictures && kith cluster"))), () => {});
  return box;
}

let lists = 0;

/** An input for a name, which offers the names that groups have. */
export function groupName(value, options = {}) {
  const id = `groups-${++lists}`;
  const list = h("datalist", { id });
  const input = h("input", { required: true, autocomplete: "off", maxlength: "200", list: id, value, ...options });
  let asked = 0;
  input.addEventListener("input", async () => {
    const mine = ++asked;
    const found = await get(path("/groups", { q: input.value.trim(), named: "yes", limit: 20 })).catch(() => ({ groups: [] }));
    if (mine === asked) list.replaceChildren(...found.groups.map((g) => h("option", { value: g.name })));
  });
  return { input, list };
}

const change = (group, json) => send("PATCH", path(`/groups/${group.id}`), { json });

/** Gives a group a name. Where another has it, asks whether they are the same person, and makes the two one if so. What came
 * of it is told; null where nothing did. */
export async function nameGroup(group, name) {
  const now = await change(group, { name }).catch(async (problem) => {
    if (problem.code !== "library.same_name") throw problem;
    const other = await get(path(`/groups/${problem.problem.into}`));
    const both = h("span", { class: "pair" }, bestFace(group), bestFace(other));
    const text = `Another group is ${called(other)} already. All ${counted(group.faces, "face", "faces")} of this one become theirs. This holds from now on.`;
    const sure = await confirm(`Same person as ${called(other)}?`, [both, text], "Same person");
    return sure ? change(group, { name, merge: true }) : null;
  });
  if (now === null) return null;
  notice(now.gone === null ? `${now.name} is named.` : `${called(group)} is ${now.name}, too: ${counted(now.faces, "face", "faces")} in all.`);
  return now;
}

export async function hideGroup(group, hidden) {
  await change(group, { hidden });
  notice(hidden ? `${called(group)} is hidden.` : `${called(group)} is shown again.`);
}

/** Asks, and makes two groups one. Whether it was done. */
export async function mergeGroups(from, into) {
  const both = h("span", { class: "pair" }, bestFace(from), bestFace(into));
  const sure = await confirm("Are they the same person?", [both, `All ${counted(from.faces, "face", "faces")} of ${called(from)} become ${called(into)}'s. This holds from now on.`], "Merge");
  if (!sure) return null;
  const now = await send("POST", path(`/groups/${from.id}/merge`), { json: { into: into.id } });
  notice(`They are one now: ${now.name ?? `group ${now.group}`}, ${counted(now.faces, "face", "faces")}.`);
  return now;
}

/** Everything that can be done with a group, by keyboard as well: name, merge, hide. `done` hears of each change. */
export function groupDialog(group, done) {
  const error = h("div", { "aria-live": "polite" });
  const { input, list } = groupName(group.name ?? "");
  const act = (control, work) => busy(control, async () => {
    const now = await work();
    if (now === null) return;
    box.close();
    done(now);
  }, error);
  const save = h("button", { class: "main" }, "Save the name");
  const naming = h("form", { class: "line", onsubmit: (event) => { event.preventDefault(); act(save, () => nameGroup(group, input.value.trim())); } },
    field("Who is it?", input), list, save);
  const others = h("select", { "aria-label": "The other group", required: true });
  const sought = h("input", { type: "search", "aria-label": "Search the other group", placeholder: "Search by name" });
  let known = [];
  let wait;
  const fill = async () => {
    const found = await get(path("/groups", { q: sought.value.trim(), limit: 200 })).catch(() => ({ groups: [] }));
    known = found.groups.filter((g) => g.id !== group.id);
    others.replaceChildren(...known.map((g) => h("option", { value: String(g.id) }, `${called(g)} (${counted(g.faces, "face", "faces")})`)));
    shown();
  };
  const picture = h("div", { class: "pair" });
  const chosen = () => known.find((g) => String(g.id) === others.value);
  const shown = () => picture.replaceChildren(bestFace(group), chosen() ? bestFace(chosen()) : "");
  others.addEventListener("change", shown);
  sought.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(fill, 200); });
  const merge = h("button", {}, "Merge");
  const merging = h("form", { onsubmit: (event) => { event.preventDefault(); if (chosen()) act(merge, () => mergeGroups(group, chosen())); } },
    h("h3", {}, "Is the same person as"), picture, h("div", { class: "bar" }, sought, others, merge));
  const hide = button(group.hidden ? "Show again" : "Hide", () => act(hide, () => hideGroup(group, !group.hidden)));
  const box = dialog(called(group), naming, merging, error,
    h("div", { class: "actions" }, h("p", {}, h("a", { href: photosOf(group) }, "All photos")), hide));
  fill();
  input.focus();
  input.select();
  return box;
}
