import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, test } from "node:test";
import { ask, expectNoSideScroll, open, publish, send, server, until } from "./page.mjs";

const day = Date.parse("2026-03-02T00:00:00Z");

before(async () => {
  const pages = ["/", "/buy", "/it's", null];
  const data = (i) => ({
    page: pages[i % 4],
    country: i % 3 ? "DE" : "US",
    user: `u${i % 50}`,
    milliseconds: i,
  });
  const time = (i) => new Date(day + i * 600_000);
  await send(300, data, time);
  await publish();
  await send(40, (i) => ({ page: "/buy", country: "DE", user: `v${i}`, milliseconds: i }), time);
});

const shown = async (page, name) => {
  const tile = page.locator(".tile", { has: page.locator("dt", { hasText: name }) }).locator("b");
  return Number((await tile.innerText()).replaceAll(",", ""));
};

const march = "range=custom&from=2026-03-01&to=2026-04-01";

test("the number is the API's", async () => {
  const asked = "view=by_page&from=2026-03-01&to=2026-04-01";
  for (const [state, query] of [
    [march, ""],
    [`${march}&by=page`, "&group_by=page&totals=true"],
    [`${march}&where=page:eq:/it's`, "&where=page:eq:/it's"],
    [
      `${march}&by=page&by=country&where=country:in:DE,FR`,
      "&group_by=page,country&totals=true&where=country:in:DE,FR",
    ],
  ]) {
    const { page, close } = await open(`${server}/#explore?view=by_page&m=views&m=visitors&${state}`);
    await until(page, "an answer", (t) => t.includes("How exact is this?"));
    const answer = await ask(asked + query);
    const row = answer.totals ?? answer.rows[0];
    assert.equal(await shown(page, "views"), row.views, state);
    assert.equal(await shown(page, "visitors"), row.visitors, state);
    await close();
  }
});

test("a click asks for a group, the URL has all of it, and a missing value can be asked for", async () => {
  const { page, close } = await open(`${server}/#explore?view=by_page&m=views&${march}&by=page`);
  await page.getByRole("button", { name: "(none)" }).click();
  const { rows } = await ask("view=by_page&from=2026-03-01&to=2026-04-01&measures=views&where=page+%3D+null");
  const isOne = (t) => t.includes(`\nviews\n${rows[0].views}\n`) && t.includes("exists");
  await until(page, "one group", isOne);
  assert.match(page.url(), /where=page%3Aexists%3Afalse/);
  const again = await open(page.url());
  await until(again.page, "the same", isOne);
  await again.close();
  await page.goBack();
  await until(page, "all groups", (t) => t.includes("(none)") && t.includes("/buy"));
  await page.goForward();
  await until(page, "one group", isOne);
  await page.getByRole("button", { name: "country", exact: true }).click();
  await page.getByLabel("Show").selectOption("table");
  await until(page, "both groups", (t) => /DE/.test(t) && /US/.test(t));
  assert.match(page.url(), /by=page&by=country/);
  assert.match(page.url(), /chart=table/);
  await close();
});

test("curl, SQL and CSV say the same as the page", async () => {
  const { page, close } = await open(
    `${server}/#explore?view=by_page&m=views&m=total&${march}&by=page&chart=table&where=country:eq:DE`,
  );
  await page.getByRole("button", { name: "Copy as curl" }).click();
  const curl = await page.locator(".copied code").innerText();
  const url = /'(.*)'/.exec(curl.replaceAll("'\\''", "'"))[1];
  const answer = await (await fetch(url)).json();
  assert.equal(answer.totals.views, await shown(page, "views"));

  await page.getByRole("button", { name: "Copy as SQL" }).click();
  await until(page, "the statement", (t) => t.includes("SELECT page"));
  const sql = await page.locator(".copied code").innerText();
  const rows = await fetch(`${server}/v1/sql`, { method: "POST", body: `${sql}\nFORMAT CSV` });
  const text = await rows.text();
  assert.equal(rows.status, 200, text);
  const counted = text
    .trim()
    .split("\n")
    .map((line) => Number(line.split(",")[1]));
  assert.equal(
    counted.reduce((a, b) => a + b, 0),
    answer.totals.views,
  );

  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download CSV" }).click();
  const csv = await readFile(await (await waiting).path(), "utf8");
  assert.equal(csv.trim().split("\n").length, answer.rows.length + 1);
  await close();
});

test("a condition that is being written is not asked, and the empty text can be", async () => {
  const { page, close } = await open(`${server}/#explore?view=by_page&m=views&${march}&chart=table`);
  await until(page, "an answer", (t) => t.includes("How exact is this?"));
  const all = await shown(page, "views");
  await page.getByRole("button", { name: "+ condition" }).click();
  await page.getByLabel("Value").waitFor();
  await page.waitForTimeout(300);
  assert.equal(await shown(page, "views"), all);
  await page.getByLabel("Condition", { exact: true }).selectOption("is empty");
  await until(page, "no event", (t) => t.includes("No event is in this range"));
  await close();
});

/** newView declares an event type and a view of it, and sends events after the publication. */
async function newView(name, data) {
  const put = async (path, body) => {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(server + path, { method: "PUT", headers, body: JSON.stringify(body) });
    assert.ok(response.ok, await response.text());
  };
  await put(`/v1/event-types/${name}`, { fields: { code: "int64", note: "string" } });
  const view = {
    event: name,
    dimensions: ["code", "note"],
    measures: { n: { count: {} }, total: { sum: "code" } },
  };
  await put(`/v1/views/${name}`, view);
  const lines = data.map((d, i) => `{"id":"${name}${i}","type":"${name}","data":${d}}`);
  const headers = { "Content-Type": "application/x-ndjson" };
  const response = await fetch(`${server}/v1/events`, { method: "POST", headers, body: lines.join("\n") });
  assert.equal((await response.json()).accepted, data.length);
}

test("a view that is not published has its live numbers, and large numbers keep their digits", async () => {
  const long = "x".repeat(300);
  await newView("fresh", [
    `{"code":9007199254740993,"note":"${long}"}`,
    '{"code":9223372036854775807,"note":""}',
  ]);
  const width = 390;
  const { page, close } = await open(`${server}/#now?view=fresh&m=n`, { width });
  await until(page, "the live number", (t) => /\nn\n2\nnot published yet: live numbers alone/.test(t));
  await page.goto(`${server}/#explore?view=fresh&m=n&m=total&by=code&by=note`);
  const text = await until(page, "the groups", (t) => t.includes("9007199254740993"));
  assert.match(text, /This view is not published yet: live numbers alone/);
  assert.match(text, /Totals are empty because they do not fit their type: total/);
  await expectNoSideScroll(page, "a long value");
  await page.getByRole("button", { name: "9007199254740993" }).click();
  await until(page, "its event alone", (t) => /\nn\nlive 1\n1\n/.test(t) && /9,007,199,254,740,993/.test(t));
  await expectNoSideScroll(page, "a long number");
  const tile = page.locator(".tile-value", { hasText: "9,007,199,254,740,993" });
  const over = await tile.evaluate((e) => e.scrollWidth - e.clientWidth);
  assert.ok(over <= 0, `the number is ${over} pixels wider than its tile`);
  await close();
});

test("a wrong question gets the server's words, and an empty range says what to do", async () => {
  const { page, close } = await open(
    `${server}/#explore?view=by_page&where=page:contains:/&range=custom&from=tomorow`,
  );
  await until(page, "the error", (t) => /from: .*tomorow/s.test(t));
  await page.getByLabel("Range").selectOption("yesterday");
  await until(page, "what to do", (t) => t.includes("No event is in this range"));
  await close();
});
