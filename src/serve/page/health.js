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
  const table = (names, rows) => h("div", { class: "wide" }, h("table", { class: "cards" },
    h("thead", {}, h("tr", {}, names.map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((v, i) => h("td", { "data-label": names[i] }, String(v))))))));
  const count = (n, none) => n === null ? none : n.toLocaleString("en");
  const room = (p) => [p.policy, p.gallery, p.max_fpir === null ? "any number: asks for a name" : count(p.supports_faces, "any number"),
    count(p.has_faces, "not known"), p.enough ? "yes" : "no: everybody without a name is denied"];
  return h("section", { class: "card" }, h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    s.galleries.length ? table(heads, s.galleries.map((g) => [g.name, g.people, g.faces, g.index, g.model])) : null,
    s.policies.length ? table(["Policy", "In gallery", "Supports faces", "Has faces", "Enough"], s.policies.map(room)) : null);
}
