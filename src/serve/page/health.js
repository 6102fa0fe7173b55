// Health: is the service there, can it answer, what does it hold, how far do its policies reach?

import { get, may, send, session } from "./api.js";
import { ago, button, busy, errorBox, h, notice, rate, size, table, when } from "./dom.js";

const EVERY_MS = 10000;
/** Seconds over which a rate is told. */
const MEASURED = 5;
/** Less free than this share of the disk is told as a fault. */
const LOW = 0.05;

export function health(main) {
  const state = h("div", { class: "lights", role: "status" });
  const numbers = h("div", {});
  const error = h("div", {});
  const everything = may("admin") && !session.view?.galleries;
  const backups = h("div", {});
  let over = false;
  let before = null;

  const light = async (path, good, bad) => {
    const fault = await get(path).then(() => null, (e) => e);
    return lamp(!fault, fault ? `${bad}: ${fault.message}` : good);
  };

  async function look() {
    const [stats, ...lights] = await Promise.all([may("read") ? get("/v1/stats").catch((e) => e) : null,
      light("/healthz/live", "The service is there", "The service is not there"),
      light("/healthz/ready", "It can answer", "It cannot answer")]);
    if (over) return;
    state.replaceChildren(...lights);
    if (!stats) return;
    if (stats instanceof Error) return void numbers.replaceChildren(errorBox(stats));
    state.append(...faults(stats));
    // Only what changed is replaced: a reader keeps their place.
    numbers.replaceChildren(shown(stats, before));
    if (!before || performance.now() - before.at >= MEASURED * 1000) before = { at: performance.now(), work: stats.work };
  }

  async function kept() {
    if (!everything) return;
    const { backups: found } = await get("/v1/backups");
    if (over) return;
    const rows = found.map((b) => [h("a", { href: `/v1/backups/${encodeURIComponent(b.name)}`, download: b.name }, b.name), size(b.bytes), when(b.written_ms)]);
    backups.replaceChildren(rows.length ? table(["File", "Size", "Written"], rows, { label: "Backups" }) : h("p", {}, "There is no backup yet."));
  }

  const back = button("Back up now", () => busy(back, async () => {
    const done = await send("POST", "/v1/backup");
    notice(`${done.entries.toLocaleString()} entries were written.`);
    await Promise.all([kept(), look()]);
  }, error), "main");
  const check = button("Check the audit trail", () => busy(check, async () => {
    const done = await send("POST", "/v1/audit/check");
    notice(done.sound ? `${done.lines.toLocaleString()} lines, every one in its place.` : `The audit trail is broken: ${done.fault}`, !done.sound);
    await look();
  }, error));
  main.append(state, numbers);
  if (everything) {
    main.append(h("section", { class: "card" }, h("h2", {}, "Backups"), error, backups,
      h("p", { class: "small" }, "A backup holds every template. That it was fetched is in the audit trail."), h("div", { class: "actions" }, check, back)));
  }
  main.append(h("p", {}, "For programs: ", h("a", { href: "/docs" }, "the API, call by call")));
  const timer = setInterval(look, EVERY_MS);
  look();
  kept().catch((problem) => backups.replaceChildren(errorBox(problem)));
  return () => { over = true; clearInterval(timer); };
}

const lamp = (good, words) => h("p", { class: good ? "light good" : "light bad" }, words);

function faults(s) {
  const found = [];
  if (!s.audit_checked.sound) found.push(lamp(false, `The audit trail is broken: ${s.audit_checked.fault}`));
  if (s.disk && s.disk.free_bytes < LOW * s.disk.total_bytes) found.push(lamp(false, `The disk is nearly full: ${size(s.disk.free_bytes)} free`));
  for (const p of s.policies.filter((p) => !p.enough)) found.push(lamp(false, `Policy ${p.policy} denies everybody who does not say a name`));
  return found;
}

function shown(s, before) {
  const { work } = s;
  const seconds = before && (performance.now() - before.at) / 1000;
  const now = before && seconds >= MEASURED ? `${((work.answered - before.work.answered) / seconds).toFixed(1)} a second now` : null;
  const each = work.answered ? `${Math.round(work.taken_ms / work.answered)} ms each on average` : null;
  const facts = [["Version", s.version], ["Model", s.model], ["Detector", s.detector], ["Runs on", `${s.device}, ${s.precision}`],
    ["Calibration", s.calibration ?? "none"], ["Database", `${size(s.bytes)}, ${s.encrypted ? "encrypted" : "not encrypted"}`],
    ["Writes", s.writes.toLocaleString()],
    ["Disk", s.disk ? `${size(s.disk.free_bytes)} free of ${size(s.disk.total_bytes)}` : "not known"],
    ["Last backup", s.last_backup ? `${ago(s.last_backup.written_ms)} (${when(s.last_backup.written_ms)}), ${size(s.last_backup.bytes)}` : "none here"],
    ["Audit trail", `${s.audit_checked.lines.toLocaleString()} lines checked ${ago(s.audit_checked.checked_ms)}, ${s.audit_checked.sound ? "every one in its place" : "broken"}`],
    ["Requests", [`${work.answered.toLocaleString()} since ${when(work.since_ms)}`, `${work.refused.toLocaleString()} refused`, now, each].filter(Boolean).join(", ")]];
  const count = (n, none) => n === null ? none : n.toLocaleString();
  const reach = (p) => p.max_fpir === null ? "any number: asks for a name" : count(p.supports_faces, "any number, beyond what was measured");
  const left = (p) => p.supports_faces === null || p.has_faces === null ? "" : `${Math.max(0, p.supports_faces - p.has_faces).toLocaleString()} more`;
  const room = (p) => [p.policy, p.gallery, p.max_fpir === null ? "" : `${rate(p.max_fpir)} strangers`, reach(p), count(p.has_faces, "not known"), left(p), p.enough ? "yes" : "no"];
  return h("section", { class: "card" }, h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    s.galleries.length ? table(["Gallery", "People", "Faces", "Index", "Model"], s.galleries.map((g) => [g.name, g.people.toLocaleString(), g.faces.toLocaleString(), g.index, g.model]), { label: "Galleries" }) : null,
    s.policies.length ? table(["Policy", "In gallery", "Lets in at most", "Reaches (faces)", "Has", "Room for", "Enough"], s.policies.map(room), { label: "Policies" }) : null);
}
