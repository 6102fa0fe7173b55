// Compare: two photos, the similarity picture, and what another threshold would say.

import { at, get, may, photoForm, send } from "./api.js";
import { button, busy, h, keep, percent, rate, share } from "./dom.js";
import { drawPair } from "./pair.js";
import { picker, preview } from "./photo.js";

export function compare(main) {
  const photos = { a: null, b: null };
  const pictures = { a: null, b: null };
  const error = h("div", {});
  const result = h("div", { "aria-live": "polite" });
  const go = button("Compare", () => busy(go, run, error), "main");
  let redraw = () => {};
  go.disabled = true;
  const shown = { a: h("div", {}), b: h("div", {}) };
  const side = (name, label) => h("div", {}, picker(label, (photo) => {
    photos[name] = photo;
    // What was said is of other photos.
    result.replaceChildren();
    redraw = () => {};
    for (const one of ["a", "b"]) shown[one].hidden = false;
    shown[name].replaceChildren(preview(photo, label));
    pictures[name] = createImageBitmap(photo).catch(() => null);
    go.disabled = !(photos.a && photos.b);
  }), shown[name]);

  const ask = (query = {}, accept = "application/json") => send("POST", at("/v1/compare", query, false), { form: photoForm(photos), accept });

  async function run() {
    result.replaceChildren();
    const [a, b] = await Promise.all([pictures.a, pictures.b]);
    // Where this browser cannot show a photo, the service draws: numbers and picture in one answer, so that the networks
    // run once.
    const here = a && b;
    const [answer, calibration] = await Promise.all([ask(here ? {} : { with_picture: true }),
      may("read") ? get("/v1/calibration").catch(() => null) : null]);
    const drawn = here ? h("canvas", { class: "drawn", role: "img" }) : h("img", { class: "drawn", src: answer.picture });
    drawn.setAttribute(here ? "aria-label" : "alt", answer.caption.join(". "));
    result.replaceChildren(h("div", { class: "stage" }, drawn));
    // Each photo is on the page once.
    for (const one of ["a", "b"]) shown[one].hidden = true;
    const told = (threshold) => {
      const similarity = (pair) => {
        if (!answer.verdict) return null;
        if (threshold === answer.verdict.threshold.distance) return pair.similarity;
        return calibration ? 100 / (1 + Math.exp(-calibration.slope * (threshold - pair.distance))) : null;
      };
      const fact = (pair) => {
        const alike = similarity(pair);
        return { text: alike === null ? `distance ${pair.distance.toFixed(3)}` : percent(alike, 1), percent: alike };
      };
      const best = answer.best === null ? null : answer.pairs[answer.best];
      return (isLeft, face) => {
        const mine = answer.pairs.filter((p) => (isLeft ? p.left : p.right) === face);
        if (!mine.length) return null;
        if (best && (isLeft ? best.left : best.right) === face) return fact(best);
        return fact(mine.reduce((x, y) => (y.distance < x.distance ? y : x)));
      };
    };
    let threshold = answer.verdict?.threshold.distance ?? null;
    redraw = () => here && drawPair(drawn, { picture: a, ...answer.left }, { picture: b, ...answer.right },
      answer.best === null ? null : answer.pairs[answer.best], told(threshold));
    redraw();
    const save = button("Save the picture", () => busy(save, async () =>
      keep("comparison.png", await ask(threshold === null ? {} : { threshold }, "image/png"), "image/png"), error));
    if (answer.undecided) {
      result.append(h("p", { class: "verdict" }, "Undecided"), h("p", {}, answer.undecided.reason), save);
      return;
    }
    result.append(calibration ? slider(answer, calibration.points, (distance) => {
      threshold = distance;
      redraw();
    }, here ? null : async (distance) => {
      const again = await ask({ with_picture: true, threshold: distance });
      Object.assign(drawn, { src: again.picture, alt: again.caption.join(". ") });
    }, drawn) : h("p", {}, answer.caption.join(" "), h("br"), "No error rates are known to this key or of this model."), save);
  }

  function slider(answer, points, moved, settled, drawn) {
    const { distance } = answer.verdict;
    const first = answer.verdict.threshold.distance;
    const order = [...points].sort((x, y) => y.distance - x.distance);
    const nearest = order.reduce((best, p, i) => Math.abs(p.distance - first) < Math.abs(order[best].distance - first) ? i : best, 0);
    const input = h("input", { type: "range", id: "line", min: 0, max: order.length - 1, step: 1, value: nearest });
    const bubble = h("output", { for: "line", class: "bubble" });
    const verdict = h("p", { class: "verdict" });
    const rates = h("dl", {});
    const pairs = answer.pairs.length;
    const update = () => {
      const p = order[input.value];
      moved(p.distance);
      const same = distance <= p.distance;
      verdict.textContent = same ? "The same person" : "Different people";
      verdict.className = same ? "verdict same" : "verdict other";
      drawn.setAttribute(drawn.localName === "img" ? "alt" : "aria-label", `Two photos: ${verdict.textContent.toLowerCase()}, at a distance of ${distance.toFixed(3)}`);
      const said = `distance ${p.distance.toFixed(3)}, false matches ${rate(p.fmr)}`;
      input.setAttribute("aria-valuetext", said);
      bubble.textContent = `${p.distance.toFixed(3)} · ${rate(p.fmr)}`;
      const along = order.length > 1 ? input.value / (order.length - 1) : 0;
      // The handle is about 16 pixels wide.
      bubble.style.left = `calc(${along * 100}% + ${8 - 16 * along}px)`;
      bubble.style.transform = `translateX(${-100 * along}%)`;
      const row = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
      rates.replaceChildren(...[
        row("Distance of these two", distance.toFixed(3)),
        row("Threshold", p.distance.toFixed(3)),
        row("Different people taken for one", rate(p.fmr) + (pairs > 1 ? `, over these ${pairs} pairs at most ${rate(Math.min(1, p.fmr * pairs))}` : "")),
        row("One person taken for two", share(p.fnmr)),
        row("Rests on", `${p.impostors_below.toLocaleString()} pairs of different people`)].flat());
    };
    input.addEventListener("input", update);
    if (settled) input.addEventListener("change", () => busy(input, () => settled(order[input.value].distance)));
    update();
    return h("section", { class: "card" }, verdict, h("label", { for: "line" }, "Threshold"),
      h("div", { class: "slide" }, bubble, input),
      h("div", { class: "ends small" }, h("span", {}, "lenient"), h("span", {}, "strict")), rates);
  }

  const resized = () => redraw();
  addEventListener("resize", resized);
  main.append(h("div", { class: "two" }, side("a", "First photo"), side("b", "Second photo")), h("div", { class: "bar" }, go), error, result);
  return () => removeEventListener("resize", resized);
}
