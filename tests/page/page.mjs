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
const { chromium: browserType } = createRequire(modules ? join(modules, "package.json") : import.meta.url)("playwright-core");
const db = ["--db", join(folder, "faces")];
const shots = join(folder, "screenshots");
mkdirSync(shots, { recursive: true });

const newKey = (name, role) => execFileSync(program, ["keys", "new", name, "--role", role, ...db], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
const [key, reader] = [newKey("front desk", "admin"), newKey("a reader", "read")];

const servers = [];
/** Starts a service over a database; its address. */
function serve(...place) {
  const server = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--keep-chips", ...place], { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(server);
  return new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (bytes) => {
      text += bytes;
      if (text.includes("\n")) resolve(text.split("\n")[0].trim());
    });
    server.on("exit", (code) => reject(new Error(`kith serve ended with ${code}`)));
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
    page.setDefaultTimeout(60000);
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

  const shoot = async (name, fullPage = false) => {
    for (const width of [1280, 375]) {
      for (const colorScheme of ["light", "dark"]) {
        await page.setViewportSize({ width, height: 800 });
        await page.emulateMedia({ colorScheme });
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wider > 0) faults.push(`${name} is ${wider} px wider than ${width} px`);
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

  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("Grace Hopper");
  expected = ["422"];
  await page.locator("dialog input[type=file]").setInputFiles(photo("no_face.jpg"));
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await page.locator("dialog .error").waitFor();
  await shoot("enrol-refused");
  await page.keyboard.press("Escape");
  expected = [];
  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("Grace Hopper");
  await page.locator("dialog input[type=file]").setInputFiles(photo("grace_hopper.jpg"));
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await page.getByRole("button", { name: /Grace Hopper/ }).waitFor();
  await page.waitForFunction(() => document.querySelector(".face img")?.naturalWidth > 0);
  await shoot("people");
  console.log("ok: enrolled, with a thumbnail; a photo without a face is refused in words");

  await view("Identify");
  await page.locator("input[type=file]").setInputFiles(photo("hopper_tilt.jpg"));
  await page.getByRole("heading", { name: "Face 1: Grace Hopper" }).waitFor();
  const boxed = await page.evaluate(() => {
    const c = document.querySelector("canvas");
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    let green = 0;
    for (let i = 0; i < data.length; i += 4) green += data[i] === 15 && data[i + 1] === 157 && data[i + 2] === 110;
    return green;
  });
  assert.ok(boxed > 200, `a box is drawn (${boxed} pixels)`);
  await shoot("identify", true);
  await button("Watch live").click();
  await page.getByText(/^Grace Hopper \d+%$/).waitFor();
  await shoot("live");
  await button("Stop").click();
  console.log("ok: identified, with a box; whoever is before the camera is named");

  await view("Compare");
  await page.locator("input[type=file]").nth(0).setInputFiles(photo("grace_hopper.jpg"));
  await page.locator("input[type=file]").nth(1).setInputFiles(photo("hopper_tilt.jpg"));
  asked.length = 0;
  await button("Compare").click();
  await page.getByText("The same person", { exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelector(".drawn")?.naturalWidth > 0);
  assert.equal(asked.filter((r) => r === "POST /v1/compare").length, 1, "one request answers numbers and picture");
  await shoot("compare", true);
  const rateBefore = await page.locator("dd").nth(2).textContent();
  await page.getByLabel("Threshold").focus();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => !document.querySelector("input[type=range]").disabled);
  assert.notEqual(await page.locator("dd").nth(2).textContent(), rateBefore, "another threshold means other rates");
  console.log("ok: compared, with the picture; the slider changes the rates");

  await view("Audit trail");
  await page.getByRole("cell", { name: "identify", exact: true }).first().waitFor();
  await page.getByRole("cell", { name: "refused: auth.wrong_key", exact: true }).waitFor();
  assert.equal(await page.getByRole("cell", { name: "log in", exact: true }).count(), 2, "log-ins are in the trail, refused ones too");
  await shoot("audit");
  await view("Health");
  await page.getByText("It can answer").waitFor();
  await page.getByRole("cell", { name: "main", exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "the API, call by call" }).getAttribute("href"), "/docs");
  await shoot("health");
  console.log("ok: the audit trail and health are shown");

  await view("People");
  await button("Enrol somebody").click();
  await page.getByLabel("Name", { exact: true }).fill("G. M. Hopper");
  expected = ["409"];
  await page.locator("dialog input[type=file]").setInputFiles(photo("hopper_tilt.jpg"));
  await page.locator("dialog button", { hasText: /^Enrol$/ }).click();
  await button("Enrol it all the same").click();
  await page.getByRole("button", { name: /G\. M\. Hopper/ }).waitFor();
  expected = [];
  await page.getByRole("button", { name: /G\. M\. Hopper/ }).click();
  await page.getByLabel("Is the same person as").fill("Grace Hopper");
  await page.locator("dialog button", { hasText: /^Merge$/ }).click();
  await page.getByRole("heading", { name: "Merge the two?" }).waitFor();
  await shoot("merge");
  await page.getByRole("dialog", { name: "Merge the two?" }).getByRole("button", { name: "Merge", exact: true }).click();
  await page.getByRole("button", { name: /Grace Hopper.*2 faces/ }).waitFor();
  assert.equal(await page.getByRole("button", { name: /G\. M\. Hopper/ }).count(), 0, "whoever was merged is no more");
  console.log("ok: a likeness is told before enrolling; two people are made one");

  await page.getByRole("button", { name: /Grace Hopper/ }).click();
  await page.getByLabel("Name", { exact: true }).fill("Admiral Hopper");
  await page.waitForFunction(() => document.querySelector("ul.faces img")?.naturalWidth > 0);
  await shoot("person");
  await button("Rename").click();
  await page.getByRole("button", { name: /Admiral Hopper/ }).click();
  await button("Forget this person").click();
  await page.getByRole("heading", { name: "Forget Admiral Hopper?" }).waitFor();
  await shoot("forget");
  await button("Cancel").click();
  await button("Forget this person").click();
  await button("Forget").click();
  await page.getByText("Nobody is enrolled yet.").waitFor();
  console.log("ok: renamed; forgotten only after the question was answered with yes");

  await button("Log out").click();
  await page.getByLabel("API key").waitFor();
  await login(reader);
  await page.getByRole("heading", { name: "People" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Audit trail" }).count(), 0, "a reader has no audit trail");
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
  await keyless.getByRole("button", { name: /Eileen Collins/ }).waitFor();
  assert.equal(await keyless.getByRole("button", { name: "Log out" }).count(), 0, "nobody is logged in, so nobody logs out");
  console.log("ok: without keys the page needs no log-in on this machine");
  assert.deepEqual(faults, []);
  console.log("ok: nothing left the origin, and the console is empty");
} finally {
  if (faults.length) console.error(faults);
  await browser.close();
  for (const server of servers) {
    server.removeAllListeners("exit");
    server.kill("SIGTERM");
  }
}
