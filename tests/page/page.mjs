// Drives the page of a running `kith serve` in headless Chromium.
// Arguments: program, folder for database and screenshots, folder of photos, Chromium.
// KITH_PAGE_MODULES: the folder with node_modules/playwright-core, where it is not beside this file.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [program, folder, photos, chromium] = process.argv.slice(2);
const modules = process.env.KITH_PAGE_MODULES;
const load = createRequire(modules ? join(modules, "package.json") : import.meta.url);
const { chromium: browserType } = load("playwright-core");
const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
const db = ["--db", join(folder, "faces")];
const shots = join(folder, "screenshots");
mkdirSync(shots, { recursive: true });

const newKey = (name, role) => execFileSync(program, ["keys", "new", name, "--role", role, ...db], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
const [key, reader] = [newKey("front desk", "admin"), newKey("a reader", "read")];

// 52 faces take their time on a machine that has other things to do.
const limits = join(folder, "limits.toml");
writeFileSync(limits, "work_seconds = 150.0\n");
const servers = [];
/** Starts a service over a database; its address. */
function serve(...place) {
  const server = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--limits", limits, ...place], { stdio: ["ignore", "pipe", "pipe"] });
  servers.push(server);
  server.said = "";
  server.stderr.on("data", (bytes) => { server.said += bytes; });
  return new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (bytes) => {
      text += bytes;
      if (text.includes("\n")) resolve(text.split("\n")[0].trim());
    });
    server.on("exit", (code) => reject(new Error(`kith serve ended with ${code}: ${server.said}`)));
  });
}
const origin = await serve(...db);

// What the camera sees: one photo, again and again.
const seen = join(folder, "camera.mjpeg");
const frame = readFileSync(join(photos, "hopper_tilt.jpg"));
writeFileSync(seen, Buffer.concat(Array(4).fill(frame)));

const faults = [];
const browser = await browserType.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-video-capture=${seen}`],
});
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, permissions: ["camera"] });
  // Refusals that a step asks for show up in the console too; every other message is a fault.
  let expected = [];
  const asked = [];
  async function watched(own) {
    const page = await context.newPage();
    page.setDefaultTimeout(120000);
    page.on("request", (r) => {
      asked.push(`${r.method()} ${new URL(r.url()).pathname}`);
      if (!r.url().startsWith(`${own}/`) && !/^(blob|data):/.test(r.url())) faults.push(`request to ${r.url()}`);
    });
    page.on("pageerror", (e) => faults.push(`page error: ${e.message}`));
    page.on("console", (m) => {
      const refused = expected.some((status) => m.text().startsWith("Failed to load resource") && m.text().includes(status));
      if (["error", "warning"].includes(m.type()) && !refused) faults.push(`console: ${m.text()}`);
    });
    return page;
  }
  const page = await watched(origin);

  /** Pictures of the view on a desk, on a phone and on a narrow one, light and dark: none wider than its screen, and
   *  nothing in any that axe-core finds fault with. */
  const shoot = async (name, fullPage = false) => {
    for (const [width, height] of [[1280, 800], [390, 844], [320, 640]]) {
      for (const colorScheme of ["light", "dark"]) {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme });
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wider > 0) faults.push(`${name} is ${wider} px wider than ${width} px`);
        const tabs = await page.locator("nav a").evaluateAll((links) => links.map((l) => l.getBoundingClientRect()).filter((r) => r.width && (r.left < 0 || r.right > innerWidth)).length);
        if (tabs > 0) faults.push(`${name}: ${tabs} tabs are out of reach at ${width} px`);
        await page.evaluate(axe);
        const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        for (const v of found.violations) faults.push(`${name}-${width}-${colorScheme}: ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`);
        await page.screenshot({ path: join(shots, `${name}-${width}-${colorScheme}.png`), fullPage });
      }
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
  };
  const button = (name) => page.getByRole("button", { name, exact: true });
  // Until it is shown: what the page before it has may fit the next locator, too.
  const view = async (name) => {
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { name, exact: true, level: 1 }).waitFor();
  };
  const photo = (name) => join(photos, name);
  const login = async (secret) => {
    await page.getByLabel("API key").fill(secret);
    await page.keyboard.press("Enter");
  };

  expected = ["401"];
  const first = await page.goto(origin);
  assert.match(first.headers()["content-security-policy"], /default-src 'self'/);
  await login("kith_wrong");
  await page.getByText("unknown, expired or revoked").waitFor();
  await shoot("login");
  await login(key);
  expected = [];
  await page.getByText("Nobody is enrolled yet.").waitFor();
  const cookies = await context.cookies();
  assert.ok(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === "Strict", "the cookie is HttpOnly and strict");
  console.log("ok: a wrong key is refused, the right one is not");

  const one = (name) => page.getByRole("link", { name });
  const notes = join(folder, "notes.txt");
  writeFileSync(notes, "no photo");
  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("Grace Hopper");
  expected = ["422"];
  await page.locator("dialog input[type=file]").setInputFiles([photo("no_face.jpg"), photo("astronaut.png"), notes]);
  await page.getByText("This is no photo.").waitFor();
  await button("Leave out notes.txt").click();
  await button("Leave out astronaut.png").click();
  assert.equal(await page.locator("ul.photos li").count(), 1, "one photo of several can be left out");
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await page.locator("dialog .error").waitFor();
  const told = await page.locator("dialog .error").innerText();
  assert.ok(!/refusal\.|request [0-9a-f]{8}/.test(told), `no codes in an error: ${told}`);
  await shoot("enrol-refused");
  await page.keyboard.press("Escape");
  expected = [];
  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("Grace Hopper");
  await page.locator("dialog input[type=file]").setInputFiles(photo("grace_hopper.jpg"));
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await one(/Grace Hopper/).waitFor();
  await page.waitForFunction(() => document.querySelector(".face img")?.naturalWidth > 0);
  await page.getByText("1 person", { exact: true }).waitFor();
  await shoot("people");
  console.log("ok: enrolled, with a thumbnail; a photo without a face is refused in words; one of several photos is left out");

  await view("Identify");
  await page.locator("input[type=file]").setInputFiles(photo("hopper_tilt.jpg"));
  await page.getByRole("heading", { name: "Face 1: Grace Hopper" }).waitFor();
  const painted = (colour) => page.evaluate((wanted) => {
    const c = document.querySelector("canvas");
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += data[i] === wanted[0] && data[i + 1] === wanted[1] && data[i + 2] === wanted[2];
    return count;
  }, colour);
  assert.ok(await painted([11, 122, 95]) > 200, "a box is drawn");
  await shoot("identify", true);
  await button("Watch live").click();
  await page.getByText(/^Grace Hopper \d+%$/).waitFor();
  await shoot("live");
  await button("Stop").click();
  console.log("ok: identified, with a box; whoever is before the camera is named");

  // A crowd, from the faces of two photos.
  const sources = ["grace_hopper.jpg", "astronaut.png"].map((name) => `data:image/${name.endsWith("png") ? "png" : "jpeg"};base64,${readFileSync(photo(name)).toString("base64")}`);
  const crowd = async (columns, rows, side, parts) => {
    const url = await page.evaluate(async ([sources, columns, rows, side, parts]) => {
      const images = await Promise.all(sources.map((src) => new Promise((done) => { const i = new Image(); i.onload = () => done(i); i.src = src; })));
      const c = document.createElement("canvas");
      Object.assign(c, { width: columns * side, height: rows * side * 1.2 });
      for (let i = 0; i < columns * rows; i += 1) {
        const n = i % 2;
        c.getContext("2d").drawImage(images[n], ...parts[n], (i % columns) * side, Math.floor(i / columns) * side * 1.2, side, side * 1.2);
      }
      return c.toDataURL("image/jpeg", 0.95);
    }, [sources, columns, rows, side, parts]);
    return { name: "crowd.jpg", mimeType: "image/jpeg", buffer: Buffer.from(url.split(",")[1], "base64") };
  };
  const [wide, close] = [[[60, 0, 400, 480], [60, 0, 320, 384]], [[150, 60, 220, 260], [165, 30, 130, 155]]];
  for (const [columns, rows, side, parts, name] of [[3, 2, 300, wide, "six"], [13, 4, 120, close, "crowd"]]) {
    await page.locator("input[type=file]").setInputFiles(await crowd(columns, rows, side, parts));
    await page.waitForFunction((least) => document.querySelectorAll("li.found").length >= least, columns * rows * 0.9);
    const faces = await page.locator("li.found").count();
    await page.getByText(`${faces} faces,`).waitFor();
    assert.equal(await page.locator("li.found .number").allInnerTexts().then((t) => t.join()), Array.from({ length: faces }, (_, i) => i + 1).join(), "the list has the same numbers");
    assert.equal(await page.locator("li.found .cut canvas").count(), faces, "and each face cut out");
    assert.equal(await page.evaluate(() => document.querySelector("main > .scroll > canvas").dataset.labels), name === "crowd" ? "numbers" : "words");
    const high = await page.evaluate(() => document.querySelector("main").scrollHeight);
    assert.ok(high < 4000, `${faces} faces are told in ${high} px`);
    await page.setViewportSize({ width: 390, height: 844 });
    const onPhone = await page.evaluate(() => document.querySelector("main").scrollHeight);
    assert.ok(onPhone < 5000, `on a phone ${faces} faces are told in ${onPhone} px`);
    await shoot(name, true);
  }
  // From unknown to named: a click on a face that nobody knows, a name, and the photo is asked about again.
  await page.locator("input[type=file]").setInputFiles(await crowd(3, 2, 300, wide));
  await page.getByText("6 faces, 3 of them known").waitFor();
  const unknown = await page.locator("li.found", { hasText: "unknown" }).first().getAttribute("id");
  const number = Number(unknown.split("-")[1]);
  const [answered] = await Promise.all([
    page.waitForResponse((r) => r.url().includes("/v1/identify")),
    page.locator("input[type=file]").setInputFiles(await crowd(3, 2, 300, wide)),
  ]);
  const { faces: six, width: wideOf } = await answered.json();
  assert.deepEqual(six.map((f) => f.number), [1, 2, 3, 4, 5, 6], "each face has its number");
  await page.getByText("6 faces, 3 of them known").waitFor();
  const at = await page.evaluate(([box, wideOf]) => {
    const canvas = document.querySelector("main > .scroll > canvas");
    canvas.scrollIntoView({ block: "center" });
    const { left, top, width } = canvas.getBoundingClientRect();
    const scale = width / wideOf;
    return [left + (box.x0 + box.x1) / 2 * scale, top + (box.y0 + box.y1) / 2 * scale];
  }, [six[number - 1].box, wideOf]);
  await page.mouse.click(...at);
  await page.getByRole("heading", { name: `Enrol face ${number}` }).waitFor();
  assert.equal(await page.getByRole("dialog").locator("canvas").count(), 1, "the face that was clicked is shown");
  const dialogButton = (name) => page.getByRole("dialog").getByRole("button", { name, exact: true });
  await shoot("enrol-face");
  await page.getByLabel("Whose face is it?").fill("Eileen Collins");
  await page.keyboard.press("Enter");
  await page.getByText("6 faces, 6 of them known").waitFor();
  await page.getByRole("heading", { name: `Face ${number}: Eileen Collins` }).waitFor();
  await page.waitForFunction((id) => document.activeElement?.id === id, unknown);
  // Somebody whom the gallery knows as somebody else is refused, with what can be done about it; by keyboard this time.
  const known = page.locator("li.found", { hasText: "Grace Hopper" }).first();
  await known.getByRole("button", { name: /^Enrol as well/ }).focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Whose face is it?").fill("Somebody Else");
  expected = ["409"];
  await page.keyboard.press("Enter");
  await dialogButton("Enrol it all the same").waitFor();
  await page.getByText("If it is that person, enrol it under their name.").waitFor();
  await shoot("enrol-face-refused");
  await page.keyboard.press("Escape");
  expected = [];
  const collins = await fetch(`${origin}/v1/people/Eileen%20Collins`, { headers: { authorization: `Bearer ${key}` } }).then((a) => a.json());
  assert.ok(collins.person.thumbnail, "whoever is enrolled on the page has a picture");
  await fetch(`${origin}/v1/people/Eileen%20Collins`, { method: "DELETE", headers: { authorization: `Bearer ${key}` } });
  console.log("ok: an unknown face is clicked and named, and the photo has its name; a refusal says what to do");

  const overlaps = await page.evaluate(async () => {
    const { place } = await import("/assets/labels.js");
    const pen = document.createElement("canvas").getContext("2d");
    const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
    return [[3, 2, 200, 150], [13, 4, 90, 16]].map(([columns, rows, side, gap]) => {
      const faces = Array.from({ length: columns * rows }, (_, i) => [gap + (i % columns) * (side + gap), gap + Math.floor(i / columns) * (side + gap)]).map(([x, y]) => [x, y, x + side, y + side]);
      const found = place(pen, faces, faces.map((_, i) => `Somebody Called ${i} 91%`), [columns * (side + gap) + gap, rows * (side + gap) + gap], 1);
      const labels = found.labels.map((l) => l.edges);
      const bad = labels.filter((l, i) => faces.some((f) => meet(l, f)) || labels.some((o, j) => i !== j && meet(l, o))).length;
      return [found.numbers, bad];
    });
  });
  assert.deepEqual(overlaps, [[false, 0], [true, 0]], "no label lies on a face or on another");
  const percents = await page.evaluate(async () => { const { percent } = await import("/assets/dom.js"); return [percent(49.97, 1), percent(49.7, 0), percent(50, 1), percent(null, 1), percent(100, 1)]; });
  assert.deepEqual(percents, ["49.9%", "49%", "50.0%", "", "99.9%"], "what is unknown is never rounded up to the half, nor anything to certainty");
  console.log("ok: of six faces the names stand beside them, of a crowd numbers, with a list of crops");

  await view("Compare");
  await page.locator("input[type=file]").nth(0).setInputFiles(photo("grace_hopper.jpg"));
  await page.locator("input[type=file]").nth(1).setInputFiles(photo("hopper_tilt.jpg"));
  asked.length = 0;
  await button("Compare").click();
  await page.getByText("The same person", { exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelector("canvas.drawn")?.width > 300);
  assert.equal(asked.filter((r) => r === "POST /v1/compare").length, 1, "one request answers all");
  assert.equal(await page.locator("img.preview:visible").count(), 0, "each photo is shown once");
  await shoot("compare", true);
  const rateBefore = await page.locator("dd").nth(2).textContent();
  const bubbleBefore = await page.locator("output.bubble").textContent();
  const pixels = () => page.evaluate(() => document.querySelector("canvas.drawn").toDataURL());
  await page.getByLabel("Threshold").focus();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await page.locator("dd").nth(2).textContent(), rateBefore, "another threshold means other rates");
  assert.notEqual(await page.locator("output.bubble").textContent(), bubbleBefore, "the handle says its value");
  // A face that is half somebody else's: one person at the usual threshold, and two at the strictest.
  const half = await page.evaluate(async (sources) => {
    const images = await Promise.all(sources.map((src) => new Promise((done) => { const i = new Image(); i.onload = () => done(i); i.src = src; })));
    const c = Object.assign(document.createElement("canvas"), { width: 400, height: 484 });
    const pen = c.getContext("2d");
    pen.drawImage(images[0], 64, -12, 400, 484, 0, 0, 400, 484);
    pen.globalAlpha = 0.55;
    pen.drawImage(images[1], 128, -4, 191, 242, 0, 0, 400, 484);
    return c.toDataURL("image/png").split(",")[1];
  }, sources);
  await page.locator("input[type=file]").nth(1).setInputFiles({ name: "half.png", mimeType: "image/png", buffer: Buffer.from(half, "base64") });
  await button("Compare").click();
  await page.getByText("The same person", { exact: true }).waitFor();
  const drawnBefore = await pixels();
  await page.getByLabel("Threshold").focus();
  await page.keyboard.press("End");
  await page.getByText("Different people", { exact: true }).waitFor();
  assert.match(await page.locator("canvas.drawn").getAttribute("aria-label"), /different people/);
  assert.notEqual(await pixels(), drawnBefore, "the picture goes with the slider");
  await page.locator("input[type=file]").nth(1).setInputFiles(photo("astronaut.png"));
  assert.equal(await page.locator(".verdict").count(), 0, "what was said of other photos is gone");
  await button("Compare").click();
  await page.getByText("Different people", { exact: true }).waitFor();
  assert.match(await page.locator("canvas.drawn").getAttribute("aria-label"), /different people/);
  await page.locator("input[type=file]").nth(1).setInputFiles(photo("no_face.jpg"));
  await button("Compare").click();
  await page.getByText("Undecided", { exact: true }).waitFor();
  await shoot("undecided", true);
  console.log("ok: compared; picture, handle and rates go with the slider; each photo is there once");

  await view("Audit trail");
  await page.getByRole("cell", { name: "identify", exact: true }).first().waitFor();
  await page.getByRole("cell", { name: "refused: auth.wrong_key", exact: true }).waitFor();
  assert.equal(await page.getByRole("cell", { name: "log in", exact: true }).count(), 2, "log-ins are in the trail, refused ones too");
  const trail = await page.locator("tbody").innerText();
  assert.ok(!/\d{13}/.test(trail), "times are for people");
  await shoot("audit");
  await page.getByLabel("What").fill("identify");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => [...document.querySelectorAll("tbody tr")].length > 0 && [...document.querySelectorAll("tbody tr")].every((r) => r.children[2].textContent === "identify"));
  assert.match(page.url(), /#audit\?action=identify$/);
  const lines = await page.locator("tbody tr").count();
  const [saved] = await Promise.all([page.waitForEvent("download"), button("Export CSV").click()]);
  const csv = readFileSync(await saved.path(), "utf8").trim().split("\r\n");
  assert.ok(csv[0].startsWith('"seq","at"') && csv.length === lines + 1, `${csv.length} rows for ${lines} lines`);
  await page.getByLabel("About whom").fill("nobody of this name");
  await page.keyboard.press("Enter");
  await page.getByText("No line is like that.").waitFor();
  await button("Everything").click();
  await page.getByRole("cell", { name: "log in", exact: true }).first().waitFor();
  console.log("ok: the trail is filtered and kept as a file");

  await view("Keys");
  await button("Make a key").click();
  await page.getByLabel("What it is for").fill("a kiosk");
  await page.getByLabel(/identify: /).check();
  await shoot("keys-make");
  await button("Make it").click();
  const made = await page.getByLabel("The key").inputValue();
  assert.match(made, /^kith_[0-9a-f]{8}_[0-9a-f]{64}$/);
  await page.keyboard.press("Escape");
  await button("Revoke a kiosk").waitFor();
  await shoot("keys");
  const asKiosk = () => fetch(`${origin}/session`, { headers: { authorization: `Bearer ${made}` } }).then((a) => a.status);
  assert.equal(await asKiosk(), 200, "the key opens");
  await button("Revoke a kiosk").click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByRole("cell", { name: /^revoked/ }).waitFor();
  assert.equal(await asKiosk(), 401, "and opens no longer");
  console.log("ok: a key is made, works, and is revoked");

  await view("Health");
  await page.getByText("It can answer").waitFor();
  await page.getByRole("cell", { name: "main", exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "the API, call by call" }).getAttribute("href"), "/docs");
  await button("Back up now").click();
  const backup = page.getByRole("link", { name: /^kith-.*\.bak$/ });
  await backup.waitFor();
  const [copy] = await Promise.all([page.waitForEvent("download"), backup.click()]);
  assert.ok(readFileSync(await copy.path()).length > 1000, "the backup is downloaded");
  await button("Check the audit trail").click();
  await page.locator(".notice", { hasText: /lines, every one in its place/ }).waitFor();
  await page.locator("dd", { hasText: /free of/ }).waitFor();
  await page.locator("dd", { hasText: /every one in its place/ }).waitFor();
  await shoot("health");
  console.log("ok: the audit trail and health are shown");

  // Of several faces the one that is meant is clicked.
  await view("People");
  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("One of Two");
  expected = ["422", "409"];
  await page.locator("dialog input[type=file]").setInputFiles(photo("two_faces.jpg"));
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await page.getByText("Click the one that is meant.").waitFor();
  await page.waitForFunction(() => document.querySelectorAll("dialog .which canvas").length === 2);
  await shoot("enrol-which");
  const two = await fetch(`${origin}/v1/identify`, { method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "image/jpeg" }, body: readFileSync(photo("two_faces.jpg")) }).then((a) => a.json());
  const stranger = two.faces.find((f) => !f.name).number;
  await page.getByRole("dialog").getByRole("button", { name: `Face ${stranger}` }).click();
  await one(/One of Two/).waitFor();
  expected = [];
  await fetch(`${origin}/v1/people/One%20of%20Two`, { method: "DELETE", headers: { authorization: `Bearer ${key}` } });
  console.log("ok: of several faces the one that is clicked is enrolled");

  await view("Health");
  await view("People");
  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("G. M. Hopper");
  expected = ["409"];
  await page.locator("dialog input[type=file]").setInputFiles(photo("hopper_tilt.jpg"));
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await button("Enrol it all the same").click();
  await one(/G\. M\. Hopper/).waitFor();
  expected = [];
  await one(/G\. M\. Hopper/).click();
  await page.getByRole("heading", { name: "G. M. Hopper", level: 1 }).waitFor();
  assert.match(decodeURIComponent(page.url()), /#people\/main\/G\. M\. Hopper$/, "a person has an address");
  await page.getByLabel("Is the same person as").fill("Grace Hopper");
  await button("Merge").click();
  await page.getByRole("heading", { name: "Merge the two?" }).waitFor();
  await shoot("merge");
  await page.getByRole("dialog", { name: "Merge the two?" }).getByRole("button", { name: "Merge", exact: true }).click();
  await page.getByRole("heading", { name: "Grace Hopper", level: 1 }).waitFor();
  await page.getByText(/^2 faces, enrolled/).waitFor();
  console.log("ok: a likeness is told before enrolling; two people are made one");

  await page.getByLabel("New group").fill("navy");
  await page.keyboard.press("Enter");
  await button("Take off group navy").waitFor();
  await page.getByLabel("New label").fill("rank");
  await page.getByLabel("Its value").fill("rear admiral");
  await page.keyboard.press("Enter");
  await page.getByText("rank: rear admiral").waitFor();
  await page.waitForFunction(() => document.querySelector("ul.faces img")?.naturalWidth > 0);
  await shoot("person", true);
  await button("Take off group navy").click();
  await button("Take off group navy").waitFor({ state: "detached" });
  await page.getByLabel("Name", { exact: true }).fill("Admiral Hopper");
  await button("Rename").click();
  await page.getByRole("heading", { name: "Admiral Hopper", level: 1 }).waitFor();
  await page.goto(`${origin}/#people/main/Admiral%20Hopper`);
  await page.reload();
  await page.getByRole("heading", { name: "Admiral Hopper", level: 1 }).waitFor();
  await button("Forget this person").click();
  await page.getByRole("heading", { name: "Forget Admiral Hopper?" }).waitFor();
  await shoot("forget");
  await button("Cancel").click();
  await button("Forget this person").click();
  await button("Forget").click();
  await page.getByText("Nobody is enrolled yet.").waitFor();
  console.log("ok: groups, labels and name are changed in place; forgotten only after the question was answered with yes");

  // Many people: what is in sight is made, the rest is there.
  const bearer = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const names = ["Zoë Zuckerman", "Émile Zola", "Eve Adams", "Ada Lovelace", ...Array.from({ length: 300 }, (_, i) => `Person ${i + 1}`)];
  for (const name of names) {
    const answer = await fetch(`${origin}/v1/people`, { method: "POST", headers: bearer, body: JSON.stringify({ name }) });
    assert.equal(answer.status, 201, await answer.text());
  }
  await view("Health");
  await view("People");
  await page.getByText("304 people", { exact: true }).waitFor();
  const shownFirst = () => page.locator("ul.people strong").evaluateAll((found) => found.slice(0, 4).map((e) => e.textContent).join());
  assert.equal(await shownFirst(), "Ada Lovelace,Émile Zola,Eve Adams,Person 1", "in the reader's order");
  assert.ok(await page.locator("ul.people li").count() < 120, "what is far away is not made");
  const even = await page.locator("ul.people li").evaluateAll((items) => new Set(items.map((i) => `${Math.round(i.getBoundingClientRect().width)}x${i.getBoundingClientRect().height}`)).size);
  assert.equal(even, 1, "cards are equal");
  await shoot("many");
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await one(/Zoë Zuckerman/).click();
  await page.getByRole("heading", { name: "Zoë Zuckerman", level: 1 }).waitFor();
  await page.goBack();
  await one(/Zoë Zuckerman/).waitFor();
  await page.getByLabel("Order").selectOption("newest");
  await page.waitForFunction(() => document.querySelector("ul.people strong")?.textContent === "Person 300");
  assert.match(page.url(), /#people\/main\?sort=newest$/);
  await page.getByLabel("Search by name").fill("zola");
  await page.getByText("1 person", { exact: true }).waitFor();
  console.log("ok: 304 people are one list, sorted, with an address");

  // The photo library: photos of two people, and one of a face that is half the one and half the other.
  await page.goto(`${origin}/#library`);
  await page.getByText("There are no photos yet").waitFor();
  await shoot("library-empty");
  const album = join(folder, "album");
  mkdirSync(album);
  for (const name of ["grace_hopper.jpg", "hopper_tilt.jpg", "astronaut.png", "astronaut_q30.jpg", "two_faces.jpg"]) writeFileSync(join(album, name), readFileSync(photo(name)));
  const blend = await page.evaluate(async (sources) => {
    const images = await Promise.all(sources.map((src) => new Promise((done) => { const i = new Image(); i.onload = () => done(i); i.src = src; })));
    const c = Object.assign(document.createElement("canvas"), { width: 400, height: 484 });
    const pen = c.getContext("2d");
    pen.drawImage(images[0], 64, -12, 400, 484, 0, 0, 400, 484);
    pen.globalAlpha = 0.6;
    pen.drawImage(images[1], 128, -4, 191, 242, 0, 0, 400, 484);
    return c.toDataURL("image/png").split(",")[1];
  }, sources);
  writeFileSync(join(album, "blend.png"), Buffer.from(blend, "base64"));
  for (const words of [["library", "add", album], ["cluster"]]) execFileSync(program, [...words, ...db], { stdio: ["ignore", "pipe", "pipe"] });
  const library = async () => {
    await page.goto(`${origin}/#health`);
    await page.getByRole("heading", { name: "Health", level: 1 }).waitFor();
    await page.getByRole("link", { name: "Library", exact: true }).click();
    await page.getByRole("heading", { name: "People in photos", level: 1 }).waitFor();
  };
  const groups = page.locator("ul.groups > li");
  const counts = (text) => page.locator("p.count", { hasText: text }).waitFor();
  await library();
  await counts("2 people");
  await page.waitForFunction(() => [...document.querySelectorAll("ul.groups img")].every((i) => i.naturalWidth > 0));
  const hopperCard = groups.filter({ hasText: "3 faces in 3 photos" });
  await hopperCard.getByRole("button", { name: /^Who is this\?/ }).click();
  await page.keyboard.type("Grace Hopper");
  await page.keyboard.press("Enter");
  await page.getByText("Grace Hopper is named.").waitFor();
  await groups.first().getByText("Grace Hopper").waitFor();
  await shoot("library");
  // Hidden, and shown again.
  await groups.nth(1).getByRole("button", { name: /^More about/ }).click();
  await page.getByRole("heading", { name: /^Is the same person as/ }).waitFor();
  await shoot("library-more");
  await dialogButton("Hide").click();
  await counts("1 person");
  await page.getByLabel("Which").selectOption("hidden");
  await groups.first().getByText("Who is this?").waitFor();
  await groups.first().getByRole("button", { name: /^More about/ }).click();
  await dialogButton("Show again").click();
  await page.getByText("Nobody is like that.").waitFor();
  await page.getByLabel("Which").selectOption("");
  await counts("2 people");
  console.log("ok: people in photos are named in place, hidden and shown");

  // One face of Hopper's is another person's; dragging the group back makes them one again.
  await page.getByRole("link", { name: "Photos of Grace Hopper" }).click();
  await page.getByRole("heading", { name: "Grace Hopper", level: 1 }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("ul.pictures .fit img").length === 3 && [...document.querySelectorAll("ul.pictures .fit img")].every((i) => i.naturalWidth > 0));
  assert.equal(await page.locator("ul.pictures .mark.meant").count(), 3, "each photo has a box for the face");
  await shoot("photos-person");
  await page.getByRole("link", { name: "Faces", exact: true }).click();
  await page.locator("button.pickface").nth(1).focus();
  await page.keyboard.press("Enter");
  await page.getByText("1 face chosen").waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll(".pickface img")].every((i) => i.naturalWidth > 0));
  await shoot("faces-person");
  await button("Another person's").click();
  await page.getByText(/They are group \d+ now/).waitFor();
  await library();
  await counts("3 people");
  await groups.filter({ hasText: "1 face in 1 photo" }).locator(".best").dragTo(groups.filter({ hasText: "Grace Hopper" }).locator(".best"));
  await page.getByRole("heading", { name: "Are they the same person?" }).waitFor();
  await shoot("library-merge");
  await dialogButton("Merge").click();
  await counts("2 people");
  await groups.filter({ hasText: "Grace Hopper" }).getByText("3 faces in 3 photos").waitFor();
  console.log("ok: a face is parted from a group, and the group is dragged back");

  // In a photo a face is clicked to say whose it is.
  await page.goto(`${origin}/#photos`);
  await page.waitForFunction(() => document.querySelectorAll("ul.pictures .fit img").length === 6 && [...document.querySelectorAll("ul.pictures .fit img")].every((i) => i.naturalWidth > 0));
  await shoot("photos");
  await page.getByRole("link", { name: /astronaut_q30\.jpg/ }).click();
  await page.waitForFunction(() => document.querySelector(".large-photo img")?.naturalWidth > 0);
  const [boxed, drawn] = await Promise.all([page.locator(".facebox").boundingBox(), page.locator(".large-photo img").boundingBox()]);
  assert.ok(boxed.x > drawn.x && boxed.x + boxed.width < drawn.x + drawn.width && boxed.y > drawn.y && boxed.y + boxed.height < drawn.y + drawn.height, "the box is on the photo");
  await page.locator(".facebox").click();
  await page.getByLabel("Whose face is it?").fill("Eileen Collins");
  await shoot("photo-correct");
  await page.keyboard.press("Enter");
  await page.locator(".facebox .facename", { hasText: "Eileen Collins" }).waitFor();
  await shoot("photo");
  console.log("ok: a face in a photo is clicked and named");

  // The blend is nobody's: is it Grace Hopper?
  const { photos: found } = await fetch(`${origin}/v1/library/photos`, { headers: bearer }).then((a) => a.json());
  const [half_] = found.find((p) => p.files[0].endsWith("blend.png")).faces;
  const parted = await fetch(`${origin}/v1/library/groups/${half_.who.group}/split`, { method: "POST", headers: bearer, body: JSON.stringify({ faces: [half_.id] }) });
  assert.equal(parted.status, 200, await parted.text());
  await page.goto(`${origin}/#questions`);
  await page.getByRole("heading", { name: "Is this the same person?", level: 1 }).waitFor();
  const pairOf = () => page.locator(".side h2").allInnerTexts();
  await page.locator(".side img.large").nth(1).waitFor();
  const asked1 = await pairOf();
  const questions = () => fetch(`${origin}/v1/library/questions`, { headers: bearer }).then((a) => a.json());
  const open_ = await questions();
  const calledAs = (g) => g.name ?? `Group ${g.id}`;
  assert.deepEqual(asked1, [open_.questions[0].one, open_.questions[0].other].map(calledAs), "the first question is asked first");
  const doubts = open_.questions.map((q) => Math.abs(q.likeness - q.line));
  assert.deepEqual(doubts, [...doubts].sort((a, b) => a - b), "the most doubtful first");
  assert.ok(open_.questions.some((q) => q.one.name === "Grace Hopper"), "the blend is asked about");
  await page.waitForFunction(() => [...document.querySelectorAll(".side img")].every((i) => i.naturalWidth > 0));
  await shoot("questions");
  await page.keyboard.press("n");
  await page.waitForFunction((pair) => !document.querySelector("[aria-busy]") && [...document.querySelectorAll(".side h2")].map((e) => e.innerText).join() !== pair, asked1.join());
  assert.equal((await questions()).total, open_.total - 1, "what was answered is not asked again");
  console.log("ok: a question is answered, and not asked again");

  // What was said to be no face is taken back.
  await fetch(`${origin}/v1/library/faces/${half_.id}`, { method: "PATCH", headers: bearer, body: JSON.stringify({ not_face: true }) });
  await library();
  await page.getByRole("link", { name: "1 face said to be none" }).click();
  await page.getByRole("button", { name: `It is a face: face ${half_.id}` }).waitFor();
  await shoot("photos-no-faces");
  await page.getByRole("button", { name: `It is a face: face ${half_.id}` }).click();
  await page.getByText("Nothing was said to be no face.").waitFor();
  console.log("ok: what was said to be no face is one again");

  // The name of somebody else is not given unasked.
  const before_ = await fetch(`${origin}/v1/library/groups`, { headers: bearer }).then((a) => a.json());
  const spare = before_.groups.find((g) => g.name !== "Grace Hopper");
  const grace = before_.groups.find((g) => g.name === "Grace Hopper");
  await library();
  await page.getByRole("button", { name: `More about ${calledAs(spare)}`, exact: true }).click();
  await page.getByLabel("Who is it?").fill("grace hopper");
  expected = ["409"];
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Same person as Grace Hopper?" }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll("dialog[open] .pair img")].length >= 2);
  await shoot("library-same-name");
  await page.getByRole("button", { name: "Cancel" }).last().click();
  expected = [];
  const after_ = await fetch(`${origin}/v1/library/groups`, { headers: bearer }).then((a) => a.json());
  assert.equal(after_.total, before_.total, "nothing is merged where nobody said so");
  assert.equal(after_.groups.find((g) => g.id === grace.id).faces, grace.faces);
  console.log("ok: a name that somebody has is asked about");

  // A crowd: a label is on no face, and the list says which number is whose.
  await page.route("**/v1/library/photos/4711", (route) => route.fulfill({ json: { id: 4711, files: ["crowd.jpg"], taken: null, width: 1600, height: 800, fault: null,
    faces: Array.from({ length: 60 }, (_, i) => ({ id: i + 1, good: true, who: i % 2 ? { group: i + 1, name: `Somebody with a long name ${i + 1}` } : null, box: { x0: 20 + (i % 15) * 105, y0: 40 + Math.floor(i / 15) * 185, x1: 100 + (i % 15) * 105, y1: 140 + Math.floor(i / 15) * 185 } })) } }));
  await page.route("**/v1/library/photos/4711/picture?*", (route) => route.fulfill({ contentType: "image/svg+xml", body: '<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="800"><rect width="1600" height="800" fill="#789"/></svg>' }));
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.goto(`${origin}/#photos?photo=4711`);
  await page.waitForFunction(() => document.querySelector(".large-photo")?.clientWidth > 900 && [...document.querySelectorAll(".facename")].at(-1).getBoundingClientRect().top > 600);
  const hidden_ = await page.evaluate(() => {
    const of = (e) => e.getBoundingClientRect();
    const [boxes, names] = [[...document.querySelectorAll(".facebox")].map(of), [...document.querySelectorAll(".facename")].map(of)];
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    return names.filter((n, i) => boxes.some((b, j) => j !== i && meet(n, b)) || names.some((o, j) => j !== i && meet(n, o))).length;
  });
  await shoot("photo-crowd");
  assert.equal(hidden_, 0, `${hidden_} labels lie on another face or label`);
  await page.unroute("**/v1/library/photos/4711");
  await page.unroute("**/v1/library/photos/4711/picture?*");
  console.log("ok: labels of a crowd cover no face");

  // 25,000 photos: to the end, the last is there, and nothing holds the page for long.
  await page.route("**/v1/library/photos?*", (route) => {
    const asked_ = new URL(route.request().url()).searchParams;
    const [skip, limit] = [Number(asked_.get("skip")), Number(asked_.get("limit"))];
    const many = Array.from({ length: Math.min(limit, 25000 - skip) }, (_, i) => ({ id: skip + i + 1, files: [`/photos/IMG_${skip + i + 1}.jpg`], taken: null, width: 400, height: 300, fault: null,
      faces: [{ id: skip + i + 1, good: true, who: null, box: { x0: 150, y0: 80, x1: 250, y1: 200 } }] }));
    return route.fulfill({ json: { photos: many, total: 25000 } });
  });
  await page.route("**/v1/library/photos/*/picture?*", (route) => route.fulfill({ contentType: "image/svg+xml", body: '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300"><rect width="400" height="300" fill="#798"/></svg>' }));
  await page.goto(`${origin}/#photos`);
  await page.getByText("IMG_1.jpg").first().waitFor();
  await page.evaluate(() => { window.long = []; new PerformanceObserver((list) => list.getEntries().forEach((e) => window.long.push(e.duration))).observe({ type: "longtask" }); });
  for (let i = 1; i <= 40; i += 1) {
    await page.evaluate((part) => scrollTo(0, document.documentElement.scrollHeight * part), i / 40);
    await page.waitForTimeout(50);
  }
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await page.getByText("IMG_25000.jpg").first().waitFor();
  const [tasks, made_] = await page.evaluate(() => [window.long, document.querySelectorAll("ul.pictures > li").length]);
  await shoot("photos-many");
  console.log(`ok: 25,000 photos to the end: ${made_} made, ${tasks.length} tasks over 50 ms, the longest ${Math.max(0, ...tasks).toFixed(0)} ms`);
  assert.ok(made_ < 300, "what is far away is not made");
  // A machine that has other things to do is no reason to fail.
  assert.ok(Math.max(0, ...tasks) < 1500, `a task of ${Math.max(0, ...tasks).toFixed(0)} ms`);
  // Pictures that come into sight are fetched until the view is left.
  await library();
  await page.unroute("**/v1/library/photos?*");
  await page.unroute("**/v1/library/photos/*/picture?*");

  // 50,000 groups of five kinds: what is in sight is made and fetched, also after a leap.
  let fetched = 0;
  await page.route("**/v1/library/groups?*", (route) => {
    const asked_ = new URL(route.request().url()).searchParams;
    const [skip, limit] = [Number(asked_.get("skip")), Number(asked_.get("limit"))];
    fetched += 1;
    const many = Array.from({ length: Math.min(limit, 50000 - skip) }, (_, i) => ({ id: skip + i + 1, name: i % 2 ? `Person ${skip + i + 1}` : null, kept: false, hidden: false, faces: 3, photos: 2, best_face: null, best_photo: null }));
    return route.fulfill({ json: { groups: many, total: 50000 } });
  });
  await library();
  await counts("50,000 people");
  const usual = await page.evaluate(async () => {
    const frames = [];
    let last = performance.now();
    for (let i = 0; i < 60; i += 1) {
      scrollBy(0, 400);
      await new Promise(requestAnimationFrame);
      frames.push(performance.now() - last);
      last = performance.now();
    }
    return frames.sort((a, b) => a - b)[frames.length >> 1];
  });
  // A machine that has other things to do is no reason to fail; making all of them at once would take seconds.
  assert.ok(usual < 500, `half of the frames take more than ${usual.toFixed(0)} ms`);
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await groups.filter({ hasText: "Person 50000" }).waitFor();
  assert.ok(await groups.count() < 250, "what is far away is not made");
  assert.ok(fetched < 40, `${fetched} requests for what was in sight`);
  const inOrder = await groups.evaluateAll((items) => items.map((i) => Number(i.getAttribute("aria-posinset"))));
  assert.deepEqual(inOrder, [...inOrder].sort((a, b) => a - b), "the keyboard goes through them as they stand");
  await shoot("library-many");
  await page.unroute("**/v1/library/groups?*");
  console.log(`ok: 50,000 people are one list; a frame took ${usual.toFixed(0)} ms in the median`);
  await page.goto(`${origin}/#people`);

  await button("Log out").click();
  await page.getByLabel("API key").waitFor();
  await login(reader);
  await page.getByRole("heading", { name: "People" }).waitFor();
  await page.goto(`${origin}/#library`);
  await groups.filter({ hasText: "Grace Hopper" }).waitFor();
  assert.equal(await page.locator("ul.groups button").count(), 0, "a reader corrects nothing");
  await page.goto(`${origin}/#people`);
  await page.getByRole("heading", { name: "People" }).waitFor();
  for (const name of ["Audit trail", "Keys", "Identify"]) assert.equal(await page.getByRole("link", { name, exact: true }).count(), 0, `a reader has no ${name}`);
  assert.equal(await button("Enrol somebody").count(), 0, "a reader enrols nobody");
  console.log("ok: logged out; a reader sees what a reader may");

  const open = await serve("--db", join(folder, "open"));
  const keyless = await watched(open);
  await keyless.goto(open);
  await keyless.getByText("no keys: everybody may do everything").waitFor();
  await keyless.getByRole("button", { name: "Enrol somebody" }).click();
  await keyless.getByLabel("Name", { exact: true }).fill("Eileen Collins");
  await keyless.locator("dialog input[type=file]").setInputFiles(photo("astronaut.png"));
  await keyless.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await keyless.getByRole("link", { name: /Eileen Collins/ }).waitFor();
  assert.equal(await keyless.getByRole("button", { name: "Log out" }).count(), 0, "nobody is logged in, so nobody logs out");
  console.log("ok: without keys the page needs no log-in on this machine");
  assert.deepEqual(faults, []);
  console.log("ok: nothing left the origin, and the console is empty");
} finally {
  if (faults.length) console.error(faults);
  await browser.close();
  for (const server of servers) {
    server.removeAllListeners("exit");
    const ended = new Promise((done) => server.on("exit", done));
    server.kill("SIGTERM");
    await ended;
  }
}
