// Photos of the library, of everybody or of one person, with a box for each face; a face is clicked to correct it.

import { get, may, send } from "./api.js";
import { address, here, say } from "./address.js";
import { button, busy, dialog, errorBox, field, h, notice, unseen } from "./dom.js";
import { font, place } from "./labels.js";
import { bestFace, called, counted, empty, facePicture, groupDialog, groupName, path, tabs } from "./groups.js";
import { grid, Pages } from "./list.js";

/** Pixels of the longer side of a picture in the list, and of one by itself. */
const SMALL = 320;
const LARGE = 1600;

const picture = (photo, side) => path(`/photos/${photo.id}/picture`, { side });
const nameOf = (who) => who ? who.name ?? `Group ${who.group}` : "unknown";
const day = (taken) => taken ? taken.replace("T", " ").slice(0, 16) : "no date";
const baseName = (file) => file?.split(/[/\\]/).at(-1) ?? "";

/** Where a face's box stands on its photo, in percent of it. */
function placed(element, photo, { box }) {
  const of = (value, all) => `${(100 * value / all).toFixed(3)}%`;
  Object.assign(element.style, {
    left: of(box.x0, photo.width), top: of(box.y0, photo.height),
    width: of(box.x1 - box.x0, photo.width), height: of(box.y1 - box.y0, photo.height),
  });
  return element;
}

/** A photo that is no longer where it was has its faces all the same. */
function image(photo, side, alt) {
  return h("img", { src: picture(photo, side), alt, loading: "lazy", width: String(photo.width), height: String(photo.height), onerror: (event) => {
    event.target.replaceWith(h("span", { class: "away" }, "The file is not where it was, or has changed."));
  } });
}

const left = new Map();

export function photos(main) {
  const { options } = here();
  const group = options.get("group");
  const faces = group !== null && options.get("show") === "faces";
  const single = options.get("photo");
  const none = options.get("show") === "none";
  const body = h("div", {});
  const ends = [];
  main.append(tabs(group === null && single === null ? "photos" : ""), body);
  const address_ = (more = {}) => address("photos", { options: { group, show: faces ? "faces" : null, ...more } });
  if (none) ends.push(noFaces(body));
  else if (single !== null) ends.push(onePhoto(body, single, group));
  else if (group !== null) ends.push(person(main, body, group, faces, address_));
  else ends.push(all(body, { from: options.get("from") ?? "", to: options.get("to") ?? "" }));
  return () => ends.forEach((end) => end());
}

/** A list of photos, or of faces, that begins where it was left. */
function listed(place, { cards, fetch, kind, label, none, where }) {
  const list = h("ul", { class: kind, "aria-label": label });
  const foot = h("div", { class: "foot" });
  const shown = grid(list, cards);
  let source = null;
  let over = false;
  let back = left.get(where) ?? null;
  place.append(list, foot);
  function load() {
    const mine = new Pages(fetch, (from, to) => {
      if (over || source !== mine) return;
      const failed = source.error && errorBox(source.error);
      foot.replaceChildren(failed || (source.total === 0 ? none() : ""));
      shown.fill(source, from, to);
      if (back !== null && source.total) { scrollTo(0, back); back = null; }
    });
    source = mine;
    mine.start();
  }
  load();
  return { load: () => { back = scrollY; load(); }, end: () => { left.set(where, scrollY); over = true; shown.end(); } };
}

const photoCards = (group) => ({ row: 232, column: 160, card: (photo, i, total) => photoCard(photo, i, total, group) });

function photoCard(photo, i, total, group) {
  const place = { "aria-setsize": String(total), "aria-posinset": String(i + 1) };
  if (!photo) return h("li", { ...place, class: "waiting" }, h("span", { class: "frame" }));
  const who = photo.faces.map((f) => nameOf(f.who)).join(", ");
  const boxes = photo.faces.map((f) => placed(h("span", { class: String(f.who?.group) === group ? "mark meant" : "mark" }), photo, f));
  const shown = photo.fault ? h("span", { class: "away" }, photo.fault) : h("span", { class: "fit" }, image(photo, SMALL, ""), boxes);
  return h("li", place, h("a", { href: address("photos", { options: { photo: photo.id, group } }), title: photo.files[0] },
    h("span", { class: "frame", "aria-hidden": "true" }, shown),
    h("span", { class: "small" }, `${day(photo.taken)} · ${baseName(photo.files[0])}`), unseen(who ? `(${who})` : "(nobody)")));
}

function fetchPhotos(query) {
  return async (skip, limit) => {
    const found = await get(path("/photos", { ...query, skip, limit }));
    return { items: found.photos, total: found.total };
  };
}

function all(body, query) {
  const inputs = [["From", "from"], ["To", "to"]].map(([label, key]) => field(label, h("input", {
    value: query[key], name: key, placeholder: "2024-05", title: "A year, month or day: 2024, 2024-05, 2024-05-31", pattern: "[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", autocomplete: "off",
  })));
  const form = h("form", { class: "card filter dates", onsubmit: (event) => {
    event.preventDefault();
    location.hash = address("photos", { options: Object.fromEntries(new FormData(form)) });
  } }, inputs, h("div", { class: "actions" }, h("button", {}, "Show these")));
  body.append(form);
  const where = address("photos", { options: query });
  say(where);
  const none = () => query.from || query.to ? h("p", {}, "No photo was taken then.") : empty();
  return listed(body, { cards: photoCards(null), fetch: fetchPhotos(query), kind: "pictures", label: "Photos", none, where }).end;
}

/** One person: their photos, or their faces to pick out those that are not theirs. */
/** What was said to be no face, and may be one after all. */
function noFaces(body) {
  const error = h("div", { "aria-live": "polite" });
  const card = (face, i, total) => {
    const place = { "aria-setsize": String(total), "aria-posinset": String(i + 1) };
    if (!face) return h("li", { ...place, class: "waiting" }, h("span", { class: "best" }));
    const again = may("enroll") && button("It is a face", () => busy(again, async () => {
      await send("PATCH", path(`/faces/${face.id}`), { json: { not_face: false } });
      notice("It is a face again; “Group again” sorts it in.");
      list.load();
    }, error), "little");
    again?.setAttribute?.("aria-label", `It is a face: face ${face.id}`);
    return h("li", place, h("a", { class: "pickface", href: address("photos", { options: { photo: face.photo } }), "aria-label": `The photo of face ${face.id}, ${day(face.taken)}` },
      h("img", { src: facePicture(face.id), alt: "", loading: "lazy" })), again);
  };
  const fetch = async (skip, limit) => {
    const found = await get(path("/no-faces", { skip, limit }));
    return { items: found.faces, total: found.total };
  };
  body.append(h("h2", {}, "Said to be no faces"), error);
  const list = listed(body, { cards: { row: 184, column: 132, card }, fetch, kind: "facegrid", label: "Said to be no faces", none: () => h("p", {}, "Nothing was said to be no face."), where: address("photos", { options: { show: "none" } }) });
  return () => list.end();
}

function person(main, body, id, faces, where) {
  let list = null;
  let over = false;
  const error = h("div", { "aria-live": "polite" });
  const head = h("div", { class: "card whole" });
  const begin = async () => {
    try {
      const group = await get(path(`/groups/${id}`));
      if (over) return;
      const heading = main.querySelector("h1");
      heading.textContent = called(group);
      document.title = `${called(group)} - kith`;
      const more = may("enroll") && button("Name, merge, hide...", () => groupDialog(group, (now) => {
        if (now?.group && String(now.group) !== id) location.hash = address("photos", { options: { group: now.group } });
        else begin();
      }));
      const views = h("nav", { class: "tabs", "aria-label": "Of this person" }, [["Photos", null], ["Faces", "faces"]].map(([text, show]) =>
        h("a", { href: address("photos", { options: { group: id, show } }), "aria-current": (show === "faces") === faces ? "page" : null }, text)));
      head.replaceChildren(bestFace(group), h("div", {}, h("p", {}, `${counted(group.faces, "face", "faces")} in ${counted(group.photos, "photo", "photos")}`,
        group.hidden ? "; hidden" : ""), h("div", { class: "bar" }, views, more)));
    } catch (problem) {
      if (!over) body.replaceChildren(errorBox(problem));
    }
  };
  body.append(head, error);
  begin();
  const none = () => h("p", {}, "There is nothing of this group any more.");
  if (!faces) {
    list = listed(body, { cards: photoCards(id), fetch: fetchPhotos({ group: id }), kind: "pictures", label: "Photos", none, where: where() });
  } else {
    const chosen = new Set();
    const bar = h("div", { class: "card chosen", role: "region", "aria-label": "The chosen faces", hidden: true });
    const told = () => {
      bar.hidden = chosen.size === 0;
      if (bar.hidden) return;
      const act = (text, work, words) => { const b = button(text, () => busy(b, async () => {
        const now = await work([...chosen]);
        notice(words(now));
        chosen.clear();
        told();
        await begin();
        list.load();
      }, error)); return b; };
      const each = (json) => async (ids) => { for (const f of ids) await send("PATCH", path(`/faces/${f}`), { json }); };
      bar.replaceChildren(h("p", {}, `${counted(chosen.size, "face", "faces")} chosen`), h("div", { class: "bar" },
        act("Another person's", (ids) => send("POST", path(`/groups/${id}/split`), { json: { faces: ids } }), (now) => `They are group ${now.group} now.`),
        act("Not this person's", each({ not_person: true }), () => "They are not this person's."),
        act("Not faces", each({ not_face: true }), () => "They are no faces."),
        button("Choose none", () => { chosen.clear(); told(); list.load(); })));
    };
    if (may("enroll")) body.append(h("p", { class: "small" }, "Click the faces that are not this person's."), bar);
    const fetch = async (skip, limit) => {
      const found = await get(path(`/groups/${id}/faces`, { skip, limit }));
      return { items: found.faces, total: found.total };
    };
    const card = (face, i, total) => {
      const place = { "aria-setsize": String(total), "aria-posinset": String(i + 1) };
      if (!face) return h("li", { ...place, class: "waiting" }, h("span", { class: "best" }));
      const shown = h("img", { src: facePicture(face.id), alt: "", loading: "lazy" });
      const label = `Face ${face.id}, ${day(face.taken)}`;
      const pick = may("enroll") ? button("", () => {
        if (!chosen.delete(face.id)) chosen.add(face.id);
        pick.setAttribute("aria-pressed", String(chosen.has(face.id)));
        told();
      }, "pickface") : h("span", { class: "pickface" });
      pick.append(shown);
      if (may("enroll")) { pick.setAttribute("aria-pressed", String(chosen.has(face.id))); pick.setAttribute("aria-label", label); }
      return h("li", place, pick, h("a", { class: "small", href: address("photos", { options: { photo: face.photo, group: id } }), "aria-label": `The photo of face ${face.id}, ${day(face.taken)}` }, day(face.taken)));
    };
    list = listed(body, { cards: { row: 176, column: 132, card }, fetch, kind: "facegrid", label: "Faces", none, where: where() });
  }
  return () => { over = true; list?.end(); };
}

/** One photo, large, with a box for each face. */
function onePhoto(body, id, group) {
  let over = false;
  let watched = null;
  const error = h("div", { "aria-live": "polite" });
  async function load(focus = null) {
    try {
      const photo = await get(path(`/photos/${id}`));
      if (!over) fill(photo, focus);
    } catch (problem) {
      if (!over) body.replaceChildren(errorBox(problem));
    }
  }
  function fill(photo, focus) {
    const box = (face) => {
      const open = may("enroll") ? button("", () => correct(face, photo), "facebox") : h("span", { class: "facebox" });
      if (String(face.who?.group) === group) open.classList.add("meant");
      if (!face.who) open.classList.add("strange");
      open.append(h("span", { class: "facename" }, nameOf(face.who)));
      open.setAttribute(may("enroll") ? "aria-label" : "title", `Face ${face.id}: ${nameOf(face.who)}`);
      open.dataset.face = face.id;
      return placed(open, photo, face);
    };
    const people = photo.faces.map((f, i) => h("li", {}, h("span", { class: "ordinal", hidden: true }, `${i + 1}.`), f.who ? h("a", { href: address("photos", { options: { group: f.who.group } }) }, nameOf(f.who)) : "unknown", " ",
      may("enroll") && h("span", {}, (() => {
        const act = button("Correct", () => correct(f, photo), "little");
        act.setAttribute("aria-label", `Correct face ${f.id}: ${nameOf(f.who)}`);
        return act;
      })())));
    const shown = photo.fault ? h("p", { class: "away" }, photo.fault) : h("div", { class: "large-photo" }, image(photo, LARGE, `Photo ${baseName(photo.files[0])}`), photo.faces.map(box));
    body.replaceChildren(h("p", {}, h("a", { href: address("photos", { options: { group } }) }, group === null ? "All photos" : "Back to the photos")), error, shown,
      h("div", { class: "card" }, h("p", {}, `${day(photo.taken)}, ${photo.width} x ${photo.height}`), photo.files.map((f) => h("p", { class: "small" }, f)),
        photo.faces.length ? [h("h2", {}, "Faces"), h("ul", { class: "people-in" }, people)] : h("p", {}, "No face was found.")));
    watched?.disconnect();
    const large = body.querySelector(".large-photo");
    if (large && photo.faces.length) {
      watched = new ResizeObserver(() => write(large, photo));
      watched.observe(large);
    }
    if (focus !== null) (body.querySelector(`[data-face="${focus}"]`) ?? body.querySelector("a"))?.focus();
  }
  /** Names beside the boxes, on no face; where there is no room for all, numbers, which the list below has too. */
  function write(large, photo) {
    const [width, height] = [large.clientWidth, large.clientHeight];
    const scale = width / photo.width;
    const boxes = photo.faces.map(({ box: b }) => [b.x0, b.y0, b.x1, b.y1].map((v) => v * scale));
    const pen = document.createElement("canvas").getContext("2d");
    const { labels, numbers } = place(pen, boxes, photo.faces.map((f) => nameOf(f.who)), [width, height], 1);
    large.querySelectorAll(".facebox").forEach((open, i) => {
      const { text, edges, letters } = labels[i];
      const name = open.querySelector(".facename");
      name.textContent = text;
      // From the inner edge of the box's border.
      Object.assign(name.style, { font: font(letters), left: `${edges[0] - boxes[i][0] - open.clientLeft}px`, top: `${edges[1] - boxes[i][1] - open.clientTop}px`, width: `${edges[2] - edges[0]}px`, height: `${edges[3] - edges[1]}px`, lineHeight: `${edges[3] - edges[1]}px` });
    });
    body.querySelectorAll("ul.people-in .ordinal").forEach((number) => { number.hidden = !numbers; });
  }
  function correct(face, photo) {
    const { input, list } = groupName(face.who?.name ?? "");
    const wrong = h("div", { "aria-live": "polite" });
    const act = (control, json, words) => busy(control, async () => {
      const now = await send("PATCH", path(`/faces/${face.id}`), { json });
      box.close();
      notice(words(now));
      await load(face.id);
    }, wrong);
    const save = h("button", { class: "main" }, "Save the name");
    const form = h("form", { class: "line", onsubmit: (event) => { event.preventDefault(); act(save, { name: input.value.trim() }, (now) => `The face is ${now.name}'s.`); } },
      field("Whose face is it?", input), list, save);
    const notThem = face.who && button(`Not ${nameOf(face.who)}`, () => act(notThem, { not_person: true }, () => `It is not ${nameOf(face.who)}'s.`));
    const noFace = button("Not a face", () => act(noFace, { not_face: true }, () => "It is no face."), "danger");
    const box = dialog(`Face ${face.id}: ${nameOf(face.who)}`, h("div", { class: "whose" }, h("img", { class: "face", src: facePicture(face.id), alt: "" }), h("div", {}, form)), wrong,
      h("div", { class: "actions" }, notThem, noFace));
    box.dataset.photo = photo.id;
    input.focus();
  }
  load();
  return () => { over = true; watched?.disconnect(); };
}
