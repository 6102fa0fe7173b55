// Drives the API page at /docs of a running service in headless Chromium.
// Arguments: origin, key, folder for screenshots, folder of photos, Chromium.
// KITH_PAGE_MODULES: the folder with node_modules/playwright-core, where it is not beside this file.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const [origin, key, shots, photos, chromium] = process.argv.slice(2);
const modules = process.env.KITH_PAGE_MODULES;
const { chromium: browserType } = createRequire(modules ? join(modules, "package.json") : import.meta.url)("playwright-core");

const faults = [];
const browser = await browserType.launch({ executablePath: chromium, args: ["--no-sandbox"] });
try {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  page.setDefaultTimeout(60000);
  page.on("request", (r) => { if (!r.url().startsWith(`${origin}/`) && !/^(blob|data):/.test(r.url())) faults.push(`request to ${r.url()}`); });
  page.on("pageerror", (e) => faults.push(`page error: ${e.message}`));
  page.on("console", (m) => { if (["error", "warning"].includes(m.type()) && !m.text().includes("401")) faults.push(`console: ${m.text()}`); });

  const api = await (await fetch(`${origin}/openapi.json`)).json();
  const described = Object.values(api.paths).flatMap((item) => Object.keys(item).filter((k) => ["get", "post", "put", "patch", "delete"].includes(k)));
  const first = await page.goto(`${origin}/docs`);
  assert.match(first.headers()["content-security-policy"], /default-src 'self'/);
  await page.locator(".call").first().waitFor();
  assert.equal(await page.locator(".call").count(), described.length, "every call is there");

  const call = async (method, path) => {
    const card = page.locator(`.call[data-call="${method} ${path}"]`);
    await card.locator("summary").first().click();
    return card;
  };
  const answered = async (card, status) => {
    await card.getByRole("button", { name: "Send" }).click();
    await card.locator(".status").getByText(status).waitFor();
    return card.locator(".answer pre").first().innerText();
  };

  const stats = await call("get", "/v1/stats");
  assert.match(await answered(stats, "401"), /auth\.no_key/);
  await page.getByLabel("API key").fill(key);
  assert.equal(JSON.parse(await answered(stats, "200")).galleries.length, 0);
  console.log("ok: a call is refused without a key and answered with one");

  const add = await call("post", "/v1/people");
  await add.getByLabel("Body").fill(JSON.stringify({ name: "Grace Hopper", groups: ["navy"] }));
  assert.equal(JSON.parse(await answered(add, "201")).name, "Grace Hopper");
  const enroll = await call("post", "/v1/people/{name}/faces");
  await enroll.locator("input[name=name]").fill("Grace Hopper");
  await enroll.locator("input[type=file]").setInputFiles(join(photos, "grace_hopper.jpg"));
  assert.equal(JSON.parse(await answered(enroll, "201")).status, "added");
  const batch = await call("post", "/v1/batch/identify");
  await batch.locator("input[type=file]").setInputFiles(["hopper_tilt.jpg", "no_face.jpg"].map((p) => join(photos, p)));
  const items = JSON.parse(await answered(batch, "200")).items;
  assert.deepEqual(items.map((i) => i.answer.faces.map((f) => f.name)), [["Grace Hopper"], []]);
  console.log("ok: JSON, a photo and several photos are sent");

  const compare = await call("post", "/v1/compare");
  await compare.locator("input[name=a]").setInputFiles(join(photos, "grace_hopper.jpg"));
  await compare.locator("input[name=b]").setInputFiles(join(photos, "hopper_tilt.jpg"));
  await compare.locator("select[name=picture]").selectOption("true");
  await compare.getByRole("button", { name: "Send" }).click();
  await compare.locator(".answer img").waitFor();
  console.log("ok: a picture is shown");

  for (const width of [1280, 375]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wider > 0) faults.push(`/docs is ${wider} px wider than ${width} px`);
      await page.screenshot({ path: join(shots, `docs-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.getByLabel("Find a call").fill("compreface subjects");
  assert.ok((await page.locator(".call:visible").count()) >= 6, "CompreFace's calls are found");
} finally {
  await browser.close();
}
assert.deepEqual(faults, []);
console.log("every call is described, and nothing left the origin");
