// A list of any length: entries are fetched in pages as they come near, and only what is in sight is made.

/** Entries that are fetched at once. */
export const TOGETHER = 100;
/** Rows beyond the screen that are made. */
const AROUND = 6;

/** The entries of a list by their place. `fetch(skip, limit)` answers `{ items, total }`; `changed` hears of news. */
export class Pages {
  constructor(fetch, changed) {
    Object.assign(this, { fetch, changed, total: null, items: [], asked: new Set(), error: null });
  }

  /** Fetches the first page; `then` may do more before anybody hears of it. */
  async start(then = null) {
    try {
      const { items, total } = await this.fetch(0, TOGETHER);
      items.forEach((item, i) => { this.items[i] = item; });
      this.asked.add(0);
      this.total = total;
      await then?.(this);
    } catch (error) {
      this.error = error;
    }
    this.changed();
  }

  need(from, to) {
    for (let page = Math.floor(from / TOGETHER); page * TOGETHER < to; page += 1) {
      if (this.asked.has(page)) continue;
      this.asked.add(page);
      this.fetch(page * TOGETHER, TOGETHER).then(({ items }) => {
        items.forEach((item, i) => { this.items[page * TOGETHER + i] = item; });
        this.changed(page * TOGETHER, (page + 1) * TOGETHER);
      }, (error) => { this.asked.delete(page); this.error = error; this.changed(); });
    }
  }
}

/** Shows a source's entries in `list` as cards of one height, `row` pixels with the gap below, and at least `column`
 *  pixels wide. `card(item, place, total)` makes an `li`; the item is undefined while it is fetched. */
export function grid(list, { row, column, gap = 12, card }) {
  const shown = new Map();
  let source = null;
  let due = false;
  let over = false;

  function drop(which) {
    for (const [i, item] of shown) if (which(i, item)) { item.remove(); shown.delete(i); }
  }

  /** Makes the cards that are in sight, and some around them. */
  function place() {
    const total = source?.total ?? 0;
    const wide = list.clientWidth || list.parentElement?.clientWidth || 0;
    const columns = Math.max(1, Math.floor((wide + gap) / (column + gap)));
    list.style.height = `${Math.ceil(total / columns) * row}px`;
    const top = -list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / row) - AROUND) * columns;
    const last = Math.min(total, Math.ceil((top + innerHeight) / row + AROUND) * columns);
    if (total) source.need(first, last);
    // What has the focus stays, wherever it is.
    drop((i, item) => i >= total || ((i < first || i >= last) && !item.contains(document.activeElement)));
    const width = (wide - (columns - 1) * gap) / columns;
    for (let i = first; i < last; i += 1) {
      const known = shown.get(i);
      const item = known ?? card(source.items[i], i, total);
      Object.assign(item.style, { width: `${width}px`, transform: `translate(${(i % columns) * (width + gap)}px, ${Math.floor(i / columns) * row}px)` });
      if (known) continue;
      shown.set(i, item);
      // In order, so that the keyboard goes through them as they stand.
      const after = [...shown.keys()].filter((k) => k > i).sort((a, b) => a - b)[0];
      list.insertBefore(item, after === undefined ? null : shown.get(after));
    }
  }

  const moved = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; if (!over) place(); }); } };
  addEventListener("scroll", moved, { passive: true });
  addEventListener("resize", moved);
  return {
    /** Shows another source, or what has changed in it: all, or the entries from one place to another. */
    fill(next, from = 0, to = Infinity) {
      source = next;
      drop((i) => i >= from && i < to);
      place();
    },
    end() {
      over = true;
      removeEventListener("scroll", moved);
      removeEventListener("resize", moved);
    },
  };
}
