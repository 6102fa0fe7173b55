// People: search, sort, enrol; a list of any length, of which what is in sight is made.

import { at, get, may, session } from "./api.js";
import { address, here, say } from "./address.js";
import { errorBox, button, h } from "./dom.js";
import { enrol } from "./enrol.js";

const TOGETHER = 100;
/** Up to so many people the browser sorts the names as its reader does; beyond, the service by code point. */
const SORTED_HERE = 5000;
const AT_ONCE = 1000;
const ORDERS = [["name", "By name"], ["newest", "Newest first"], ["faces", "Most faces first"]];
// A card's height with the gap below it, and the least width of a column, in pixels: as app.css has them.
const ROW = 92;
const COLUMN = 248;
const GAP = 12;

/** People by their place in the list, fetched as they are asked for. */
class List {
  constructor(query, changed) {
    Object.assign(this, { query, changed, total: null, items: [], asked: new Set(), error: null });
  }

  async start() {
    try {
      const { people, total } = await this.fetch(0, TOGETHER);
      people.forEach((p, i) => { this.items[i] = p; });
      this.asked.add(0);
      this.total = total;
      if (this.query.sort === "name" && total <= SORTED_HERE) await this.sortHere();
    } catch (error) {
      if (error.code === "gallery.unknown_gallery") this.total = 0;
      else this.error = error;
    }
    this.changed();
  }

  fetch(skip, limit) {
    return get(at("/v1/people", { q: this.query.q, sort: this.query.sort, skip, limit }));
  }

  async sortHere() {
    const all = this.items.slice();
    for (let skip = all.length; skip < this.total; skip += AT_ONCE) all.push(...(await this.fetch(skip, AT_ONCE)).people);
    const collator = new Intl.Collator(navigator.languages, { numeric: true });
    this.items = all.sort((a, b) => collator.compare(a.name, b.name));
    this.total = all.length;
    for (let i = 0; i * TOGETHER < this.total; i += 1) this.asked.add(i);
  }

  need(from, to) {
    for (let page = Math.floor(from / TOGETHER); page * TOGETHER < to; page += 1) {
      if (this.asked.has(page)) continue;
      this.asked.add(page);
      this.fetch(page * TOGETHER, TOGETHER).then(({ people }) => {
        people.forEach((p, i) => { this.items[page * TOGETHER + i] = p; });
        this.changed();
      }, (error) => { this.asked.delete(page); this.error = error; this.changed(); });
    }
  }
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
  const shown = new Map();
  let source = null;
  let columns = 1;

  const where = () => address("people", { gallery: session.gallery, options: { q: query.q, sort: query.sort === "name" ? null : query.sort } });

  function load() {
    if (over) return;
    say(where());
    const mine = new List({ ...query }, () => { if (source === mine && !over) filled(); });
    source = mine;
    if (session.gallery) mine.start();
    else { mine.total = 0; filled(); }
  }

  /** Another list begins at its beginning. */
  function anew() {
    scrollTo(0, 0);
    load();
  }

  function filled() {
    shown.forEach((card) => card.remove());
    shown.clear();
    const { total, error } = source;
    if (error) foot.replaceChildren(errorBox(error));
    else if (total === 0) foot.replaceChildren(h("p", {}, query.q ? "Nobody has such a name." : "Nobody is enrolled yet."));
    else foot.replaceChildren();
    count.textContent = total ? `${total.toLocaleString()} ${total === 1 ? "person" : "people"}` : "";
    place();
    if (back !== null && total) { scrollTo(0, back); back = null; }
  }

  /** Makes the cards that are in sight, and some around them. */
  function place() {
    const total = source?.total ?? 0;
    const wide = list.clientWidth || main.clientWidth;
    const before = columns;
    columns = Math.max(1, Math.floor((wide + GAP) / (COLUMN + GAP)));
    if (before !== columns) { shown.forEach((card) => card.remove()); shown.clear(); }
    list.style.height = `${Math.ceil(total / columns) * ROW}px`;
    const top = -list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / ROW) - 6) * columns;
    const last = Math.min(total, Math.ceil((top + innerHeight) / ROW + 6) * columns);
    if (total) source.need(first, last);
    for (const [i, card] of shown) {
      // What has the focus stays, wherever it is.
      if ((i < first || i >= last) && !card.contains(document.activeElement)) { card.remove(); shown.delete(i); }
    }
    const width = (wide - (columns - 1) * GAP) / columns;
    for (let i = first; i < last; i += 1) {
      const known = shown.get(i);
      const item = known ?? card(source.items[i], i, total);
      Object.assign(item.style, { width: `${width}px`, transform: `translate(${(i % columns) * (width + GAP)}px, ${Math.floor(i / columns) * ROW}px)` });
      if (known) continue;
      shown.set(i, item);
      // In order, so that the keyboard goes through them as they stand.
      const after = [...shown.keys()].filter((k) => k > i).sort((a, b) => a - b)[0];
      list.insertBefore(item, after === undefined ? null : shown.get(after));
    }
  }

  let wait;
  let over = false;
  let due = false;
  let back = left.get(where()) ?? null;
  const moved = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; if (!over) place(); }); } };
  search.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => { query.q = search.value.trim(); anew(); }, 200); });
  addEventListener("scroll", moved, { passive: true });
  addEventListener("resize", moved);
  const add = may("enroll") && button("Enrol somebody", () => enrol("", load), "main");
  main.append(h("div", { class: "bar" }, search, sort, add), count, list, foot);
  load();
  return () => {
    left.set(where(), scrollY);
    over = true;
    clearTimeout(wait);
    removeEventListener("scroll", moved);
    removeEventListener("resize", moved);
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
