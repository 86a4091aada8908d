// What the tests in a browser share. TestThePage of deploy/proof/e2e starts the servers and runs them.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after } from "node:test";
import axe from "axe-core";
import { chromium } from "playwright-core";

/** server has no keys, and publishes when it is asked to. guarded has keys. */
export const server = process.env.RECOUNT_PAGE;
export const guarded = process.env.RECOUNT_PAGE_GUARDED;
export const key = process.env.RECOUNT_PAGE_KEY;
const shots = process.env.RECOUNT_SCREENSHOTS;

/** patience only ends tests that hang. */
const patience = 20_000;

const browser = await chromium.launch({
  executablePath: process.env.RECOUNT_CHROMIUM,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
after(() => browser.close());

/** open shows a page. Its errors, and requests to origins but its own and counter, fail the test when it is closed. */
export async function open(url, { width = 1440, scheme = "light", counter = "" } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    reducedMotion: "reduce",
    acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    // The browser itself reports answers such as 401, which a test may want.
    if (message.type() === "error" && !message.text().includes("Failed to load resource"))
      errors.push(message.text());
  });
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (![new URL(url).origin, counter].includes(to.origin) && to.protocol.startsWith("http"))
      errors.push(`a request to ${to.origin}`);
  });
  await page.goto(url);
  const close = async () => {
    await context.close();
    assert.deepEqual(errors, [], "errors of the page");
  };
  return { page, close };
}

/** expectAccessible fails for everything that axe finds. */
export async function expectAccessible(page, where) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`);
  assert.deepEqual(found, [], `axe on ${where}`);
}

/** expectNoSideScroll fails when the page is wider than its window. */
export async function expectNoSideScroll(page, where) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${where} is ${over} pixels too wide`);
}

export async function screenshot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

/** readMain returns the text that a reader sees, without what could be chosen. */
function readMain() {
  let text = document.querySelector("main")?.innerText ?? "";
  for (const s of document.querySelectorAll("select")) text = text.replace(s.innerText, s.value);
  return text;
}

/** until waits until a function of the page's text returns true. */
export async function until(page, what, holds) {
  const end = Date.now() + patience;
  for (;;) {
    const text = await page.evaluate(readMain);
    if (holds(text)) return text;
    assert.ok(Date.now() < end, `the page never showed ${what}:\n${text}`);
    await page.waitForTimeout(100);
  }
}

let sent = 0;
const run = Math.random().toString(36).slice(2);

/** send counts events of the type page.viewed, each with an id of its own. */
export async function send(count, makeData, time = () => new Date()) {
  const lines = Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      id: `${run}-${sent++}`,
      type: "page.viewed",
      time: time(i).toISOString(),
      data: makeData(i),
    }),
  );
  const headers = { "Content-Type": "application/x-ndjson" };
  const response = await fetch(`${server}/v1/events`, { method: "POST", headers, body: lines.join("\n") });
  const { accepted, receipt } = await response.json();
  assert.equal(accepted, count);
  await fetch(`${server}/v1/query?view=by_page&min_through=${receipt}`);
}

/** publish publishes everything that was sent. Events can be published once they have landed, so it may take two runs. */
export async function publish() {
  const end = Date.now() + patience;
  for (;;) {
    const response = await fetch(`${server}/v1/jobs/recompute/runs`, { method: "POST" });
    assert.equal(response.status, 200, await response.text());
    const { accuracy } = await ask("view=by_page");
    if (accuracy.pending_events === 0) return;
    assert.ok(Date.now() < end, "the events were never published");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

export async function ask(query) {
  const response = await fetch(`${server}/v1/query?${query}`);
  assert.equal(response.status, 200);
  return response.json();
}
