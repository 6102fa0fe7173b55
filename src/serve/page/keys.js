// Keys: made, listed and revoked by an admin.

import { get, send, session } from "./api.js";
import { ago, button, busy, confirm, dialog, errorBox, field, h, notice, table, when } from "./dom.js";

const ROLES = [["read", "see who is enrolled"], ["identify", "ask who is in a photo"], ["enroll", "enrol, change and forget people"],
  ["decide", "ask for access decisions"], ["admin", "everything"]];

export function keys(main) {
  const place = h("div", {}, h("p", {}, "Loading..."));
  const error = h("div", {});
  let over = false;

  async function load() {
    const found = await get("/v1/keys").catch((problem) => { place.replaceChildren(errorBox(problem)); return null; });
    if (over || !found) return;
    const state = (k) => k.revoked_ms ? `revoked ${when(k.revoked_ms)}` : k.valid ? (k.expires_ms ? `until ${when(k.expires_ms)}` : "valid") : `ended ${when(k.expires_ms)}`;
    const rows = found.keys.map((k) => {
      const end = k.valid && button("Revoke", async () => {
        const own = k.id === session.view.id;
        const text = `Whoever uses ${k.name} (${k.id}) is shut out from the next request on.${own ? " It is the key that you are logged in with." : ""}`;
        if (!await confirm(`Revoke ${k.name}?`, text, "Revoke")) return;
        busy(end, async () => { await send("DELETE", `/v1/keys/${k.id}`); notice(`${k.name} is revoked.`); await load(); }, error);
      }, "danger");
      end && end.setAttribute("aria-label", `Revoke ${k.name}`);
      return [k.name, k.id, k.roles.join(", "), k.galleries?.join(", ") ?? "all", h("span", { title: when(k.created_ms) }, ago(k.created_ms)), state(k), end || ""];
    });
    place.replaceChildren(rows.length ? table(["Name", "Id", "May", "Galleries", "Made", "State", "Change"], rows, { label: "Keys" })
      : h("p", {}, "There is no key: whoever reaches the service may do everything. The first key ends that."));
  }

  main.append(h("div", { class: "bar" }, button("Make a key", () => make(load), "main")), error, place);
  load();
  return () => { over = true; };
}

function make(done) {
  const name = h("input", { required: true, autocomplete: "off", maxlength: "200" });
  const roles = ROLES.map(([role, words]) => [role, h("input", { type: "checkbox", value: role }), words]);
  const galleries = h("input", { autocomplete: "off", placeholder: "all" });
  const days = h("input", { type: "number", min: "0", step: "any", placeholder: "never" });
  const wrong = h("div", {});
  const go = h("button", { class: "main" }, "Make it");
  const form = h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      busy(go, async () => {
        const only = galleries.value.split(",").map((g) => g.trim()).filter(Boolean);
        const chosen = roles.filter(([, box]) => box.checked).map(([role]) => role);
        if (!chosen.length) throw new Error("Choose at least one thing that the key may do.");
        const made = await send("POST", "/v1/keys", { json: { name: name.value.trim(), roles: chosen,
          galleries: only.length ? only : null, days: days.value ? Number(days.value) : null } });
        form.replaceWith(secret(made));
        box.addEventListener("close", done);
      }, wrong);
    },
  }, field("What it is for", name),
  h("fieldset", {}, h("legend", {}, "It may"), roles.map(([role, input, words]) => h("label", { class: "check" }, input, ` ${role}: ${words}`))),
  field("Galleries", galleries, "Names with commas between; empty is all."), field("Days until it ends", days), wrong, h("div", { class: "actions" }, go));
  const box = dialog("Make a key", form);
}

function secret({ secret: text, key }) {
  const shown = h("input", { readonly: true, value: text, class: "secret", "aria-label": "The key" });
  const copy = button("Copy", () => busy(copy, async () => { await navigator.clipboard.writeText(text); notice("Copied."); }), "main");
  return h("div", {}, h("p", {}, `This is the key ${key.name}. It is shown this once, and kept nowhere: keep it where only its user reads it.`),
    h("div", { class: "line" }, shown, copy));
}
