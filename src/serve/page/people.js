// People: search, sort, enrol; a list of any length, of which what is in sight is made.

import { at, get, may, session } from "./api.js";
import { address, here, say } from "./address.js";
import { errorBox, button, h } from "./dom.js";
import { enrol } from "./enrol.js";
import { grid, Pages, TOGETHER } from "./list.js";

/** Up to so many people the browser sorts the names as its reader does; beyond, the service by code point. */
const SORTED_HERE = 5000;
const AT_ONCE = 1000;
const ORDERS = [["name", "By name"], ["newest", "Newest first"], ["faces", "Most faces first"]];
// A card's height with the gap below it, and the least width of a column, in pixels: as app.css has them.
const CARDS = { row: 92, column: 248, card };

/** A list of people, fetched as they are asked for; a short one is sorted as its reader sorts names. */
function pages(query, changed) {
  const fetch = async (skip, limit) => {
    const { people, total } = await get(at("/v1/people", { q: query.q, sort: query.sort, skip, limit }));
    return { items: people, total };
  };
  const sortHere = async (list) => {
    if (query.sort !== "name" || list.total > SORTED_HERE) return;
    const all = list.items.slice();
    for (let skip = all.length; skip < list.total; skip += AT_ONCE) all.push(...(await fetch(skip, AT_ONCE)).items);
    const collator = new Intl.Collator(navigator.languages, { numeric: true });
    list.items = all.sort((a, b) => collator.compare(a.name, b.name));
    list.total = all.length;
    for (let i = 0; i * TOGETHER < list.total; i += 1) list.asked.add(i);
  };
  const list = new Pages(fetch, changed);
  return { list, start: () => list.start(sortHere) };
}

// How far each list was scrolled when it was left.
const left = new Map();

export function people(main) {
  const { options } = here();
  const query = { q: options.get("q") ?? "", sort: ORDERS.some(([v]) => v === options.get("sort")) ? options.get("sort") : "name" };
  const list = h("ul", { class: "people", "aria-label": "People" });
  const foot = h("div", { class: "foot" });
  const count = h("p", { class: "small count", role: "status" });
  const search = h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search by name", value: query.q });
  const sort = h("select", { "aria-label": "Order", onchange: () => { query.sort = sort.value; anew(); } },
    ORDERS.map(([value, text]) => h("option", { value, selected: value === query.sort }, text)));
  const cards = grid(list, CARDS);
  let source = null;

  const where = () => address("people", { gallery: session.gallery, options: { q: query.q, sort: query.sort === "name" ? null : query.sort } });

  function load() {
    if (over) return;
    say(where());
    const { list: mine, start } = pages({ ...query }, (from, to) => { if (source === mine && !over) filled(from, to); });
    source = mine;
    if (session.gallery) start();
    else { mine.total = 0; filled(); }
  }

  /** Another list begins at its beginning. */
  function anew() {
    scrollTo(0, 0);
    load();
  }

  function filled(from, to) {
    const { total, error } = source;
    if (error?.code === "gallery.unknown_gallery") source.total = 0;
    else if (error) foot.replaceChildren(errorBox(error));
    if (source.total === 0) foot.replaceChildren(h("p", {}, query.q ? "Nobody has such a name." : "Nobody is enrolled yet."));
    else if (!error) foot.replaceChildren();
    count.textContent = total ? `${total.toLocaleString()} ${total === 1 ? "person" : "people"}` : "";
    cards.fill(source, from, to);
    if (back !== null && total) { scrollTo(0, back); back = null; }
  }

  let wait;
  let over = false;
  let back = left.get(where()) ?? null;
  search.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => { query.q = search.value.trim(); anew(); }, 200); });
  const add = may("enroll") && button("Enrol somebody", () => enrol("", load), "main");
  main.append(h("div", { class: "bar" }, search, sort, add), count, list, foot);
  load();
  return () => {
    left.set(where(), scrollY);
    over = true;
    clearTimeout(wait);
    cards.end();
  };
}

export const initials = (name) => name.split(/\s+/).map((w) => [...w][0] ?? "").slice(0, 2).join("").toUpperCase();

export function portrait(p) {
  // The browser asks for the picture when the card comes near.
  const face = p?.thumbnail ? h("img", { src: p.thumbnail, alt: "", loading: "lazy" }) : p ? initials(p.name) : "";
  return h("span", { class: "face", "aria-hidden": "true" }, face);
}

function card(p, i, total) {
  const place = { "aria-setsize": String(total), "aria-posinset": String(i + 1) };
  if (!p) return h("li", place, h("span", { class: "person waiting" }, portrait(null), "..."));
  const faces = p.faces === 1 ? "1 face" : `${p.faces} faces`;
  return h("li", place, h("a", { class: "person", href: address("people", { gallery: session.gallery, person: p.name }), title: p.name },
    portrait(p), h("span", { class: "who" }, h("strong", {}, p.name), h("span", { class: "small" }, [faces, ...p.groups].join(", ")))));
}
