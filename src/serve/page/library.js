// The people of the photo library: every group by its best face, named in place, merged by dragging one onto another.

import { get, may, send, session } from "./api.js";
import { address, here, say } from "./address.js";
import { button, busy, errorBox, h, notice, unseen } from "./dom.js";
import { bestFace, called, counted, empty, groupDialog, groupName, mergeGroups, nameGroup, path, photosOf, tabs } from "./groups.js";
import { grid, Pages } from "./list.js";

const ORDERS = [["known", "Named first"], ["faces", "Most faces first"], ["name", "By name"]];
const SHOWN = [["", "Everybody"], ["yes", "With a name"], ["no", "Without a name"], ["hidden", "Hidden"]];
const DRAGGED = "application/x-kith-group";

// How far each list was scrolled when it was left.
const left = new Map();

export function library(main) {
  const { options } = here();
  const one = (all, value) => all.some(([v]) => v === value) ? value : all[0][0];
  const query = { q: options.get("q") ?? "", sort: one(ORDERS, options.get("sort")), show: one(SHOWN, options.get("show")) };
  const list = h("ul", { class: "groups", "aria-label": "People in photos" });
  const foot = h("div", { class: "foot" });
  const count = h("p", { class: "small count", role: "status" });
  const error = h("div", { "aria-live": "polite" });
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search by name", value: query.q });
  const choice = (label, all, key) => {
    const select = h("select", { "aria-label": label, onchange: () => { query[key] = select.value; anew(); } },
      all.map(([value, text]) => h("option", { value, selected: value === query[key] }, text)));
    return select;
  };
  const cards = grid(list, { row: 208, column: 148, card: (group, i, total) => card(group, i, total) });
  let source = null;
  let over = false;
  let wait;

  const where = () => address("library", { options: { q: query.q, sort: query.sort === "known" ? null : query.sort, show: query.show } });
  let back = left.get(where()) ?? null;

  function load() {
    if (over) return;
    say(where());
    const mine = new Pages(async (skip, limit) => {
      const named = query.show === "hidden" ? "" : query.show;
      const { groups, total } = await get(path("/groups", { q: query.q, sort: query.sort, named, hidden: query.show === "hidden" ? 1 : null, skip, limit }));
      return { items: groups, total };
    }, (from, to) => { if (source === mine && !over) filled(from, to); });
    source = mine;
    mine.start();
  }

  function anew() {
    scrollTo(0, 0);
    load();
  }

  /** The list again, where it was. */
  function again() {
    back = scrollY;
    load();
  }

  function filled(from, to) {
    const { total } = source;
    const nobody = query.q || query.show ? h("p", {}, "Nobody is like that.") : empty();
    foot.replaceChildren(source.error ? errorBox(source.error) : total === 0 ? nobody : "");
    count.textContent = total ? counted(total, "person", "people") : "";
    cards.fill(source, from, to);
    if (back !== null && total) { scrollTo(0, back); back = null; }
  }

  /** The name, which becomes an input when it is clicked. */
  function nameOf(group) {
    const text = h("span", {}, group.name ?? "Who is this?");
    if (!may("enroll")) return h("span", { class: "name" }, text);
    const open = button("", () => {
      const { input, list: names } = groupName(group.name ?? "", { "aria-label": `Name of ${called(group)}` });
      const form = h("form", { class: "naming", onsubmit: (event) => {
        event.preventDefault();
        input.dataset.done = "yes";
        busy(input, async () => { await nameGroup(group, input.value.trim()); again(); }, error);
      } }, input, names);
      const close = () => { if (!input.dataset.done) form.replaceWith(open); };
      input.addEventListener("keydown", (event) => { if (event.key === "Escape") { close(); open.focus(); } });
      input.addEventListener("blur", () => setTimeout(close, 150));
      open.replaceWith(form);
      input.focus();
      input.select();
    }, group.name ? "name plain" : "name plain unnamed");
    open.append(text, unseen(group.name ? "(change the name)" : `(name ${called(group)})`));
    return open;
  }

  function dragging(item, group) {
    item.draggable = true;
    item.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData(DRAGGED, JSON.stringify(group));
      event.dataTransfer.effectAllowed = "move";
      item.classList.add("dragged");
    });
    item.addEventListener("dragend", () => item.classList.remove("dragged"));
    item.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes(DRAGGED) || item.classList.contains("dragged")) return;
      event.preventDefault();
      item.classList.add("over");
    });
    item.addEventListener("dragleave", (event) => { if (!item.contains(event.relatedTarget)) item.classList.remove("over"); });
    item.addEventListener("drop", async (event) => {
      item.classList.remove("over");
      const text = event.dataTransfer.getData(DRAGGED);
      if (!text) return;
      event.preventDefault();
      const from = JSON.parse(text);
      if (from.id === group.id) return;
      error.replaceChildren();
      try {
        if (await mergeGroups(from, group)) again();
      } catch (problem) {
        error.replaceChildren(errorBox(problem));
      }
    });
  }

  function card(group, i, total) {
    const place = { "aria-setsize": String(total), "aria-posinset": String(i + 1) };
    if (!group) return h("li", { ...place, class: "group waiting" }, h("span", { class: "best" }));
    const more = may("enroll") && button("⋯", () => groupDialog(group, again), "more");
    if (more) more.setAttribute("aria-label", `More about ${called(group)}`);
    const item = h("li", { ...place, class: "group" },
      h("a", { href: photosOf(group), "aria-label": `Photos of ${called(group)}`, draggable: "false" }, bestFace(group, "best")),
      h("div", { class: "named" }, nameOf(group), more),
      h("span", { class: "small" }, `${counted(group.faces, "face", "faces")} in ${counted(group.photos, "photo", "photos")}`));
    if (may("enroll")) dragging(item, group);
    return item;
  }

  const regroup = may("enroll") && button("Group again", () => busy(regroup, async () => {
    const found = await send("POST", path("/group", { gallery: session.gallery ?? "main" }));
    notice(`${counted(found.faces, "face", "faces")} in ${counted(found.groups.length, "group", "groups")}; ${found.alone.toLocaleString()} of nobody else.`);
    again();
  }, error));
  search.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => { query.q = search.value.trim(); anew(); }, 200); });
  const none = h("p", { class: "small" });
  get(path("")).then(({ no_faces }) => { if (no_faces) none.append(h("a", { href: address("photos", { options: { show: "none" } }) }, `${counted(no_faces, "face", "faces")} said to be none`)); }, () => {});
  main.append(tabs("library"), h("div", { class: "bar" }, search, choice("Which", SHOWN, "show"), choice("Order", ORDERS, "sort"), regroup), error, count, list, foot, none);
  load();
  return () => {
    left.set(where(), scrollY);
    over = true;
    clearTimeout(wait);
    cards.end();
  };
}
