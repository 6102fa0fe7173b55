// Identify: boxes with names, on a photo or live. Of a crowd numbers, and the names in the list.

import { at, may, photoForm, send, session } from "./api.js";
import { address } from "./address.js";
import { button, busy, errorBox, h, percent, unseen } from "./dom.js";
import { crop, frame, place, sizes, write } from "./labels.js";
import { enrolFace } from "./name.js";
import { camera, picker, still } from "./photo.js";

const KNOWN = "#0b7a5f";
const STRANGE = "#b93c0a";
// From so many faces on, what is told of each is folded up.
const FEW = 3;
const CROP = 128;
/** In a crowd a face is at least so wide on the screen, in pixels. */
const LEAST_FACE = 56;

const boxOf = (face, scale) => [face.box.x0, face.box.y0, face.box.x1, face.box.y1].map((v) => v * scale);
const similar = (face) => percent(face.candidates[0]?.similarity ?? null, 0);
const label = (face) => face.name ? `${face.name} ${similar(face)}`.trim() : `${face.number} unknown`;

/** Draws the picture with its faces; boxes are in pixels of the upright photo. Face number `chosen` is drawn strong. */
function draw(canvas, picture, width, height, answer, chosen = -1) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, width, height);
  if (!answer) return;
  const boxes = answer.faces.map((f) => boxOf(f, width / answer.width));
  const placed = () => place(pen, boxes, answer.faces.map(label), [width, height], width / (canvas.clientWidth || width));
  canvas.classList.remove("large");
  canvas.style.width = "";
  let { labels, numbers } = placed();
  // A crowd that is too small to be seen on this screen is larger than the screen.
  const sides = boxes.map((b) => b[2] - b[0]).sort((a, b) => a - b);
  const wanted = Math.min(width, width * LEAST_FACE / (sides[sides.length >> 1] ?? width));
  if (numbers && wanted > canvas.clientWidth) {
    canvas.classList.add("large");
    canvas.style.width = `${wanted}px`;
    ({ labels, numbers } = placed());
  }
  // As large on the screen whatever the photo's size.
  const unit = width / (canvas.clientWidth || width);
  answer.faces.forEach((face, i) => {
    frame(pen, boxes[i], sizes(boxes[i], unit).line * (i === chosen ? 2.5 : 1), face.name ? KNOWN : STRANGE);
  });
  answer.faces.forEach((face, i) => write(pen, labels[i], face.name ? KNOWN : STRANGE));
  canvas.dataset.labels = numbers ? "numbers" : "words";
}

const line = (face) => !face.threshold ? "Nobody is enrolled in this gallery yet: name a face to begin." : `Taken for somebody up to a distance of ${face.threshold.distance.toFixed(3)}, among ${face.searched.toLocaleString()} enrolled ${face.searched === 1 ? "face" : "faces"}`
  + (face.threshold.max_fpir ? `; at most ${(face.threshold.max_fpir * 100).toFixed(1)}% of strangers are taken for somebody` : "")
  + (face.threshold.extrapolated ? " (beyond what was measured)" : "") + ".";

function nearest(face) {
  if (!face.candidates.length) return h("p", { class: "small" }, "Nobody is enrolled to compare with.");
  return h("table", {}, h("thead", {}, h("tr", {}, ["Nearest", "Similarity", "Distance"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, face.candidates.map((c) => h("tr", { class: c.within ? "within" : "" },
      h("td", {}, c.name), h("td", {}, percent(c.similarity, 1)), h("td", {}, c.distance.toFixed(3))))));
}

/** The face, cut out of the picture that the browser shows; else as the service has cut it. */
function cutOf(face, answer, picture) {
  if (picture) return crop(picture, boxOf(face, 1), picture.width / answer.width, CROP);
  return h("span", { class: "face" }, face.crop ? h("img", { src: face.crop, alt: "" }) : String(face.number));
}

function told(answer, picture, point, name) {
  const { faces } = answer;
  if (!faces.length) return [h("p", {}, "No face was found.")];
  const known = faces.filter((f) => f.name).length;
  const count = `${faces.length} ${faces.length === 1 ? "face" : "faces"}, ${known} of them known`;
  const cards = faces.map((face, i) => {
    const cut = cutOf(face, answer, picture);
    cut.setAttribute("aria-hidden", "true");
    const who = face.name && may("read") ? h("a", { href: address("people", { gallery: session.gallery, person: face.name }) }, face.name) : face.name ?? "unknown";
    const facts = h("details", { open: faces.length <= FEW }, h("summary", { class: "small" }, "The nearest"), nearest(face));
    const more = face.name ? similar(face) && `${similar(face)} alike` : face.candidates.length ? `nearest: ${face.candidates[0].name}` : "";
    return h("li", { class: "card found", id: `face-${i + 1}`, tabindex: "-1", onpointerenter: () => point(i), onpointerleave: () => point(-1), onfocusin: () => point(i) },
      h("span", { class: "cut" }, cut, h("span", { class: face.name ? "number" : "number strange", "aria-hidden": "true" }, String(i + 1))),
      h("div", {}, h("h2", {}, `Face ${i + 1}: `, who), more && h("p", { class: "small" }, more)), may("enroll") && enrolButton(face, name), facts);
  });
  return [h("p", {}, h("strong", {}, count), ". ", h("span", { class: "small" }, line(faces[0]))), h("ul", { class: faces.length <= FEW ? "found few" : "found" }, cards)];
}

function enrolButton(face, name) {
  const act = button(face.name ? "Enrol as well" : "Enrol this face as...", () => name(face), face.name ? "little across" : "little across wanted");
  act.append(unseen(`(face ${face.number})`));
  return act;
}

export function identify(main) {
  const canvas = h("canvas", { role: "img", "aria-label": "The photo, with a box and a name or number for each face" });
  const stage = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The photo", hidden: true }, canvas);
  const result = h("div", { "aria-live": "polite" });
  let running = null;
  let turn = 0;
  let drawn = null;

  const identified = (photo, with_crops) => send("POST", at("/v1/identify", { with_crops }), { form: photoForm({ file: photo }) });
  /** Who is in the photo. Where nobody is enrolled everybody is unknown, and can be named all the same. */
  async function ask(photo, crops = false) {
    try {
      return await identified(photo, crops ? 1 : null);
    } catch (error) {
      if (error.code !== "gallery.unknown_gallery") throw error;
      const found = await send("POST", at("/v1/detect"), { form: photoForm({ file: photo }) });
      return { ...found, faces: found.faces.map((f, i) => ({ ...f, number: i + 1, name: null, candidates: [] })) };
    }
  }
  /** Names a face of the photo, and asks again who is in it. */
  const naming = (photo, picture, answer) => (face) => enrolFace({
    photo, number: face.number, cut: cutOf(face, answer, picture),
    done: () => one(photo).then(() => document.getElementById(`face-${face.number}`)?.focus()),
  });
  const redraw = (chosen = -1) => { if (drawn) draw(canvas, drawn.picture, drawn.picture.width, drawn.picture.height, drawn.answer, chosen); };

  // A click on a face leads to what is told of it; on one whom nobody knows, to naming it.
  canvas.addEventListener("click", (event) => {
    if (!drawn?.answer) return;
    const scale = drawn.answer.width / canvas.clientWidth;
    const { left, top } = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - left) * scale, (event.clientY - top) * scale];
    const hit = drawn.answer.faces.findIndex(({ box }) => x >= box.x0 && x <= box.x1 && y >= box.y0 && y <= box.y1);
    document.getElementById(`face-${hit + 1}`)?.focus();
    const face = drawn.answer.faces[hit];
    if (face && !face.name && may("enroll")) drawn.name(face);
  });

  async function one(photo) {
    stop();
    const mine = ++turn;
    drawn = null;
    result.replaceChildren(h("p", {}, "Looking..."));
    try {
      const picture = await createImageBitmap(photo).catch(() => null);
      stage.hidden = !picture;
      if (picture) draw(canvas, picture, picture.width, picture.height, null);
      const answer = await ask(photo, !picture);
      if (mine !== turn) return;
      const name = naming(photo, picture, answer);
      if (picture) { drawn = { picture, answer, name }; redraw(); }
      result.replaceChildren(...told(answer, picture, redraw, name));
    } catch (error) {
      if (mine === turn) result.replaceChildren(errorBox(error));
    }
  }

  function stop() {
    running?.stop();
    running = null;
    live.textContent = "Watch live";
  }

  async function watch(mine) {
    const camera_ = await camera();
    if (mine !== turn) return camera_.stop();
    running = camera_;
    live.textContent = "Stop";
    stage.hidden = false;
    drawn = null;
    while (running === camera_ && mine === turn) {
      const frame_ = await still(camera_.video, 640);
      const answer = await ask(new File([frame_], "live.jpg", { type: "image/jpeg" }));
      if (running !== camera_ || mine !== turn) break;
      // The frame that was asked about, so that the boxes stand where the faces are.
      const picture = await createImageBitmap(frame_);
      draw(canvas, picture, picture.width, picture.height, answer);
      result.replaceChildren(h("p", {}, answer.faces.length ? answer.faces.map((f) => f.name ? label(f) : "unknown").join(", ") : "No face in sight."));
    }
    return undefined;
  }

  const live = button("Watch live", () => {
    const mine = ++turn;
    if (running) { stop(); return; }
    busy(live, async () => { result.replaceChildren(); }).then(() => watch(mine).catch((error) => {
      stop();
      if (mine === turn) result.replaceChildren(errorBox(error));
    }));
  });
  const resized = () => redraw();
  addEventListener("resize", resized);
  main.append(picker("Who is in this photo?", one), h("div", { class: "bar" }, live), stage, result);
  return () => { turn += 1; stop(); removeEventListener("resize", resized); };
}
