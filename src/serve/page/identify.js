// Identify: boxes with names, on a photo or live.

import { at, photoForm, send } from "./api.js";
import { button, busy, errorBox, h } from "./dom.js";
import { camera, picker, still } from "./photo.js";

/** Draws the picture with its faces; boxes are in pixels of the upright photo. */
function draw(canvas, picture, width, height, answer) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, width, height);
  if (!answer) return;
  const scale = width / answer.width;
  // As large on the screen whatever the photo's size.
  const dot = width / (canvas.clientWidth || width);
  pen.font = `600 ${15 * dot}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const face of answer.faces) {
    const { x0, y0, x1, y1 } = face.box;
    pen.strokeStyle = pen.fillStyle = face.name ? "#0f9d6e" : "#c2410c";
    pen.lineWidth = 3 * dot;
    pen.strokeRect(x0 * scale, y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale);
    const text = label(face);
    const wide = Math.min(pen.measureText(text).width + 14 * dot, width);
    const high = 26 * dot;
    const left = Math.max(0, Math.min(x0 * scale - 1.5 * dot, width - wide));
    const top = y0 * scale >= high ? y0 * scale - high : Math.min(y1 * scale, height - high);
    pen.fillRect(left, top, wide, high);
    pen.fillStyle = "#fff";
    pen.fillText(text, left + 7 * dot, top + high / 2, wide - 14 * dot);
  }
}

// Null where the model has no calibration.
const percent = (similarity, digits) => similarity === null ? "" : `${similarity.toFixed(digits)}%`;
const label = (face) => face.name ? `${face.name} ${percent(face.candidates[0].similarity, 0)}`.trim() : "unknown";

function told(answer) {
  if (!answer.faces.length) return [h("p", {}, "No face was found.")];
  return answer.faces.map((face, i) => h("section", { class: "card" },
    h("h2", {}, `Face ${i + 1}: ${face.name ?? "unknown"}`),
    face.candidates.length ? h("table", {}, h("thead", {}, h("tr", {}, ["Nearest", "Similarity", "Distance"].map((t) => h("th", {}, t)))),
      h("tbody", {}, face.candidates.map((c) => h("tr", { class: c.within ? "within" : "" },
        h("td", {}, c.name), h("td", {}, percent(c.similarity, 1)), h("td", {}, c.distance.toFixed(3)))))) : null,
    h("p", { class: "small" }, `Taken for somebody up to a distance of ${face.threshold.distance.toFixed(3)}, among ${face.searched} enrolled ${face.searched === 1 ? "face" : "faces"}`
      + (face.threshold.max_fpir ? `; at most ${(face.threshold.max_fpir * 100).toFixed(1)}% of strangers are taken for somebody` : "")
      + (face.threshold.extrapolated ? " (beyond what was measured)" : "") + ".")));
}

export function identify(main) {
  const canvas = h("canvas", { role: "img", "aria-label": "The photo, with a box and a name for each face", hidden: true });
  const result = h("div", { "aria-live": "polite" });
  let running = null;
  let turn = 0;

  const ask = (photo) => send("POST", at("/v1/identify"), { form: photoForm({ file: photo }) });

  async function one(photo) {
    stop();
    const mine = ++turn;
    result.replaceChildren(h("p", {}, "Looking..."));
    try {
      const picture = await createImageBitmap(photo).catch(() => null);
      if (picture) { canvas.hidden = false; draw(canvas, picture, picture.width, picture.height, null); }
      const answer = await ask(photo);
      if (mine !== turn) return;
      if (picture) draw(canvas, picture, picture.width, picture.height, answer);
      result.replaceChildren(...told(answer));
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
    canvas.hidden = false;
    while (running === camera_ && mine === turn) {
      const frame = await still(camera_.video, 640);
      const answer = await ask(new File([frame], "live.jpg", { type: "image/jpeg" }));
      if (running !== camera_ || mine !== turn) break;
      // The frame that was asked about, so that the boxes stand where the faces are.
      const picture = await createImageBitmap(frame);
      draw(canvas, picture, picture.width, picture.height, answer);
      result.replaceChildren(h("p", {}, answer.faces.length ? answer.faces.map(label).join(", ") : "No face in sight."));
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
  main.append(picker("Who is in this photo?", one), h("div", { class: "bar" }, live), canvas, result);
  return () => { turn += 1; stop(); };
}
