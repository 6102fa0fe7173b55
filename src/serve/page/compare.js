// Compare: two photos, the similarity picture, and what another threshold would say.

import { at, get, may, photoForm, send } from "./api.js";
import { button, busy, h, percent, rate } from "./dom.js";
import { picker, preview } from "./photo.js";

export function compare(main) {
  const photos = { a: null, b: null };
  const error = h("div", {});
  const result = h("div", { "aria-live": "polite" });
  const go = button("Compare", () => busy(go, run, error), "main");
  go.disabled = true;
  const side = (name, label) => {
    const shown = h("div", {});
    return h("div", {}, picker(label, (photo) => {
      photos[name] = photo;
      shown.replaceChildren(preview(photo, label));
      go.disabled = !(photos.a && photos.b);
    }), shown);
  };

  // Numbers and picture in one answer, so that the networks run once.
  const ask = (query = {}) => send("POST", at("/v1/compare", { with_picture: true, ...query }, false), { form: photoForm(photos) });

  async function run() {
    result.replaceChildren();
    const answer = await ask();
    const drawn = h("img", { class: "drawn", alt: answer.caption.join(". "), src: answer.picture });
    result.replaceChildren(h("div", { class: "wide" }, drawn));
    if (answer.undecided) return void result.append(h("p", { class: "error" }, answer.undecided.reason));
    const calibration = may("read") ? await get("/v1/calibration").catch(() => null) : null;
    result.append(calibration ? slider(answer, calibration.points, drawn)
      : h("p", {}, answer.caption.join(" "), h("br"), "No error rates are known to this key or of this model."));
    return undefined;
  }

  function slider(answer, points, drawn) {
    const { distance, similarity } = answer.verdict;
    const threshold = answer.verdict.threshold.distance;
    const order = [...points].sort((x, y) => y.distance - x.distance);
    const nearest = order.reduce((best, p, i) => Math.abs(p.distance - threshold) < Math.abs(order[best].distance - threshold) ? i : best, 0);
    const input = h("input", { type: "range", id: "line", min: 0, max: order.length - 1, step: 1, value: nearest });
    const verdict = h("p", { class: "verdict" });
    const rates = h("dl", {});
    const pairs = answer.pairs.length;
    const update = () => {
      const p = order[input.value];
      const same = distance <= p.distance;
      verdict.textContent = same ? "The same person" : "Different people";
      verdict.className = same ? "verdict same" : "verdict other";
      input.setAttribute("aria-valuetext", `distance ${p.distance.toFixed(3)}, false matches ${rate(p.fmr)}`);
      const row = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
      rates.replaceChildren(...[
        row("Distance of these two", distance.toFixed(3) + (similarity === null ? "" : ` (similarity ${similarity.toFixed(1)}%)`)),
        row("Threshold", p.distance.toFixed(3)),
        row("Different people taken for one", rate(p.fmr) + (pairs > 1 ? `, over these ${pairs} pairs at most ${rate(Math.min(1, p.fmr * pairs))}` : "")),
        row("One person taken for two", percent(p.fnmr)),
        row("Rests on", `${p.impostors_below.toLocaleString("en")} pairs of different people`)].flat());
    };
    input.addEventListener("input", update);
    input.addEventListener("change", () => busy(input, async () => {
      const again = await ask({ max_fmr: order[input.value].fmr });
      Object.assign(drawn, { src: again.picture, alt: again.caption.join(". ") });
    }));
    update();
    return h("section", { class: "card" }, verdict, h("label", { for: "line" }, "Threshold"), input,
      h("div", { class: "ends small" }, h("span", {}, "lenient"), h("span", {}, "strict")), rates);
  }

  main.append(h("div", { class: "two" }, side("a", "First photo"), side("b", "Second photo")), h("div", { class: "bar" }, go), error, result);
}
