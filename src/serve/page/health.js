// Health: is the service there, can it answer, what does it hold?

import { get, may } from "./api.js";
import { errorBox, h } from "./dom.js";

const EVERY_MS = 10000;

export function health(main) {
  const state = h("div", { class: "lights", role: "status" });
  const numbers = h("div", {});
  let over = false;

  const light = async (path, good, bad) => {
    const error = await get(path).then(() => null, (e) => e);
    return h("p", { class: error ? "light bad" : "light good" }, error ? `${bad}: ${error.message}` : good);
  };

  async function look() {
    const lights = await Promise.all([
      light("/healthz/live", "The service is there", "The service is not there"),
      light("/healthz/ready", "It can answer", "It cannot answer")]);
    if (over) return;
    state.replaceChildren(...lights);
    if (may("read")) numbers.replaceChildren(await get("/v1/stats").then(shown, errorBox));
  }

  const timer = setInterval(look, EVERY_MS);
  main.append(state, numbers, h("p", {}, "For programs: ", h("a", { href: "/docs" }, "the API, call by call")));
  look();
  return () => { over = true; clearInterval(timer); };
}

function shown(s) {
  const facts = [["Version", s.version], ["Model", s.model], ["Detector", s.detector], ["Runs on", s.device],
    ["Calibration", s.calibration ?? "none"], ["Database", `${(s.bytes / 1048576).toFixed(1)} MiB, ${s.encrypted ? "encrypted" : "not encrypted"}`],
    ["Writes", s.writes.toLocaleString("en")]];
  const heads = ["Gallery", "People", "Faces", "Index", "Model"];
  return h("section", { class: "card" }, h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    s.galleries.length ? h("div", { class: "wide" }, h("table", { class: "cards" }, h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, s.galleries.map((g) => h("tr", {}, [g.name, g.people, g.faces, g.index, g.model].map((v, i) => h("td", { "data-label": heads[i] }, String(v)))))))) : null);
}
